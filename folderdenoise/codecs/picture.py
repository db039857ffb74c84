"""What a file holds: pictures, everything around them that must survive, and how they were stored."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from folderdenoise.scratch import Scratch

Array: TypeAlias = NDArray[Any]  # uint8, uint16 or float32


@dataclass(frozen=True)
class Metadata:
    """What surrounds the pixels of one picture.

    ``icc``, ``xmp`` and ``iptc`` are the blocks as stored. ``exif`` is a TIFF-structured block, byte for byte
    as the camera wrote it, without the ``Exif\\0\\0`` prefix; for a TIFF page it holds every tag that does
    not describe how its pixels are stored. ``resolution`` is (x, y) in pixels per millimetre, or a plain
    ratio where ``resolution_unit`` is None. ``orientation`` is the EXIF value 1 to 8: the pixels are as
    stored, never turned.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: tuple[float, float] | None = None
    resolution_unit: str | None = None
    orientation: int = 1


@dataclass(frozen=True)
class Scale:
    """How a file stores samples that are float32 here: their ``dtype`` there ("int8", "int16", "float16", "float32"),
    and the values that 0 and 1 stand for."""

    dtype: str
    black: float
    white: float


@dataclass(frozen=True, eq=False)
class Picture:
    """One image.

    ``pixels``: ``(H, W, C)``, C = 1 (gray), 3 (RGB) or 4 (CMYK, 0 is no ink), uint8 in 0..255, uint16 in 0..65535, or
    finite float32, nominally in [0, 1]. ``alpha``: ``(H, W)`` of the same type, or None; never premultiplied into
    ``pixels``. ``bilevel``: stored with one bit a pixel, here as gray of 0 and 255; there is no noise to remove.
    ``scale``: what the file holds, where that is neither these integers nor floats from 0 to 1.

    Of a TIFF page: ``bit_depth``, bits per sample as stored, where pages may differ; ``white_is_zero``: the file has
    its gray values the other way round; ``unnamed_channel``: ``alpha`` is one of which the file does not say what it is
    (the infrared of a film scanner, say).
    """

    pixels: Array
    alpha: Array | None = None
    metadata: Metadata = Metadata()
    bilevel: bool = False
    scale: Scale | None = None
    bit_depth: int | None = None
    white_is_zero: bool = False
    unnamed_channel: bool = False


@dataclass(frozen=True)
class Behind:
    """What stands behind the first picture of a JPEG file, to be stored there again: ``parts``, each its number in the
    Multi-Picture segment ``index`` (None where that does not list it) and its bytes (None for the next view, which is a
    page of the file)."""

    index: bytes = b""
    parts: tuple[tuple[int | None, bytes | None], ...] = ()


@dataclass(frozen=True)
class Encoding:
    """How a file was stored, so that it can be stored the same way again. Fields of other formats keep their
    default.

    ``format``: "jpeg", "png", "tiff", "webp", "gif", "avif", "bmp", "pnm" or "jp2". ``bit_depth``: bits per sample
    as stored. ``quality``: 1..100 of a lossy format, estimated. ``subsampling``: "4:4:4", "4:2:2", "4:2:0",
    "4:4:0" or "4:1:1". ``progressive``: a progressive JPEG or an interlaced PNG. ``compression``: libvips'
    name of a TIFF compression. ``tile``: (width, height) of a tiled TIFF. ``premultiplied``: the file's
    colours are multiplied by its alpha. ``chunks``: PNG chunks that say what the colours mean, or hold text,
    verbatim; of a JPEG, comments and the like, named by their marker byte. ``ascii``: a PNM written as text;
    ``white``: its largest value, which may be less than the bits allow.
    ``delays``: milliseconds for each frame of an animation; ``loop``: how often it runs, 0 for ever.
    ``frame_times``: the same as a PNG has it, as fractions (numerator, denominator) of a second. ``jfif``: a JPEG
    has a JFIF header; ``density``: what stands there, unit (0 none, 1 inch, 2 centimetre), x and y; None to say the
    resolution. ``views``: how the further pages of a JPEG are stored; ``behind``: what else is there.
    """

    format: str
    bit_depth: int = 8
    quality: int | None = None
    subsampling: str | None = None
    progressive: bool = False
    lossless: bool = True
    compression: str | None = None
    predictor: str | None = None
    tile: tuple[int, int] | None = None
    bigtiff: bool = False
    premultiplied: bool = False
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    ascii: bool = False
    white: int | None = None
    delays: tuple[int, ...] = ()
    loop: int = 0
    frame_times: tuple[tuple[int, int], ...] = ()
    jfif: bool = True
    density: tuple[int, int, int] | None = None
    views: tuple[Encoding, ...] = ()
    behind: Behind = Behind()

    @property
    def top(self) -> int | None:
        """The largest value that a sample has in the file, where that is less than what its type of pixels holds: 15
        in a PNG of 4 bits, which are read as uint8 with 255 for 15."""
        return self.white or ((1 << self.bit_depth) - 1 if self.format == "png" and self.bit_depth < 8 else None)


@dataclass(frozen=True, eq=False)
class ImageFile:
    """A file's pages (one, but for multi-page TIFF and animations), how it was stored, and what could not be kept, in
    plain words."""

    pages: tuple[Picture, ...]
    encoding: Encoding
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """``megapixels``: how many million pixels all pages together may have. ``scratch``: where pixels are kept."""

    megapixels: float
    scratch: Scratch

    def less(self, megapixels: float) -> Limits:
        """What is left when a first part of the file has so many."""
        return replace(self, megapixels=max(0.0, self.megapixels - megapixels))


def shown(path: Path | str) -> str:
    """The path as text that any terminal and log can hold: control characters and undecodable bytes
    escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
