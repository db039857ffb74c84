"""Which photographs are clean enough to teach a network what clean is.

A photograph has noise of its own. Where that is as strong as the noise that training adds, the network learns to leave
noise alone: it cannot tell one from the other, and is rewarded for keeping it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from train.loading import Pixels

_BLOCK = 16
_FLATTEST = 0.05
_ENOUGH_BLOCKS = 30
# Blocks that touch black or white hide noise.
_DARKEST, _BRIGHTEST = 8, 247
QUIET = 0.75
"""Levels of 255. Rounding to 8 bits alone is 0.29 of them, and JPEG of quality 92 as much again."""


def _smooth_part() -> NDArray[np.float32]:
    """The projection of a block, its pixels in a row, onto the polynomials of second degree."""
    x, y = np.meshgrid(*[np.linspace(-1.0, 1.0, _BLOCK)] * 2)
    basis = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=-1).reshape(-1, 6)
    return np.asarray(basis @ np.linalg.pinv(basis), np.float32)


def own_noise(image: Pixels) -> float:
    """Deviation in 8-bit levels of what the flattest blocks of ``image`` ``(H, W, C)`` uint8 hold besides a shading.

    The twentieth part of the 16×16 blocks with the least deviation from a quadratic surface is flat enough, so texture
    has little say, and noise counts whether it is white or smooth. An image that is textured everywhere counts as
    noisy, one that is black or white (almost) everywhere as having no noise.
    """
    rows, columns = (side // _BLOCK for side in image.shape[:2])
    blocks = image[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK, image.shape[2])
    blocks = blocks.transpose(0, 2, 4, 1, 3).reshape(rows * columns, image.shape[2], _BLOCK**2)
    usable = (blocks.min(axis=(1, 2)) >= _DARKEST) & (blocks.max(axis=(1, 2)) <= _BRIGHTEST)
    flat = blocks[usable].astype(np.float32)
    if len(flat) < _ENOUGH_BLOCKS:
        return 0.0
    variance = np.square(flat - flat @ _smooth_part()).mean(axis=(1, 2))
    return float(np.sqrt(np.quantile(variance, _FLATTEST)))


def part(images: Sequence[Pixels]) -> tuple[list[Pixels], list[Pixels]]:
    """The quiet ones among ``images``, and the others: at most :data:`QUIET` levels of noise of their own.

    The quietest quarter counts as quiet whatever its noise: nothing better is to be had from such a folder.
    """
    noise = np.array([own_noise(image) for image in images])
    limit = max(QUIET, float(np.quantile(noise, 0.25)))
    quiet = [image for image, level in zip(images, noise, strict=True) if level <= limit]
    return quiet, [image for image, level in zip(images, noise, strict=True) if level > limit]
