"""Every degradation the recipes train on, seeded.

All functions take a clean image ``(H, W, C)`` float32 in [0, 1] (sRGB-encoded, C = 1 or 3) and a
``numpy.random.Generator``, and return a new float32 array of the same shape. Standard deviations are in the same
units as the image (25/255 = 0.098). Unless a docstring says otherwise the result is *not* clipped: the last step,
:func:`as_stored`, clips and rounds as a file would.

The noise of cameras has a module of its own: :mod:`train.camera`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from train.camera import Image, camera, draw

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Clean and noisy images, each ``(N, H, W, C)`` float32, nominally in [0, 1]."""


class Noise(Protocol):
    """What a recipe states as its noise: degrades one image."""

    def apply(self, clean: Image, rng: np.random.Generator) -> Image:
        """Return the degraded version of ``clean`` ``(H, W, C)`` float32 in [0, 1]."""
        ...

    def strong(self) -> Noise:
        """That part of it beside which a photograph's own noise does not count."""
        ...


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    return rng.standard_normal(shape, dtype=np.float32)


def gaussian(clean: Image, sigma: float, rng: np.random.Generator, correlation: float = 0.0) -> Image:
    """Add white Gaussian noise of standard deviation ``sigma``.

    ``correlation`` in [0, 1] is the correlation between the colour channels: 0 is independent noise in each, 1 is
    the same gray noise in all.
    """
    noise = _normal(clean.shape, rng)
    if correlation > 0.0 and clean.shape[2] > 1:
        gray = _normal((*clean.shape[:2], 1), rng)
        noise = np.sqrt(1.0 - correlation) * noise + np.sqrt(correlation) * gray
    return np.asarray(clean + sigma * noise, np.float32)


def correlated(clean: Image, sigma: float, scale: float, rng: np.random.Generator) -> Image:
    """Add noise that was resized by ``scale`` > 1, as in an image enlarged after capture: soft blobs.

    The standard deviation after resizing is ``sigma`` (on average over the image).
    """
    height, width, channels = clean.shape
    # One row and column more than the image would need, so that the border is interpolated like the inside.
    small = (max(2, int(np.ceil(height / scale)) + 2), max(2, int(np.ceil(width / scale)) + 2), channels)
    large = (int(np.ceil(small[1] * scale)), int(np.ceil(small[0] * scale)))
    noise = cv2.resize(_normal(small, rng), large, interpolation=cv2.INTER_CUBIC).reshape(large[1], large[0], channels)
    top, left = (large[1] - height) // 2, (large[0] - width) // 2
    noise = noise[top : top + height, left : left + width]
    return np.asarray(clean + sigma * noise / max(float(noise.std()), 1e-6), np.float32)


def film_grain(clean: Image, sigma: float, size: float, rng: np.random.Generator) -> Image:
    """Add grain: noise blurred by ``size`` pixels (Gaussian), strongest in mid-tones, mostly shared by the channels.

    ``sigma`` is the standard deviation at mid-gray (0.5); it falls to zero at black and white as 4·x·(1 − x), the
    variance of a random cover of opaque grains.
    """
    noise = gaussian(np.zeros_like(clean), 1.0, rng, correlation=0.8)
    noise = cv2.GaussianBlur(noise, (0, 0), size).reshape(clean.shape)
    noise /= max(float(noise.std()), 1e-6)
    luminance = clean.mean(axis=2, keepdims=True)
    return np.asarray(clean + sigma * np.sqrt(4.0 * luminance * (1.0 - luminance)) * noise, np.float32)


