"""The denoisers that the benchmarks compare: this project's models, and classical methods that pip installs.

Each is called with a noisy image ``(H, W, C)``, uint8 or float32 nominally in [0, 1], and the deviation of its noise in
8-bit levels (0 to 255), and answers with an image of that shape, uint8 or floats in the same range. Models are blind
and look away from the deviation; the classical methods are told it, which favours them. Their strengths are a fixed
share of it, chosen near the highest mean PSNR on Gaussian noise of 15, 25 and 50.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from folderdenoise.engine import Denoiser, Precision
from folderdenoise.errors import UsageError
from train.evaluate import eight_bits
from train.loading import images_below, load_image

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Method:
    """A denoiser by its name. ``settings`` is for the reader; a blind method's answer is the same for any deviation."""

    name: str
    denoise: Callable[[Pixels, float], Pixels]
    settings: str
    is_blind: bool = False


_BEST = "+best"


def find_methods(names: str, precision: Precision = "f32", threads: int | None = None) -> list[Method]:
    """The methods of a comma-separated list: "noisy", those of ``PEERS``, models by name or path; "+best" behind a
    model asks for its eight answers.

    Raises ModelError for a name that is none of them, UsageError for no name at all or one whose package is not
    installed.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise UsageError("no methods given")
    return [_find(name, precision, threads) for name in wanted]


def _find(name: str, precision: Precision, threads: int | None) -> Method:
    if name == "noisy":
        return Method(name, lambda noisy, sigma: noisy, "the input itself", is_blind=True)
    if name in PEERS:
        if name == "bm3d" and importlib.util.find_spec("bm3d") is None:
            raise UsageError("bm3d: pip install bm3d (its licence allows non-commercial comparison, not shipping)")
        return PEERS[name]
    model = name.removesuffix(_BEST)
    denoiser = Denoiser(model, precision=precision, threads=threads, best=model != name)
    cards = [denoiser.card_for(3), denoiser.card_for(1)]
    models = " or ".join(
        dict.fromkeys(f"{card.name} version {card.version}, {card.kmac_per_pixel:g} kMAC/px" for card in cards)
    )
    return Method(
        Path(name).name,
        lambda noisy, sigma: denoiser(noisy),
        f"{models}, precision {precision}, strength 1, blind" + (", mean of eight" if model != name else ""),
        is_blind=True,
    )


def list_images(folder: Path) -> list[Path]:
    """All image files below ``folder`` in the order of their names. Raises UsageError if there are none."""
    found = images_below(folder)
    if not found:
        raise UsageError(f"{folder}: no images there")
    return found


def read_pixels(path: Path, *, gray: bool = False) -> NDArray[np.uint8]:
    """The first page ``(H, W, C)`` with the file's own number of channels, or its luma if ``gray``."""
    return load_image(path, 1 if gray else None)


def _for_skimage(image: Pixels) -> tuple[NDArray[np.float32], int | None]:
    """As floats, (H, W, 3) or (H, W), and the axis of the channels: a single channel fails in some functions."""
    floats = image.astype(np.float32) / np.float32(255) if image.dtype == np.uint8 else image
    return (floats, 2) if image.shape[2] == 3 else (floats[:, :, 0], None)


def _opencv_nlm(noisy: Pixels, sigma: float) -> Pixels:
    image = eight_bits(noisy)  # it takes nothing else
    if image.shape[2] == 1:
        return cv2.fastNlMeansDenoising(image, None, 0.9 * sigma, 7, 21).reshape(image.shape)
    # It converts to L*a*b*, so the order of the channels matters.
    turned = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    result = cv2.fastNlMeansDenoisingColored(turned, None, 0.65 * sigma, 0.65 * sigma, 7, 21)
    return cv2.cvtColor(result, cv2.COLOR_BGR2RGB)


def _skimage_nlm(noisy: Pixels, sigma: float) -> Pixels:
    from skimage import restoration

    image, axis = _for_skimage(noisy)
    deviation = sigma / 255
    return restoration.denoise_nl_means(
        image, patch_size=5, patch_distance=6, h=0.6 * deviation, sigma=deviation, channel_axis=axis
    ).reshape(noisy.shape)


def _tv(noisy: Pixels, sigma: float) -> Pixels:
    from skimage import restoration

    image, axis = _for_skimage(noisy)
    return restoration.denoise_tv_chambolle(image, weight=0.8 * sigma / 255, channel_axis=axis).reshape(noisy.shape)


def _bayes_shrink(noisy: Pixels, sigma: float) -> Pixels:
    from skimage import restoration

    image, axis = _for_skimage(noisy)
    return restoration.denoise_wavelet(
        image,
        sigma=sigma / 255,
        wavelet="db2",
        method="BayesShrink",
        mode="soft",
        convert2ycbcr=axis is not None,
        channel_axis=axis,
        rescale_sigma=True,
    ).reshape(noisy.shape)


def _bm3d(noisy: Pixels, sigma: float) -> Pixels:
    import bm3d

    image, axis = _for_skimage(noisy)
    denoise = bm3d.bm3d if axis is None else bm3d.bm3d_rgb
    return denoise(image, sigma / 255).reshape(noisy.shape)


def _told(name: str, denoise: Callable[[Pixels, float], Pixels], settings: str) -> Method:
    # Told that there is no noise, a method has nothing to do, and several would divide by it.
    return Method(name, lambda noisy, sigma: denoise(noisy, sigma) if sigma > 0 else noisy, settings)


PEERS = {
    method.name: method
    for method in (
        _told(
            "opencv-nlm",
            _opencv_nlm,
            "fastNlMeansDenoisingColored, h = hColor = 0.65 sigma (gray: fastNlMeansDenoising, h = 0.9 sigma), patch 7,"
            " search 21, on the image rounded to 8 bits",
        ),
        _told(
            "skimage-nlm",
            _skimage_nlm,
            "denoise_nl_means, fast mode, h = 0.6 sigma, sigma told, patch_size 5, patch_distance 6",
        ),
        _told("tv", _tv, "scikit-image denoise_tv_chambolle, weight = 0.8 sigma/255"),
        _told(
            "bayes-shrink",
            _bayes_shrink,
            "scikit-image denoise_wavelet, BayesShrink, soft, db2, colour as YCbCr, sigma told",
        ),
        _told("bm3d", _bm3d, "package bm3d, default profile, colour by bm3d_rgb, sigma told"),
    )
}
