"""What decoders do not tell of a JPEG file: quality, sampling, its segments, and what is stored behind its picture."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from folderdenoise.codecs import multipicture
from folderdenoise.codecs.headers import EXIF_PREFIX, HeaderError

# ITU-T T.81, Annex K, tables K.1 and K.2 (luminance, chrominance), in natural order.
_LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip
_CHROMINANCE = np.array([
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *[99] * 32,
])  # fmt: skip
_ZIGZAG = np.array([
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
])  # fmt: skip
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SAMPLING = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}

# Segments that are written anew: JFIF header (or its thumbnail), XMP, colour profile, Adobe's colours.
_PHOTOSHOP = b"Photoshop 3.0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_ANEW = {
    0xE0: (b"JFIF\0", b"JFXX\0"),
    0xE1: (_XMP,),
    0xE2: (b"ICC_PROFILE\0",),
    0xEE: (b"Adobe",),
}


@dataclass
class JpegHeader:
    """``components`` counts the channels, ``precision`` their bits. ``quality`` is the libjpeg setting
    (1..100) whose standard tables come closest to the file's. ``density``: JFIF (unit, x, y), None in a file without
    JFIF header. ``photoshop``: the resources with IPTC, of all segments that they were parted into. ``index``: the
    Multi-Picture segment, and ``index_at`` where in the file its payload is. ``transform``: Adobe's word on the colours
    (2: YCCK). ``identifiers``: of the channels. ``kept``: (marker, payload) of segments to copy as they are;
    ``dropped``: those that would no longer be true, in words."""

    precision: int = 0
    components: int = 0
    progressive: bool = False
    lossless: bool = False
    subsampling: str | None = None
    quality: int = 75
    density: tuple[int, int, int] | None = None
    exif: bytes | None = None
    photoshop: bytes = b""
    index: bytes = b""
    index_at: int = 0
    transform: int | None = None
    identifiers: bytes = b""
    kept: list[tuple[int, bytes]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def drop(self, what: str) -> None:
        """Note once that something was dropped."""
        if what not in self.dropped:
            self.dropped.append(what)

    @property
    def is_rgb(self) -> bool:
        """Whether its three channels are red, green and blue and not YCbCr, as libjpeg tells it."""
        if self.components != 3 or self.density is not None:
            return False
        return self.identifiers == b"RGB" if self.transform is None else self.transform == 0


def jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(marker, payload) of each segment from the start to the first scan, behind which the file then stands."""
    if file.read(2) != b"\xff\xd8":
        raise HeaderError("it does not begin as a JPEG file does")
    while True:
        byte = file.read(1)
        while byte and byte != b"\xff":  # stray bytes between segments: decoders skip them too
            byte = file.read(1)
        while byte == b"\xff":
            byte = file.read(1)
        if not byte:
            raise HeaderError("it ends before its picture begins")
        marker = byte[0]
        if marker in (0x00, 0x01, 0xD9) or 0xD0 <= marker <= 0xD8:
            continue
        size = file.read(2)
        length = int.from_bytes(size, "big") - 2
        payload = file.read(length) if length >= 0 else b""
        if len(size) < 2 or length < 0 or len(payload) < length:
            raise HeaderError("it ends in the middle of its header")
        yield marker, payload
        if marker == 0xDA:
            return


