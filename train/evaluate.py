"""Measure a model through the tool itself, as a user would meet it.

Noise for image i (in the order of the names) is ``numpy.random.default_rng(i).normal(size=shape) * sigma / 255``, so
that every figure can be computed again elsewhere. ``files`` protocol: noisy images are clipped to [0, 1] and rounded
to 8 bits, as a file holds them. ``raw`` protocol, the literature's: neither clipped nor rounded. The output is clipped
to [0, 1] and rounded to 8 bits in both, then compared with the 8-bit original.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from folderdenoise import quality
from folderdenoise.engine import Denoiser
from folderdenoise.errors import UsageError
from train.loading import load_folder


@dataclass(frozen=True)
class Evaluation:
    """Means over the images of a test set; PSNR in dB, data range 1; SSIM as :func:`folderdenoise.quality.scores`."""

    test_set: str
    images: int
    sigma: float
    protocol: str
    psnr_noisy: float
    ssim_noisy: float
    psnr: float
    ssim: float

    def as_metric(self, command: str) -> dict[str, str | int | float]:
        """The form a model card keeps."""
        return {
            "test_set": self.test_set,
            "noise": f"Gaussian, sigma {self.sigma:g}/255",
            "protocol": "clipped, 8 bits" if self.protocol == "files" else "not clipped, not rounded",
            "images": self.images,
            "psnr_noisy": round(self.psnr_noisy, 2),
            "ssim_noisy": round(self.ssim_noisy, 4),
            "psnr": round(self.psnr, 2),
            "ssim": round(self.ssim, 4),
            "command": command,
        }


def add_noise(clean: NDArray[np.uint8], sigma: float, index: int, protocol: str) -> NDArray[np.uint8 | np.float32]:
    """The noisy version of test image ``index``: uint8 for ``files``, float32 for ``raw``."""
    noise = np.random.default_rng(index).normal(size=clean.shape) * sigma
    noisy = clean.astype(np.float64) + noise
    if protocol == "files":
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return (noisy / 255.0).astype(np.float32)


def evaluate(
    model: str | Path, clean: Path, sigma: float, protocol: str = "files", precision: str = "f32"
) -> Evaluation:
    """Mean scores of ``model`` over all images below ``clean`` with Gaussian noise of ``sigma`` (0 to 255) added.

    ``sigma`` 0 measures how much a clean image is changed. Raises :class:`UsageError` for a folder without images.
    """
    denoiser = Denoiser(model, precision=precision)
    channels = denoiser.card_for(3).channels
    originals = load_folder(clean, channels, 1)
    if not originals:
        raise UsageError(f"{clean}: no images that can be read")
    before, after = [], []
    for index, original in enumerate(originals):
        noisy = add_noise(original, sigma, index, protocol)
        denoised = eight_bits(denoiser.denoise(noisy).pixels)
        before.append(quality.scores(noisy, original))
        after.append(quality.scores(denoised, original))
    return Evaluation(
        test_set=clean.name,
        images=len(originals),
        sigma=sigma,
        protocol=protocol,
        psnr_noisy=_mean([score.psnr for score in before]),
        ssim_noisy=_mean([score.ssim for score in before]),
        psnr=_mean([score.psnr for score in after]),
        ssim=_mean([score.ssim for score in after]),
    )


def eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """As a file would hold it: clipped to [0, 1] and rounded to 8 bits. uint8 is left as it is."""
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)


def _mean(values: list[float | None]) -> float:
    # An untouched image has an infinite PSNR, which says nothing about the others: it is left out of the mean.
    finite = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("inf")