def speckle(clean: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Multiply by 1 + n, n Gaussian of standard deviation ``sigma`` (radar, ultrasound, laser light)."""
    return np.asarray(clean * (1.0 + sigma * _normal(clean.shape, rng)), np.float32)


def salt_and_pepper(clean: Image, share: float, rng: np.random.Generator) -> Image:
    """Set a ``share`` in [0, 1] of the pixels to black or white, half each, all channels together."""
    draw = rng.random(clean.shape[:2], dtype=np.float32)[..., None]
    return np.where(draw < share / 2, 0.0, np.where(draw > 1.0 - share / 2, 1.0, clean)).astype(np.float32)


def jpeg(clean: Image, quality: int, rng: np.random.Generator) -> Image:
    """Compress as JPEG of ``quality`` 1 to 100, chroma 4:2:0 or 4:4:4 by chance. Clips and rounds to 8 bits.

    The grid of 8×8 blocks (16×16 for the chroma of 4:2:0) lies anywhere, as in an image that was cropped afterwards.
    """
    stored = np.clip(np.rint(clean * 255.0), 0, 255).astype(np.uint8)
    top, left = (int(offset) for offset in rng.integers(0, 16, 2))
    stored = cv2.copyMakeBorder(stored, top, 0, left, 0, cv2.BORDER_REFLECT).reshape(
        clean.shape[0] + top, clean.shape[1] + left, clean.shape[2]
    )
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if rng.random() < 0.5 else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    _, encoded = cv2.imencode(".jpg", stored[..., ::-1], options)
    flag = cv2.IMREAD_GRAYSCALE if clean.shape[2] == 1 else cv2.IMREAD_COLOR
    decoded = cv2.imdecode(encoded, flag).reshape(stored.shape)[top:, left:, ::-1]
    return decoded.astype(np.float32) / np.float32(255.0)


def as_stored(image: Image) -> Image:
    """Clip to [0, 1] and round to 8 bits, as a file would hold it; still float32 in [0, 1]."""
    return (np.rint(np.clip(image, 0.0, 1.0) * 255.0) / 255.0).astype(np.float32)


def unit(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 of any shape as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(255.0)


def degrade(pixels: NDArray[np.uint8], noise: Noise, rng: np.random.Generator) -> Batch:
    """Images ``(N, H, W, C)`` uint8, and each with ``noise`` of its own."""
    clean = unit(pixels)
    return clean, np.stack([noise.apply(image, rng) for image in clean])


@dataclass(frozen=True)
class Gaussian:
    """White Gaussian noise of one level, as the student studies add it: clipped to [0, 1] if ``clip``."""

    sigma: float
    clip: bool = True

    def apply(self, clean: Image, rng: np.random.Generator) -> Image:
        noisy = gaussian(clean, self.sigma, rng)
        return np.clip(noisy, 0.0, 1.0) if self.clip else noisy

    def strong(self) -> Gaussian:
        return self


@dataclass(frozen=True)
class Blind:
    """What files in the field carry, level unknown: the production models' noise.

    The shares are probabilities of the first degradation and sum to at most 1; the rest is identity (do no harm).
    ``stored`` is the share of the Gaussian images that is clipped and rounded to 8 bits; every other kind always is.
    """

    gaussian: float = 0.30
    camera: float = 0.42
    correlated: float = 0.06
    grain: float = 0.04
    speckle: float = 0.03
    salt_and_pepper: float = 0.03
    jpeg_only: float = 0.06
    sigma_min: float = 0.0
    sigma_max: float = 60 / 255
    stored: float = 0.8

    def strong(self) -> Blind:
        """Gaussian noise alone, from 12 levels of 255 on."""
        nothing = dict.fromkeys(("camera", "correlated", "grain", "speckle", "salt_and_pepper", "jpeg_only"), 0.0)
        return replace(self, gaussian=1.0, sigma_min=12 / 255, **nothing)

    def apply(self, clean: Image, rng: np.random.Generator) -> Image:
        kinds = (
            self.gaussian,
            self.camera,
            self.correlated,
            self.grain,
            self.speckle,
            self.salt_and_pepper,
            self.jpeg_only,
        )
        kind = int(np.searchsorted(np.cumsum(kinds), rng.random(), side="right"))
        if kind == 0:
            # A tenth gray or channel-correlated, as scanners of black-and-white originals give it.
            correlation = float(rng.choice([1.0, rng.random()])) if rng.random() < 0.1 else 0.0
            noisy = gaussian(clean, float(rng.uniform(self.sigma_min, self.sigma_max)), rng, correlation)
            return as_stored(noisy) if rng.random() < self.stored else noisy
        if kind == 1:
            return self._compressed(camera(clean, draw(rng), rng), rng, 0.7)
        if kind == 2:
            noisy = correlated(clean, float(rng.uniform(0.0, 35 / 255)), float(rng.uniform(1.1, 2.5)), rng)
            return self._compressed(noisy, rng, 0.3)
        if kind == 3:
            noisy = film_grain(clean, float(rng.uniform(0.0, 30 / 255)), float(rng.uniform(0.4, 1.0)), rng)
            return self._compressed(noisy, rng, 0.3)
        if kind == 4:
            return as_stored(speckle(clean, float(rng.uniform(0.0, 0.35)), rng))
        if kind == 5:
            return as_stored(salt_and_pepper(clean, float(rng.uniform(0.0, 0.05)), rng))
        if kind == 6:
            return self._compressed(clean, rng, 1.0)
        return clean

    @staticmethod
    def _compressed(noisy: Image, rng: np.random.Generator, share: float) -> Image:
        """Store as JPEG with probability ``share`` (now and then twice), else as clipped 8 bits."""
        if rng.random() >= share:
            return as_stored(noisy)
        noisy = jpeg(noisy, int(rng.integers(50, 97)), rng)
        return jpeg(noisy, int(rng.integers(70, 97)), rng) if rng.random() < 0.1 else noisy
