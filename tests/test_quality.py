"""The measures are scikit-image's, and a result that cannot be true is objected to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage import metrics
from skimage.restoration import estimate_sigma

from folderdenoise import quality
from folderdenoise.errors import ReferenceImageError
from folderdenoise.quality import noise_level, objection, scores


def picture(height: int = 240, width: int = 320, channels: int = 3) -> np.ndarray:
    """Something with edges, ramps and flats, in [0.1, 0.9]."""
    y, x = np.mgrid[:height, :width]
    planes = [0.5 + 0.25 * np.sin(x / (9 + 4 * c)) * np.cos(y / 17) for c in range(channels)]
    image = np.stack(planes, axis=2)
    image[height // 3 : height // 2, width // 4 : width // 2] = 0.15
    image[height // 2 : height // 2 + 20, :] += 0.15
    return image


def to_dtype(unit: np.ndarray, dtype: type) -> np.ndarray:
    if np.issubdtype(dtype, np.floating):
        return unit.astype(dtype)
    white = np.iinfo(dtype).max
    return np.rint(unit.clip(0, 1) * white).astype(dtype)


@pytest.mark.parametrize("strip", [2_000, 10**9])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_scores_are_those_of_scikit_image(rng, monkeypatch, dtype, channels, strip):
    monkeypatch.setattr(quality, "_STRIP_PIXELS", strip)
    clean = to_dtype(picture(channels=channels), dtype)
    noisy = to_dtype(picture(channels=channels) + rng.normal(0, 0.1, (240, 320, channels)), dtype)
    a, b = noisy.astype(np.float64), clean.astype(np.float64)
    if dtype != np.float32:
        a, b = a / np.iinfo(dtype).max, b / np.iinfo(dtype).max

    found = scores(noisy, clean)

    assert found.psnr == pytest.approx(metrics.peak_signal_noise_ratio(b, a, data_range=1), abs=1e-9)
    assert found.mse == pytest.approx(metrics.mean_squared_error(b, a), rel=1e-9)
    assert found.mae == pytest.approx(np.abs(a - b).mean(), rel=1e-9)
    ssim = metrics.structural_similarity(
        a, b, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2
    )
    assert found.ssim == pytest.approx(ssim, abs=1e-6)


def test_strips_as_thin_as_a_row(rng, monkeypatch):
    monkeypatch.setattr(quality, "_STRIP_PIXELS", 1)
    clean = picture(13, 17)
    noisy = clean + rng.normal(0, 0.1, clean.shape)
    thin = scores(noisy, clean)
    monkeypatch.undo()
    assert thin.ssim == pytest.approx(scores(noisy, clean).ssim, abs=1e-6)
    assert thin.psnr == pytest.approx(scores(noisy, clean).psnr, abs=1e-9)


def test_equal_images():
    image = to_dtype(picture(), np.uint8)
    assert scores(image, image) == quality.Scores(psnr=math.inf, ssim=1.0, mse=0.0, mae=0.0)


def test_an_8_bit_image_against_a_16_bit_reference():
    image = to_dtype(picture(), np.uint8)
    assert scores(image, image.astype(np.uint16) * 257).psnr == math.inf


def test_two_axes_and_three_are_the_same_grayscale_image():
    image = to_dtype(picture(channels=1), np.uint8)
    assert scores(image[:, :, 0], image).psnr == math.inf


@pytest.mark.parametrize("shape", [(1, 1, 3), (10, 400, 3), (400, 10, 1)])
def test_no_ssim_for_an_image_under_11_pixels(shape):
    found = scores(np.full(shape, 51, np.uint8), np.zeros(shape, np.uint8))
    assert found.ssim is None
    assert found.mae == pytest.approx(0.2)
    assert scores(np.zeros((11, 11), np.uint8), np.zeros((11, 11), np.uint8)).ssim == 1


@pytest.mark.parametrize("shape", [(20, 31, 3), (30, 20, 3), (20, 30, 1)])
def test_a_reference_of_another_size(shape):
    with pytest.raises(ReferenceImageError, match=r"30 × 20 pixels with 3 channels, .* same size"):
        scores(np.zeros((20, 30, 3), np.uint8), np.zeros(shape, np.uint8))


@pytest.mark.parametrize("sigma", [2, 10, 40])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_noise_level_is_that_of_scikit_image_and_near_the_truth(rng, dtype, sigma):
    noisy = picture() + rng.normal(0, sigma / 255, (240, 320, 3))
    image = to_dtype(noisy, dtype)
    unit = image.astype(np.float64) / (1 if dtype == np.float32 else np.iinfo(dtype).max)
    expected = 255 * estimate_sigma(unit, average_sigmas=True, channel_axis=2)
    assert noise_level(image) == pytest.approx(expected, rel=1e-5)
    assert noise_level(image) == pytest.approx(sigma, rel=0.1)


def test_noise_level_of_a_large_image_by_its_blocks(rng):
    image = (128 + rng.normal(0, 12, (2300, 2400, 1))).clip(0, 255).astype(np.uint8)
    assert noise_level(image) == pytest.approx(12, rel=0.02)
    assert noise_level(image) == noise_level(image)
    long = (128 + rng.normal(0, 12, (40, 110_000))).clip(0, 255).astype(np.uint8)
    assert noise_level(long) == pytest.approx(12, rel=0.05)


def test_noise_level_without_noise():
    assert noise_level(np.full((50, 60, 3), 7, np.uint8)) == pytest.approx(0, abs=1e-4)
    assert noise_level(np.zeros((50, 60, 3), np.uint8)) == 0
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8), (64, 64))
    assert noise_level(ramp) == pytest.approx(0, abs=1e-4)
    assert noise_level(np.zeros((3, 500), np.uint8)) is None


# What a good denoiser does must never be refused, whatever the noise.


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("level", [None, 0.0, 0.03, 0.5, 0.98, 1.0])
def test_a_perfect_result_is_accepted_although_clipping_moved_the_mean(rng, level, sigma, dtype):
    clean = picture() if level is None else np.full((100, 120, 3), level)
    noisy = (clean + rng.normal(0, sigma, clean.shape)).clip(0, 1)
    assert objection(to_dtype(noisy, dtype), to_dtype(clean, dtype)) is None


def test_a_perfect_result_on_salt_and_pepper_and_on_a_digit(rng):
    clean = picture()
    noisy = np.where(rng.random(clean.shape) < 0.05, 1.0, clean)
    noisy = np.where(rng.random(clean.shape) < 0.05, 0.0, noisy)
    assert objection(noisy, clean) is None
    digit = np.zeros((28, 28, 1))
    digit[5:22, 12:16] = 1
    assert objection((digit + rng.normal(0, 0.5, digit.shape)).clip(0, 1), digit) is None


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 3), (2, 2, 3), (3, 5, 1), (8, 8, 1)])
def test_a_perfect_result_on_a_tiny_image(rng, shape):
    clean = np.full(shape, 0.5)
    assert objection(clean, clean) is None
    for _ in range(50):
        assert objection((clean + rng.normal(0, 0.1, shape)).clip(0, 1), clean) is None


def test_the_image_itself_is_accepted():
    for image in (picture(), np.zeros((50, 50, 3)), np.ones((50, 50, 1))):
        assert objection(image, image) is None


# What no denoiser does must be refused.


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("sigma", [0, 0.05, 0.1])
def test_a_constant_plane_is_refused(rng, sigma, value):
    noisy = to_dtype(picture() + rng.normal(0, sigma, (240, 320, 3)), np.uint8)
    assert "constant" in objection(noisy, np.full_like(noisy, value))
    one_plane = noisy.copy()
    one_plane[:, :, 1] = value
    assert "constant" in objection(noisy, one_plane)


def test_a_constant_page_of_text_is_refused(rng):
    page = np.full((200, 300, 1), 245, np.uint8)
    page[20:180:12, 20:280] = 30
    assert "constant" in objection(page, np.full_like(page, 231))


@pytest.mark.parametrize("sigma", [0, 0.02, 0.1])
@pytest.mark.parametrize("change", [lambda y: y + 0.1, lambda y: y - 0.1, lambda y: 0.5 * y, lambda y: 1 - 0.6 * y])
def test_another_brightness_is_refused(rng, sigma, change):
    clean = picture()
    noisy = (clean + rng.normal(0, sigma, clean.shape)).clip(0, 1)
    assert "mean moved" in objection(to_dtype(noisy, np.uint8), to_dtype(change(clean), np.uint8))


def test_another_colour_is_refused():
    image = to_dtype(picture(), np.uint8)
    tinted = image.copy()
    tinted[:, :, 2] += 20
    assert "mean moved by +20.0 levels" in objection(image, tinted)
