"""The pictures that the project makes itself."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="fonts come with the extra 'train': pip install '.[train]'")

from train import generated
from train.crops import CropSource, Pool
from train.generated import Pictures
from train.noise import Gaussian


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_seeded_and_of_their_form(channels: int) -> None:
    pictures = Pictures(8, channels, seed=3)
    assert len(pictures) == 8
    for index in (0, 1, 3, 7):
        picture = pictures[index]
        assert picture.shape == (generated.SIDE, generated.SIDE, channels)
        assert picture.dtype == np.uint8
        assert (picture == Pictures(8, channels, seed=3)[index]).all()
        assert (picture != Pictures(8, channels, seed=4)[index]).any()
        assert pictures[index] is picture


def test_dead_leaves_cover_everything_with_sizes_of_a_power_law() -> None:
    picture = generated.dead_leaves(256, np.random.default_rng(1)).astype(np.float64).mean(axis=2)
    # Natural images have spectra that fall with about the square of the frequency (D. Field 1987).
    power = np.abs(
        np.fft.fftshift(np.fft.fft2((picture - picture.mean()) * np.outer(np.hanning(256), np.hanning(256))))
    )
    radius = np.hypot(*np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))).astype(int)
    rings = np.bincount(radius.ravel(), (power**2).ravel()) / np.bincount(radius.ravel())
    band = np.arange(4, 64)
    slope = np.polyfit(np.log(band), np.log(rings[band]), 1)[0]
    assert -3.2 < slope < -1.6


def test_a_page_is_paper_with_ink_and_a_gradient_has_no_edges_but_its_fields() -> None:
    sheets = [generated.page(256, np.random.default_rng(seed)) for seed in range(4)]
    for sheet in sheets:
        assert np.percentile(sheet, 97) - np.percentile(sheet, 3) > 60
    smooth = [np.abs(np.diff(generated.gradient(256, np.random.default_rng(s)).astype(int), axis=0)) for s in range(4)]
    assert all(np.median(step) <= 2 for step in smooth)


def test_generated_pictures_are_not_compared_with_each_other_for_detail() -> None:
    busy = np.random.default_rng(1).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    flat = np.full((64, 64, 1), 90, np.uint8)
    pool = Pool([busy, flat], Gaussian(0.0), one_at_a_time=True)
    clean = np.concatenate(
        [CropSource([pool], [flat], 16, ((0.0, 32),), 1, "").batch(step, 0.0)[0] for step in range(30)]
    )
    assert (clean.std(axis=(1, 2, 3)) > 0.1).mean() == pytest.approx(0.5, abs=0.08)
