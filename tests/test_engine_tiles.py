"""Tiles without seams, and the mean of eight answers."""

from __future__ import annotations

import numpy as np
import pytest

from folderdenoise import Denoiser, denoise, network, zoo
from folderdenoise.runtime import Graph
from folderdenoise.tiles import denoise_tiled
from tests import models
from tests.engine_pictures import picture, to_dtype

# Tiles


def random_sizes(seed: int, count: int) -> list[tuple[int, int, int]]:
    rng = np.random.default_rng(seed)
    return [(*rng.integers(1, 420, 2).tolist(), int(rng.integers(1, 300))) for _ in range(count)]


def assert_tiled_is_untiled(card: zoo.ModelCard, image: np.ndarray, tile: int) -> None:
    """At f32, through the engine's own network; sizes that divide and sizes that do not."""
    answer = network.Network(Graph(card, "f32"), card.channels, 1.0, None)
    frame = {"overlap": card.overlap, "multiple": card.size_multiple}
    whole = denoise_tiled(image, answer, tile=10_000, **frame)
    tiled = denoise_tiled(image, answer, tile=tile, **frame)
    assert np.abs(whole - tiled).max() <= 1 / 255


def noisy_photograph(height: int, width: int, channels: int, sigma: float) -> np.ndarray:
    """Soft shapes, hard edges and noise, as a file would store them: in [0, 1] and steps of 1/255."""
    rng = np.random.default_rng(height * width)
    image = picture(height, width, channels, seed=height)
    image[height // 3 : height // 2] *= 0.3
    image[:, width // 2 :: 7] = 0.95
    return (np.rint(255 * (image + rng.normal(0, sigma, image.shape)).clip(0, 1)) / 255).astype(np.float32)


@pytest.mark.parametrize("card", zoo.available(), ids=lambda card: card.name)
def test_every_model_of_the_zoo_is_tiled_without_seams(card):
    for i, (height, width, tile) in enumerate(random_sizes(len(card.name), 6)):
        image = noisy_photograph(height, width, card.channels, sigma=(0.0, 0.06, 0.2)[i % 3])
        assert_tiled_is_untiled(card, image, tile)
    # The sizes above may all be of one tile for a model with a large overlap: these are not.
    side = 6 * card.overlap + 100
    image = noisy_photograph(side, side + 37, card.channels, sigma=0.1)
    assert_tiled_is_untiled(card, image, tile=1)


@pytest.mark.parametrize("write", [models.write_blur, models.write_strided_blur, models.write_identity])
def test_models_of_the_tests_are_tiled_without_seams(tmp_path, write):
    card = zoo.find(write(tmp_path / "model"))
    for height, width, tile in random_sizes(1, 12):
        assert_tiled_is_untiled(card, noisy_photograph(height, width, card.channels, 0.1), tile)


def test_too_small_an_overlap_is_noticed(tmp_path):
    card = zoo.find(models.write_blur(tmp_path / "model", overlap=0))
    # A cut at 0 overlap: the ramp begins at the very edge of a tile, where two pixels are wrong.
    with pytest.raises(AssertionError):
        assert_tiled_is_untiled(card, np.ones((300, 300, 3), np.float32), tile=64)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3), (7, 9)])
def test_tiny_images(zoo_dir, size):
    image = to_dtype(picture(*size), np.uint8)
    assert np.array_equal(denoise(image, "identity"), image)
    assert denoise(image).shape == image.shape


# Eight answers


@pytest.mark.parametrize("channels", [1, 3])
def test_best_is_the_mean_over_all_turns_and_mirrors(channels):
    # Not square, and in more than one tile.
    image = picture(208, 152, channels)
    plain = Denoiser("gray-mse", precision="f32")
    answers = []
    for mirrored in (False, True):
        for turns in range(4):
            turned = np.rot90(image[:, ::-1] if mirrored else image, turns)
            answer = np.rot90(plain(np.ascontiguousarray(turned)), -turns)
            answers.append(answer[:, ::-1] if mirrored else answer)
    assert np.ptp(answers, axis=0).max() > 0.02, "the turns differ for this model"
    best = Denoiser("gray-mse", precision="f32", best=True, tile=96)(image)
    # What lies beyond the border is made up before an image is turned, so a few pixels there may differ.
    inside = np.abs(best - np.mean(answers, axis=0))[16:-16, 16:-16]
    assert inside.max() < 0.2 / 255
