"""What the tests of the engine denoise, and what the 5 × 5 model makes of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from folderdenoise import runtime

DTYPES = [np.uint8, np.uint16, np.float16, np.float32, np.float64]
needs_bf16 = pytest.mark.skipif(not runtime.has_bf16(), reason="this processor has no bf16")


def picture(height: int = 90, width: int = 110, channels: int | None = 3, seed: int = 0) -> np.ndarray:
    """Soft shapes with noise of 0.1, in [0, 1]."""
    rng = np.random.default_rng(seed)
    shape = (height, width) if channels is None else (height, width, channels)
    soft = cv2.GaussianBlur(rng.random(shape), (0, 0), 5).reshape(shape)
    soft = (soft - soft.min()) / max(soft.max() - soft.min(), 1e-6)
    return (0.2 + 0.6 * soft + rng.normal(0, 0.1, shape)).clip(0, 1)


def to_dtype(unit: np.ndarray, dtype: type) -> np.ndarray:
    if np.issubdtype(dtype, np.floating):
        return unit.astype(dtype)
    return np.rint(unit * np.iinfo(dtype).max).astype(dtype)


def to_unit(image: np.ndarray) -> np.ndarray:
    return image / (np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1.0)


def blurred(image: np.ndarray) -> np.ndarray:
    """What the 5 × 5 model makes of it, worked out by OpenCV."""
    answer = cv2.blur(to_unit(image).astype(np.float64), (5, 5), borderType=cv2.BORDER_CONSTANT)
    return answer.reshape(image.shape)
