"""Evidence without a clean original, held against images whose clean version is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from folderdenoise import evidence, quality
from folderdenoise.errors import SuspectResultError

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


def blur(image: np.ndarray, strength: float) -> np.ndarray:
    """``blurred`` as a network is called."""
    return image + strength * (blurred(image) - image)


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


class Wiener:
    """The estimator of the least mean squared error for a Gaussian field of known spectrum in noise of known spectrum,
    both random: 12 levels deep in the mean, smooth, and as coloured as ``smoothed`` (in pixels) makes the noise. At
    strengths above 1 it takes the noise for so much stronger than it is.
    """

    def __init__(self, sigma: float, smoothed: float = 0.0, side: int = 512) -> None:
        down, right = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
        squared = down**2 + right**2
        self._clean_power = (squared + 1e-4) ** -1.3
        self._clean_power *= (12 / 255) ** 2 / self._clean_power.mean()
        self._noise_power = np.exp(-((2 * np.pi * smoothed) ** 2) * squared)
        self._noise_power *= (sigma / 255) ** 2 / self._noise_power.mean()
        self._shape = (side, side)
        rng = np.random.default_rng(5)
        self.clean, noise = (
            0.5 * place
            + np.fft.irfft2(np.fft.rfft2(rng.normal(size=self._shape)) * np.sqrt(power), self._shape)[..., None]
            for place, power in ((1, self._clean_power), (0, self._noise_power))
        )
        self.noisy = (self.clean + noise).astype(np.float32)

    def __call__(self, image: np.ndarray, strength: float) -> np.ndarray:
        share = self._clean_power / (self._clean_power + max(strength, 1.0) ** 2 * self._noise_power)
        result = np.fft.irfft2(np.fft.rfft2(image[..., 0] - 0.5) * share, self._shape)[..., None] + 0.5
        return (image + min(strength, 1.0) * (result - image)).astype(np.float32)


@pytest.mark.parametrize("sigma", [3.0, 15.0, 30.0])
@pytest.mark.parametrize("smoothed", [0.0, 0.5])
@pytest.mark.parametrize("strength", [1.0, 0.4, 2.0])
def test_the_estimated_gain_of_the_best_estimator_is_the_gain_whatever_the_noise(
    sigma: float, smoothed: float, strength: float
) -> None:
    best = Wiener(sigma, smoothed)
    gain = quality.scores(best(best.noisy, strength), best.clean).psnr - quality.scores(best.noisy, best.clean).psnr
    assert evidence.estimated_gain(best.noisy, best, strength) == pytest.approx(gain, rel=0.06, abs=0.05)


def test_what_removes_nothing_gains_nothing() -> None:
    _, noisy = noisy_scene(10)
    assert evidence.estimated_gain(noisy, lambda image, strength: image) == 0
    assert evidence.estimated_gain(noisy, lambda image, strength: image * 0, 0.0) == 0
    assert evidence.estimated_gain(noisy[:8], blur) is None


def test_a_large_picture_is_asked_about_in_a_few_pieces() -> None:
    _, noisy = noisy_scene(20, side=2000)
    asked: list[int] = []

    def denoise(image: np.ndarray, strength: float) -> np.ndarray:
        asked.append(image.shape[0] * image.shape[1])
        return blurred(image)

    in_pieces = evidence.estimated_gain(noisy, denoise)
    assert sum(asked) <= 2 * 270_000
    assert max(asked) <= 128**2
    whole = evidence.estimated_gain(noisy[600:1300, 600:1300], blur)
    assert whole is not None
    assert in_pieces == pytest.approx(whole, abs=0.5)


def test_a_piece_that_the_network_fails_at_leaves_the_others_to_answer() -> None:
    _, noisy = noisy_scene(20, side=1000)
    calls = 0

    def denoise(image: np.ndarray, strength: float) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls in (1, 4):
            raise SuspectResultError("constant")
        return blurred(image)

    def fail(image: np.ndarray, strength: float) -> np.ndarray:
        raise SuspectResultError("constant")

    estimate = evidence.estimated_gain(noisy, denoise)
    assert estimate == pytest.approx(evidence.estimated_gain(noisy, blur), abs=0.3)
    assert evidence.estimated_gain(noisy, fail) is None


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


def test_a_large_picture_is_judged_by_a_sample_that_says_the_same() -> None:
    clean, noisy = noisy_scene(10, side=1600)
    part = slice(400, 1400)
    denoised = blurred(noisy)
    assert evidence.flat_noise(noisy) == pytest.approx(evidence.flat_noise(noisy[part, part]), rel=0.05)
    for result in (clean, denoised):
        structure = evidence.residual_structure(noisy, result)
        assert structure == pytest.approx(evidence.residual_structure(noisy[part, part], result[part, part]), abs=0.1)


def test_floats_beyond_all_bounds_give_no_evidence_and_no_warning() -> None:
    noisy = np.random.default_rng(1).normal(size=(128, 128, 1)).astype(np.float32) * np.float32(1e30)
    assert evidence.flat_noise(noisy) is None
    assert evidence.residual_structure(noisy, noisy / 2) is None
    assert evidence.estimated_gain(noisy, lambda image, strength: image / 2) is None
