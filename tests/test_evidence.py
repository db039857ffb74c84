"""Evidence without a clean original, held against images whose clean version is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from folderdenoise import evidence, quality

from . import pictures


def noisy_scene(sigma: float, seed: int = 0, side: int = 384) -> tuple[np.ndarray, np.ndarray]:
    """A clean scene within [40, 215], half of it textured, and the same with white noise, as 8-bit files."""
    clean = 60 + pictures.scene(side, side, 3, seed).astype(np.float64) * 135 / 255
    clean[:, : side // 2] += cv2.resize(
        np.random.default_rng(7).uniform(-20, 20, (side // 3, side // 6)), (side // 2, side)
    )[..., None]
    clean = np.rint(clean).astype(np.uint8)
    noise = np.random.default_rng(1000 + seed).normal(size=clean.shape) * sigma
    return clean, np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)


def blurred(image: np.ndarray, sigma: float = 1.2) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


@pytest.mark.parametrize("sigma", [3.0, 10.0, 30.0])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_flat_noise_is_that_of_white_noise(sigma: float, dtype: type) -> None:
    scale = {np.uint8: 255, np.uint16: 65535, np.float32: 1.0}[dtype]
    plane = 0.5 + np.random.default_rng(1).normal(size=(600, 800, 1)) * sigma / 255
    image = (plane * scale if dtype == np.float32 else np.rint(np.clip(plane, 0, 1) * scale)).astype(dtype)
    assert evidence.flat_noise(image) == pytest.approx(sigma, rel=0.03)


def test_flat_noise_leaves_texture_and_clipped_areas_alone() -> None:
    image = np.full((512, 512, 1), 128.0)
    image[:256] += np.random.default_rng(1).normal(size=(256, 512, 1)) * 40  # a lawn, say
    image[:, :128] = 300  # an overexposed sky
    image += np.random.default_rng(2).normal(size=image.shape) * 5
    stored = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    assert evidence.flat_noise(stored) == pytest.approx(5, rel=0.15)
    wavelets = quality.noise_level(stored)
    assert wavelets is not None
    assert wavelets > 5.5
    assert evidence.flat_noise(np.zeros((512, 512, 1), np.uint8)) is None


@pytest.mark.parametrize("sigma", [5.0, 15.0, 30.0])
@pytest.mark.parametrize("blur", [0.5, 0.9, 2.0])
def test_the_estimated_gain_is_the_gain(sigma: float, blur: float) -> None:
    clean, noisy = noisy_scene(sigma)
    denoised = blurred(noisy, blur)
    gain = quality.scores(denoised, clean).psnr - quality.scores(noisy, clean).psnr
    estimate = evidence.estimated_gain(noisy, denoised, lambda image: blurred(image, blur), sigma / 255)
    assert estimate is not None
    assert 10 ** (-estimate / 10) == pytest.approx(10 ** (-gain / 10), abs=0.012)


def test_what_does_nothing_gains_nothing() -> None:
    _, noisy = noisy_scene(10)
    assert evidence.estimated_gain(noisy, noisy, lambda image: image, 10 / 255) == pytest.approx(0, abs=0.1)
    assert evidence.estimated_gain(noisy, noisy, lambda image: image, 0.0) is None


def test_noise_that_was_removed_has_no_structure_and_detail_has() -> None:
    clean, noisy = noisy_scene(10)
    only_noise = evidence.residual_structure(noisy, clean)
    detail_too = evidence.residual_structure(noisy, blurred(noisy))
    only_detail = evidence.residual_structure(clean, blurred(clean))
    assert only_noise is not None
    assert detail_too is not None
    assert only_detail is not None
    assert only_noise < 0.1
    assert 0.03 + 3 * only_noise < detail_too < only_detail


def test_coloured_noise_is_noise() -> None:
    clean, _ = noisy_scene(0)
    noise = cv2.GaussianBlur(np.random.default_rng(3).normal(size=clean.shape), (0, 0), 0.8) * 30
    noisy = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)
    structure = evidence.residual_structure(noisy, clean)
    assert structure is not None
    assert structure < 0.15


def test_small_and_untouched_images_have_no_evidence() -> None:
    _, noisy = noisy_scene(10)
    assert evidence.residual_structure(noisy, noisy) is None
    assert evidence.residual_structure(noisy[:40, :40], noisy[:40, :40] // 2) is None
