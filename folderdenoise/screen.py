"""Pixels as stored -> pixels as a screen shows them: 8 bits, sRGB, upright."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[Any]
Bytes: TypeAlias = NDArray[np.uint8]
Rect: TypeAlias = tuple[int, int, int, int]
"""left, top, right, bottom; the last two are outside."""

_PAPER = 204.0  # behind transparent parts


@dataclass(frozen=True)
class Turn:
    """How stored pixels are turned for the screen: axes exchanged first, then rows and columns reversed."""

    transposed: bool = False
    flips_rows: bool = False
    flips_columns: bool = False

    @classmethod
    def of(cls, orientation: int) -> Turn:
        """The turn for an EXIF orientation, 1 to 8."""
        return cls(orientation in (5, 6, 7, 8), orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7))

    def __call__(self, stored: Pixels) -> Pixels:
        """The (H, W, ...) array upright, as a view of the same memory."""
        shown = stored.swapaxes(0, 1) if self.transposed else stored
        return shown[:: -1 if self.flips_rows else 1, :: -1 if self.flips_columns else 1]

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height upright."""
        return (height, width) if self.transposed else (width, height)

    def to_stored(self, shown: Rect, width: int, height: int) -> Rect:
        """Where a part of the upright picture is stored; ``width`` and ``height`` are those of the upright one."""
        left, top, right, bottom = shown
        if self.flips_rows:
            top, bottom = height - bottom, height - top
        if self.flips_columns:
            left, right = width - right, width - left
        return (top, left, bottom, right) if self.transposed else (left, top, right, bottom)


def to_screen(pixels: Pixels, alpha: Pixels | None, icc: bytes | None) -> Bytes:
    """(H, W, C) pixels of a ``Picture`` as (H, W, 3) uint8 in sRGB; transparent parts on light gray.

    Floats beyond [0, 1] are clipped. Stored order: see :class:`Turn`."""
    shown = _plain(pixels) if icc is None and pixels.shape[2] != 4 else _managed(pixels, icc)
    if alpha is None:
        return shown
    share = _unit(alpha)[..., np.newaxis]
    return np.rint(share * shown + (1 - share) * _PAPER).astype(np.uint8)


def _plain(pixels: Pixels) -> Bytes:
    values: Bytes = pixels if pixels.dtype == np.uint8 else np.rint(255 * _unit(pixels)).astype(np.uint8)
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


def _managed(pixels: Pixels, icc: bytes | None) -> Bytes:
    import pyvips

    from .codecs import vips  # noqa: F401 - sets libvips up

    height, width, channels = pixels.shape
    if pixels.dtype.kind == "f":
        pixels = np.rint(65535 * _unit(pixels)).astype(np.uint16)
    data = np.ascontiguousarray(pixels)
    is_wide = data.dtype == np.uint16
    meaning = {1: "grey16" if is_wide else "b-w", 3: "rgb16" if is_wide else "srgb", 4: "cmyk"}[channels]
    image = pyvips.Image.new_from_memory(data, width, height, channels, "ushort" if is_wide else "uchar")
    image = image.copy(interpretation=meaning)
    shown = None
    if icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    # A damaged profile, or one for other colours: shown as if there were none.
    with contextlib.suppress(pyvips.Error):
        shown = image.icc_transform("srgb", embedded=True, intent="relative", depth=8).numpy()
    if shown is None:
        shown = image.colourspace("srgb").cast("uchar").numpy()
    values: Bytes = shown.reshape(height, width, -1)[..., :3]
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


def _unit(values: Pixels) -> NDArray[np.float32]:
    if values.dtype.kind == "f":
        return np.clip(values, 0, 1).astype(np.float32)
    share: NDArray[np.float32] = values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    return share
