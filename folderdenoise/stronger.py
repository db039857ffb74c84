"""Strength above 1: more than the noise that a model finds.

A network told of more noise than there is does what it was not trained for: in some images it then takes away less, not
more. So it is told of little more, and what it leaves is smoothed where it is as weak as the noise was.
"""

from __future__ import annotations

import cv2
import numpy as np

from .tiles import Floats

_TOLD = 0.25
_WINDOW = 5
_LEAST = 1 / 255


def told(strength: float) -> float:
    """The strength that a model is given for one of 0 to 2: at most 1.25."""
    return min(strength, 1.0) + _TOLD * max(strength - 1.0, 0.0)


def smoothed(denoised: Floats, noise_level: Floats, strength: float) -> Floats:
    """``denoised`` without the texture that is weaker than (``strength`` - 1) times the noise that was there.

    The local Wiener filter (J. S. Lee, IEEE PAMI 2, 1980; ``scipy.signal.wiener``) over 5 × 5 pixels, for a noise that
    has gone already. What it takes away was in the answer and not in the noise removed, so that a higher strength
    removes more of an image. ``denoised`` is (N, H, W, C) float32, ``noise_level`` (N, H / k, W / k, 1) the deviation
    of the noise in the same units, ``strength`` above 1. One level of 255 is added to it, so that a clean image is
    smoothed by a little, too. No channel is smoothed more than another.
    """
    result = np.empty_like(denoised)
    for image, level, into in zip(denoised, noise_level, result, strict=True):
        height, width, _ = image.shape
        drowned = (strength - 1.0) * (cv2.resize(level, (width, height), interpolation=cv2.INTER_LINEAR) + _LEAST)
        mean = _mean(image)
        variance = np.maximum(_mean(np.square(image)) - np.square(mean), 0.0).mean(axis=2)
        kept = variance / (variance + np.square(drowned))
        np.add(mean, kept[..., np.newaxis] * (image - mean), out=into)
    return result


def _mean(image: Floats) -> Floats:
    blurred = cv2.blur(image, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32).reshape(image.shape)
