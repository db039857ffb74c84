"""Which photographs are clean enough to teach what clean is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from train.quiet import QUIET, own_noise, part


def photograph(noise: float, blur: float = 0.0, textured: float = 0.5, seed: int = 0) -> np.ndarray:
    """``(320, 320, 3)`` uint8: a shading; coarse texture in a share of it; noise of that deviation everywhere."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:320, 0:320]
    image = 70.0 + 60.0 * np.sin(rows / 150) + 0.3 * columns
    image = image + 25.0 * np.sin(rows / 1.7) * np.cos(columns / 2.1) * (columns < 320 * textured)
    grain = rng.normal(size=(320, 320, 3))
    if blur:
        grain = cv2.GaussianBlur(grain, (0, 0), blur)
    return np.clip(np.rint(image[..., None] + noise * grain / grain.std()), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("blur", [0.0, 1.0])
@pytest.mark.parametrize("noise", [1.0, 2.0, 4.0])
def test_noise_counts_whether_it_is_white_or_smooth(noise: float, blur: float) -> None:
    # The flattest blocks have a little less than all, and smooth noise is in part taken for shading.
    assert 0.65 * noise < own_noise(photograph(noise, blur)) < 1.1 * noise


def test_shading_and_texture_are_no_noise() -> None:
    assert own_noise(photograph(0.0)) < 0.4  # rounding
    assert own_noise(photograph(0.0, textured=0.9)) < 0.4


def test_black_and_white_hide_noise_and_do_not_count() -> None:
    clipped = photograph(3.0, textured=0.0)
    for hidden in (0, 255):
        clipped[:, 160:] = hidden
        assert own_noise(clipped) > 1.8
    assert own_noise(np.full((320, 320, 3), 255, np.uint8)) == 0.0
    assert own_noise(np.full((10, 10, 1), 90, np.uint8)) == 0.0


def test_a_folder_is_parted_into_quiet_and_grainy_photographs() -> None:
    images = [photograph(noise, seed=index) for index, noise in enumerate((0.0, 3.0, 0.3, 2.0, 0.2))]
    quiet, grainy = part(images)
    assert [id(image) for image in quiet] == [id(images[index]) for index in (0, 2, 4)]
    assert [id(image) for image in grainy] == [id(images[index]) for index in (1, 3)]


def test_of_noisy_photographs_the_quietest_quarter_is_taken() -> None:
    images = [photograph(noise, seed=index) for index, noise in enumerate((5.0, 3.0, 8.0, 9.0, 7.0, 6.0, 4.0, 10.0))]
    assert own_noise(images[1]) > QUIET
    quiet, grainy = part(images)
    assert [id(image) for image in quiet] == [id(images[1]), id(images[6])]
    assert len(grainy) == 6
