"""What a strength above 1 is taught to remove: texture that noise as strong as was asked for would drown."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from train.camera import Image

STRONGER_SHARE = 1 / 8
"""Share of the training images that are asked for at a strength above 1."""
_WINDOW = 5
_LEAST = 1 / 255


@dataclass(frozen=True)
class Asked:
    """A batch, and how strongly each image of it is to be denoised.

    ``strength`` is ``(N,)`` float32, 1 to 2; ``wanted`` ``(N, H, W, C)`` float32 what the network is to give then.
    """

    strength: NDArray[np.float32]
    wanted: NDArray[np.float32]


def asked(clean: NDArray[np.float32], noisy: NDArray[np.float32], rng: np.random.Generator) -> Asked:
    """Strengths for a batch ``(N, H, W, C)``: 1, and the clean image wanted, but for :data:`STRONGER_SHARE` of it."""
    strength = np.ones(len(clean), np.float32)
    wanted = clean.copy()
    for index in np.flatnonzero(rng.random(len(clean)) < STRONGER_SHARE):
        strength[index] = rng.uniform(1.0, 2.0)
        wanted[index] = smoothed(clean[index], noisy[index], float(strength[index]))
    return Asked(strength, wanted)


def smoothed(clean: Image, noisy: Image, strength: float) -> Image:
    """``clean`` ``(H, W, C)`` without the texture that is weaker than half of (``strength`` - 1) times the noise.

    The local Wiener filter (J. S. Lee, IEEE PAMI 2, 1980; ``scipy.signal.wiener``), for a noise that is not there: the
    standard deviation of what was added around each pixel, and one level of 255 so that a clean image is smoothed by a
    little, too. Both variances are means over the channels, so that no colour is smoothed more than another.
    """
    added = np.square(noisy - clean).mean(axis=2)
    level = np.sqrt(cv2.GaussianBlur(added, (0, 0), 4.0, borderType=cv2.BORDER_REFLECT_101))
    drowned = np.square(0.5 * (strength - 1.0) * (level + _LEAST))
    mean = _mean(clean)
    variance = np.maximum(_mean(np.square(clean)) - np.square(mean), 0.0).mean(axis=2)
    kept = variance / (variance + drowned)
    return np.asarray(mean + kept[..., None] * (clean - mean), np.float32)


def _mean(image: Image) -> Image:
    blurred = cv2.blur(image, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred.reshape(image.shape), np.float32)
