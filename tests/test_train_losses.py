"""The losses against scikit-image and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

pytest.importorskip("tensorflow", reason="training needs the extra 'train': pip install '.[train]'")

import keras

from train import losses


def images(rng: np.random.Generator, channels: int, size: tuple[int, int] = (32, 45)) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    smooth = np.stack([0.5 + 0.4 * np.sin(rows / (4 + c)) * np.cos(columns / 6) for c in range(channels)], axis=-1)
    clean = np.stack([smooth, smooth**2, np.roll(smooth, 9, axis=1)]).astype(np.float32)
    noise = rng.normal(size=clean.shape) * np.array([0.02, 0.1, 0.3])[:, None, None, None]
    return clean, (clean + noise).astype(np.float32)


def skimage_ssim(clean: np.ndarray, noisy: np.ndarray) -> list[float]:
    """Per image; scikit-image's mean leaves out the border of half a window, as the loss does."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    pairs = zip(clean.astype(np.float64), noisy.astype(np.float64), strict=True)
    return [structural_similarity(one, other, channel_axis=2, **options) for one, other in pairs]


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_that_of_scikit_image(channels: int, rng: np.random.Generator) -> None:
    clean, noisy = images(rng, channels)
    ours = keras.ops.convert_to_numpy(losses.ssim(clean, noisy))
    assert ours.shape == (3,)
    assert ours == pytest.approx(skimage_ssim(clean, noisy), abs=2e-4)
    assert keras.ops.convert_to_numpy(losses.ssim(clean, clean)) == pytest.approx([1, 1, 1])


def test_combined_loss_is_eight_parts_mse_and_two_parts_dissimilarity(rng: np.random.Generator) -> None:
    clean, noisy = images(rng, 1, (28, 28))
    expected = [
        0.8 * np.square(one - other).mean() + 0.2 * (1 - similarity)
        for one, other, similarity in zip(clean, noisy, skimage_ssim(clean, noisy), strict=True)
    ]
    assert keras.ops.convert_to_numpy(losses.mse_ssim(clean, noisy)) == pytest.approx(expected, abs=1e-4)
    assert keras.ops.convert_to_numpy(losses.mse_ssim(clean, clean)) == pytest.approx([0, 0, 0], abs=1e-6)


def test_charbonnier_is_the_smoothed_absolute_error_of_each_image(rng: np.random.Generator) -> None:
    clean, noisy = images(rng, 3)
    error = noisy.astype(np.float64) - clean
    expected = np.sqrt(error**2 + 1e-6).mean(axis=(1, 2, 3))
    assert keras.ops.convert_to_numpy(losses.charbonnier(clean, noisy)) == pytest.approx(expected, rel=1e-4)


def test_bfloat16_predictions_are_measured_in_float32(rng: np.random.Generator) -> None:
    clean, noisy = images(rng, 1)
    coarse = keras.ops.cast(noisy, "bfloat16")
    for loss in (losses.mse_ssim, losses.charbonnier):
        value = loss(clean, coarse)
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert keras.ops.convert_to_numpy(value) == pytest.approx(
            keras.ops.convert_to_numpy(loss(clean, noisy)), rel=0.02
        )


@pytest.mark.parametrize("name", ["mse", "bce", "mse+ssim", "charbonnier"])
def test_every_loss_of_a_recipe_has_its_least_value_at_the_truth(name: str, rng: np.random.Generator) -> None:
    clean, noisy = images(rng, 1)
    clean = np.clip(clean, 0.01, 0.99)
    loss = keras.losses.get(losses.by_name(name))

    def value(prediction: np.ndarray) -> float:
        return float(keras.ops.mean(loss(clean, prediction)))

    assert value(clean) < value(0.9 * clean + 0.1 * np.clip(noisy, 0.01, 0.99)) < value(np.clip(noisy, 0.01, 0.99))