def jpeg(file: BinaryIO) -> JpegHeader:
    """Read the header of a JPEG file. Raises HeaderError."""
    header = JpegHeader()
    has_xmp = False
    tables: dict[int, np.ndarray] = {}
    used: list[int] = []
    for marker, payload in jpeg_segments(file):
        if marker == 0xDB:
            tables.update(_quantisation(payload))
        elif marker in _FRAMES:
            used = _frame(header, marker, payload)
        elif marker == 0xE0 and payload[:5] == b"JFIF\0" and len(payload) >= 12:
            header.density = struct.unpack(">BHH", payload[7:12])
        elif marker == 0xE1 and payload[:6] == EXIF_PREFIX and header.exif is None:
            header.exif = payload[6:]
        elif marker == 0xED and payload.startswith(_PHOTOSHOP):
            header.photoshop = (header.photoshop or _PHOTOSHOP) + payload.removeprefix(_PHOTOSHOP)
        elif marker == 0xEE and payload[:5] == b"Adobe" and len(payload) >= 12:
            header.transform = payload[11]
        elif marker == 0xE2 and payload.startswith(multipicture.MARK):
            header.index, header.index_at = payload, file.tell() - len(payload)
        elif marker == 0xEB:  # JUMBF: signatures of the pixels as they were
            header.drop("its content credentials (or other JUMBF data) no longer fit and were")
        elif marker == 0xE1 and payload.startswith(_XMP):
            if has_xmp:
                header.drop("a second XMP block was")
            has_xmp = True
        elif (marker == 0xFE or 0xE0 <= marker <= 0xEF) and not payload.startswith(_ANEW.get(marker, ())):
            header.kept.append((marker, payload))
    if not header.components:
        raise HeaderError("its header does not say how large the picture is")
    header.quality = _quality([tables[t] for t in dict.fromkeys(used) if t in tables])
    return header


def _quantisation(payload: bytes) -> dict[int, np.ndarray]:
    tables: dict[int, np.ndarray] = {}
    while payload:
        wide, number = payload[0] >> 4, payload[0] & 15
        size = 128 if wide else 64
        if len(payload) < size + 1:
            raise HeaderError("its quantisation tables are cut off")
        table = np.empty(64, dtype=np.int64)
        table[_ZIGZAG] = np.frombuffer(payload[1 : size + 1], dtype=">u2" if wide else np.uint8)
        tables[number] = table
        payload = payload[size + 1 :]
    return tables


def _frame(header: JpegHeader, marker: int, payload: bytes) -> list[int]:
    """Fill in what the frame header says; returns the numbers of the quantisation tables in use."""
    if len(payload) < 6 or len(payload) < 6 + 3 * payload[5]:
        raise HeaderError("its frame header is cut off")
    header.precision, header.components = payload[0], payload[5]
    header.progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
    header.lossless = marker in (0xC3, 0xC7, 0xCB, 0xCF)
    parts = [payload[6 + 3 * i : 9 + 3 * i] for i in range(header.components)]
    header.identifiers = bytes(part[0] for part in parts)
    if header.components == 3:
        (h0, v0), *others = [(p[1] >> 4, p[1] & 15) for p in parts]
        if all(h and v and h0 % h == 0 and v0 % v == 0 for h, v in others) and len(set(others)) == 1:
            h, v = others[0]
            header.subsampling = _SAMPLING.get((h0 // h, v0 // v))
    return [p[2] for p in parts]


def _quality(tables: list[np.ndarray]) -> int:
    """The libjpeg quality whose scaled Annex K tables are nearest (sum of absolute differences) to
    ``tables``."""
    if not tables:
        return 75
    best, error = 75, float("inf")
    for quality in range(1, 101):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        difference = 0.0
        for table, standard in zip(tables, (_LUMINANCE, _CHROMINANCE, _CHROMINANCE), strict=False):
            difference += float(np.abs(np.clip((standard * scale + 50) // 100, 1, 255) - table).sum())
        if difference <= error:
            best, error = quality, difference
    return best


def tables_quality(*streams: bytes) -> int | None:
    """The quality of the JPEG streams in a TIFF: of the abbreviated one that its tag holds the tables in, and of strips
    or tiles, which may have tables of their own. None where no tables are found."""
    found: dict[int, np.ndarray] = {}
    for stream in streams:
        with contextlib.suppress(HeaderError):  # tables without a picture: running into their end is how it ends
            for marker, payload in jpeg_segments(io.BytesIO(stream)):
                if marker == 0xDB:
                    found.update(_quantisation(payload))
    return _quality([found[number] for number in sorted(found)]) if found else None
