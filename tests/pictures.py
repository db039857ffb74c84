"""Small images written as files, by Pillow: not the library under test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def scene(height: int = 48, width: int = 64, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth scene with an edge: ``(height, width, channels)`` uint8, or ``(height, width)`` for one channel."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / (5 + c) + seed) + np.cos(columns / (7 + c)) for c in range(channels)]
    image = 120 + 40 * np.stack(waves, axis=-1) + 30 * (columns > width // 2)[..., None]
    image = image + rng.normal(size=image.shape)
    image = np.clip(image, 0, 255).astype(np.uint8)
    return image if channels > 1 else image[..., 0]


def noisy(image: NDArray[np.uint8], sigma: float, seed: int = 1) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(size=image.shape) * sigma
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def save(path: Path, image: NDArray[np.uint8]) -> Path:
    """Write ``image`` by the suffix of ``path``, folders made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def load(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def flat(value: float, channels: int = 3, side: int = 256) -> NDArray[np.float32]:
    """One value everywhere, ``(side, side, channels)`` in [0, 1]."""
    return np.full((side, side, channels), value, np.float32)


def textured(height: int = 65, width: int = 97, channels: int = 3) -> NDArray[np.float32]:
    """Waves of another length in each channel, ``(height, width, channels)`` in [0, 1]."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [0.5 + 0.25 * np.sin(rows / (3 + c)) + 0.25 * np.cos(columns / (5 + c)) for c in range(channels)]
    return np.stack(planes, axis=-1).astype(np.float32)


def numbered(height: int, width: int, channels: int = 1, seed: int = 0) -> NDArray[np.uint8]:
    """Random pixels, so that the place of a crop can be told from its content."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def place_of(crop: NDArray[np.uint8], image: NDArray[np.uint8]) -> list[tuple[int, int, int, bool]]:
    """All (top, left, quarter turns, mirrored) at which ``crop`` was taken from ``image``."""
    found = []
    side = crop.shape[0]
    for turns in range(4):
        for mirrored in (False, True):
            upright = np.rot90(crop[:, ::-1] if mirrored else crop, -turns)
            windows = np.lib.stride_tricks.sliding_window_view(image, (side, side, image.shape[2]))[:, :, 0]
            matches = (windows == upright).all(axis=(2, 3, 4))
            found += [(int(t), int(x), turns, mirrored) for t, x in zip(*np.nonzero(matches), strict=True)]
    return found


def as_bytes(batch: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``batch`` in [0, 1] as 8 bits."""
    return np.rint(batch * 255).astype(np.uint8)


def photographs(channels: int = 3) -> list[NDArray[np.uint8]]:
    """Two of them, with their axis of channels."""
    return [scene(128, 136, channels, seed).reshape(128, 136, channels) for seed in range(2)]
