"""Samples that are no 8- or 16-bit integers and no floats from 0 to 1: signed integers, half precision, and floats of
any range. They are brought to floats in [0, 1] on the way in, and back on the way out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from folderdenoise.codecs.picture import Array, Picture, Scale, shown
from folderdenoise.errors import UnsupportedImageError
from folderdenoise.scratch import Scratch, bands, release

_NOMINAL = (-0.5, 1.5)  # of floats from 0 to 1 with noise, and some lights beyond
_SAMPLES = 1_000_000
_FEW = 0.001  # of the samples may lie outside: hot pixels, lamps


def read(path: Path, page: Picture, scratch: Scratch) -> Picture:
    """The page with samples as float32, black at 0 and white at 1, and the scale that they had; unsigned integers and
    floats from 0 to 1 as they are.

    Black and white are zero or powers of two, so that pages of one series, or an image and its reference, come to the
    same. Raises UnsupportedImageError for samples that are not numbers.
    """
    samples = page.pixels
    if samples.dtype.kind == "u":
        return page
    if not all(
        np.isfinite(part[rows]).all() for part in (samples, page.alpha) if part is not None for rows in bands(part)
    ):
        what = "some of its pixels are not numbers (NaN or infinity)"
        raise UnsupportedImageError(f"{shown(path)}: {what}; replace them before denoising")
    low, high = _ends(samples)
    black, white = 0.0, 1.0
    if samples.dtype.kind == "i" or low < _NOMINAL[0] or high > _NOMINAL[1]:
        black, white = 0.0 - _power(-low), _power(high)
        white = white if white > black else black + 1
    kind = samples.dtype.name
    if kind == "float32" and (black, white) == (0, 1):
        return page
    pixels = scratch.empty(samples.shape, np.float32)
    for rows in bands(pixels):
        np.divide(samples[rows] - np.float64(black), white - black, out=pixels[rows], casting="unsafe")
        release(samples)
    alpha = page.alpha
    if alpha is not None and alpha.dtype != np.float32:
        alpha = alpha.astype(np.float32)
    return replace(page, pixels=pixels, alpha=alpha, scale=Scale(kind, black, white))


def _ends(samples: Array) -> tuple[float, float]:
    """The values that all but a few samples lie between."""
    step = math.isqrt(samples.size // _SAMPLES) + 1
    thinned = np.concatenate([np.array(samples[rows][:: min(step, 16), ::step]).ravel() for rows in bands(samples)])
    low, high = np.quantile(thinned.astype(np.float64), [_FEW, 1 - _FEW])
    return float(low), float(high)


def _power(value: float) -> float:
    """The power of two from ``value`` on; 0 for what is not above zero."""
    return 2.0 ** math.ceil(math.log2(value)) if value > 0 else 0.0


def rescale(array: Array, old: int, new: int) -> None:
    """Bring integers from 0..old to 0..new, in place."""
    if old != new:
        for rows in bands(array):
            array[rows] = (array[rows].astype(np.uint32) * new + old // 2) // old


def to_levels(array: Array, top: int) -> None:
    """Round integers, which have the range of their type, to the values that 0..top are read as, in place."""
    full = int(np.iinfo(array.dtype).max)
    rescale(array, full, top)
    rescale(array, top, full)


def halves(page: Picture) -> tuple[Array, Array | None]:
    """Pixels and alpha of a page that its file holds as 16-bit floats, as the file holds them: copies."""
    black, white = (0.0, 1.0) if page.scale is None else (page.scale.black, page.scale.white)
    pixels = np.empty(page.pixels.shape, np.float16)
    limits = np.finfo(np.float16)
    for rows in bands(page.pixels):
        values = page.pixels[rows] * np.float64(white - black) + black
        pixels[rows] = np.clip(values, float(limits.min), float(limits.max))
    return pixels, None if page.alpha is None else page.alpha.astype(np.float16)


def rescaled(pixels: Array, old: Scale | None, new: Scale | None) -> Array:
    """Pixels that were read with ``old`` as they would be with ``new``."""
    if old == new:
        return pixels
    a, b = (scale or Scale("float32", 0.0, 1.0) for scale in (old, new))
    values = (pixels * np.float64(a.white - a.black) + a.black - b.black) / (b.white - b.black)
    return np.asarray(values, np.float32)
