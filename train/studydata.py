"""The images of the studies: training, validation and test part, and the noisy test images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from folderdenoise import quality
from folderdenoise.errors import UsageError
from train.datasets import square
from train.loading import Pixels, load_cifar10, load_digits, load_folder, stated_licence
from train.studies import Setting

METRICS = ("psnr", "ssim", "mae", "mse")
Floats = NDArray[np.float32]
_FULL = {
    "mnist": ("MNIST (LeCun et al. 1998)", 60_000, "free for research; cite LeCun"),
    "fashion-mnist": ("Fashion-MNIST (Xiao et al. 2017)", 60_000, "MIT"),
    "cifar10": ("CIFAR-10 (Krizhevsky 2009)", 50_000, "none stated; cite Krizhevsky 2009"),
}
_TEST_EVERY, _VALIDATION_EVERY = 5, 20


@dataclass(frozen=True)
class Images:
    """``(N, side, side, C)`` uint8 each. ``words`` say what the training part is, ``licence`` its terms."""

    train: Pixels
    held_out: Pixels
    test: Pixels
    words: str
    licence: str


@dataclass(frozen=True)
class TestSet:
    """Test images, clean and noisy, ``(N, side, side, C)`` float32 in [0, 1], and the scores of the noisy ones."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    clean: Floats
    noisy: Floats
    scores: dict[str, NDArray[np.float64]]


def photos(data: Path | None) -> Path | None:
    """The folder of photographs below ``data``, if there is one."""
    return data / "photos" if data is not None and (data / "photos").is_dir() else None


@lru_cache(maxsize=4)
def load(data: Path | None, name: str, side: int) -> Images:
    """The images of a setting, from ``data/NAME``; digits and CIFAR-10 from ``keras.datasets`` where that is not.

    Of those the last tenth of the training images is the validation part. Of photographs every fifth, in the order of
    their names, is a test image, and of the rest every twentieth is for validation.
    """
    if name == "photos":
        return _photographs(photos(data), side)
    here = data / name if data is not None and (data / name).is_dir() else None
    train, test = load_cifar10(here) if name == "cifar10" else load_digits(name, here)
    cut = len(train) * 9 // 10
    title, full, licence = _FULL[name]
    words = f"{title}, {cut:,} of the {full:,} training images"
    if len(train) < full:
        words += f" (of a subset of {len(train):,}, exact pixels)"
    return Images(train[:cut], train[cut:], test, words, licence)


def _photographs(folder: Path | None, side: int) -> Images:
    if folder is None:
        raise UsageError("the third study needs photographs: put a folder of images at photos/ below --data DIR")
    pictures = [square(image, side) for image in load_folder(folder, 3, side)]
    if len(pictures) < 3:
        raise UsageError(f"{folder}: at least 3 images of {side}×{side} pixels or more are needed")
    squares = np.stack(pictures)
    rest = np.arange(len(squares)) % _TEST_EVERY != 0
    others = squares[rest]
    training = np.arange(len(others)) % _VALIDATION_EVERY != 0
    words = f"{training.sum()} of {len(squares)} photographs, resized to {side}×{side}"
    return Images(others[training], others[~training], squares[~rest], words, stated_licence(folder))


@lru_cache(maxsize=2)
def test_set(data: Path | None, setting: Setting, limit: int | None) -> TestSet:
    """The test images with the noise of ``setting``: image i has that of ``numpy.random.default_rng(i)``.

    Clipped to [0, 1], not rounded to 8 bits, as the studies did it; the same for every model and seed.
    """
    clean = load(data, setting.data, setting.side).test[:limit].astype(np.float32) / np.float32(255)
    noise = np.stack([np.random.default_rng(i).standard_normal(image.shape) for i, image in enumerate(clean)])
    noisy = np.clip(clean + setting.sigma * noise, 0.0, 1.0).astype(np.float32)
    return TestSet(clean, noisy, score(noisy, clean))


def score(images: Floats, references: Floats) -> dict[str, NDArray[np.float64]]:
    """Per image: PSNR, SSIM, MAE and MSE as :func:`folderdenoise.quality.scores` defines them."""
    found = [quality.scores(image, reference) for image, reference in zip(images, references, strict=True)]
    return {metric: np.array([getattr(one, metric) for one in found], np.float64) for metric in METRICS}
