"""What decoders do not tell: JPEG quality and sampling, PNG and WebP chunks. Only headers are read, no
pixels."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

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

EXIF_PREFIX = b"Exif\0\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"


class HeaderError(ValueError):
    """The header contradicts itself or ends too early; the text says how, in plain words."""


@dataclass
class JpegHeader:
    """``components`` counts the channels, ``precision`` their bits. ``quality`` is the libjpeg setting
    (1..100) whose standard tables come closest to the file's. ``density``: JFIF (unit, x, y). ``pictures``:
    the attribute words of the pictures that a Multi-Picture index (CIPA DC-007) lists, the first included.
    ``transform``: Adobe's word on the colours (2: YCCK). ``kept``: (marker, payload) of segments to copy as they
    are; ``dropped``: those that would no longer be true, in words."""

    precision: int = 0
    components: int = 0
    progressive: bool = False
    lossless: bool = False
    subsampling: str | None = None
    quality: int = 75
    density: tuple[int, int, int] | None = None
    exif: bytes | None = None
    pictures: tuple[int, ...] = ()
    transform: int | None = None
    kept: list[tuple[int, bytes]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(marker, payload) of each segment from the start to the first scan."""
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
        elif marker == 0xE2 and payload[:4] == b"MPF\0":
            header.pictures = _multi_picture(payload[4:])
        elif marker == 0xEE and payload[:5] == b"Adobe" and len(payload) >= 12:
            header.transform = payload[11]
        elif marker == 0xFE or 0xE3 <= marker <= 0xEC or (marker == 0xE1 and payload.startswith(_EXTENDED_XMP)):
            if marker != 0xEB:
                header.kept.append((marker, payload))
            elif not header.dropped:  # JUMBF: signatures and gain maps of the pixels as they were
                header.dropped.append("its content credentials (or other JUMBF data) no longer fit and were")
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


def jpeg_tables_quality(tables: bytes) -> int:
    """The quality of the abbreviated JPEG stream that a TIFF keeps its quantisation tables in."""
    found: list[np.ndarray] = []
    with contextlib.suppress(HeaderError):  # it has no picture: running into its end is how it ends
        for marker, payload in jpeg_segments(io.BytesIO(tables)):
            if marker == 0xDB:
                found += _quantisation(payload).values()
    return _quality(found)


def _multi_picture(block: bytes) -> tuple[int, ...]:
    """Attribute words of the MP entries (tag 0xB002, 16 bytes each) of a Multi-Picture Format index."""
    order = "<" if block[:2] == b"II" else ">"
    try:
        (offset,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, offset)
        for i in range(count):
            tag, _kind, size, where = struct.unpack_from(order + "HHII", block, offset + 2 + 12 * i)
            if tag == 0xB002:
                return tuple(struct.unpack_from(order + "I", block, where + 16 * k)[0] for k in range(size // 16))
    except struct.error:
        return ()  # a damaged index: the first picture stands on its own
    return ()


@dataclass
class PngHeader:
    """``colour``: PNG colour type (0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGBA). ``kept``: chunks to
    copy as they are. ``frames``: above 1 when animated. ``density``: pixels per millimetre."""

    depth: int = 0
    colour: int = 0
    interlaced: bool = False
    palette: bytes = b""
    transparent_key: bool = False
    density: tuple[float, float] | None = None
    exif: bytes | None = None
    frames: int = 1
    kept: list[tuple[bytes, bytes]] = field(default_factory=list)


_LONGEST_SIDE = 10_000_000  # libvips takes no more, and would print what it thinks of it
_PNG_KEPT = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"tEXt", b"zTXt", b"iTXt")
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"  # libvips keeps this one


def png(file: BinaryIO) -> PngHeader:
    """Read the chunks of a PNG file, before and after its pixels. Raises HeaderError."""
    header = PngHeader()
    file.read(8)
    animation, first_frame_in_animation, seen_pixels = 0, False, False
    while True:
        start = file.read(8)
        if len(start) < 8:
            raise HeaderError("it ends before its closing mark")
        length, name = struct.unpack(">I4s", start)
        if name == b"IEND":
            break
        if name in (b"IHDR", b"PLTE", b"eXIf", b"acTL", b"pHYs", *_PNG_KEPT):
            if length > 1 << 24:
                raise HeaderError("a part of its header claims an impossible length")
            data = file.read(length)
            if len(data) < length:
                raise HeaderError("it ends in the middle of its header")
            file.seek(4, 1)
            if name == b"IHDR" and length >= 13:
                if max(struct.unpack(">II", data[:8])) > _LONGEST_SIDE:
                    raise HeaderError("its header gives an impossible size")
                header.depth, header.colour, header.interlaced = data[8], data[9], bool(data[12])
            elif name == b"PLTE":
                header.palette = data
            elif name == b"eXIf":
                header.exif = data.removeprefix(EXIF_PREFIX)
            elif name == b"acTL" and length >= 4:
                animation = int.from_bytes(data[:4], "big")
            elif name == b"pHYs" and data[8:9] == b"\1":  # in pixels per metre
                x, y = struct.unpack(">II", data[:8])
                header.density = (x / 1000, y / 1000) if x and y else None
            elif not data.startswith(_XMP_KEYWORD):  # a pHYs without unit gives the shape of a pixel
                header.kept.append((name, data))
            continue
        header.transparent_key |= name == b"tRNS"
        seen_pixels |= name == b"IDAT"
        first_frame_in_animation |= name == b"fcTL" and not seen_pixels
        file.seek(length + 4, 1)
    if animation:
        header.frames = animation if first_frame_in_animation else animation + 1
    return header


@dataclass
class WebpHeader:
    """``lossless``: VP8L pixels. ``animated``: the file has frames. ``exif``: the EXIF block."""

    lossless: bool = False
    animated: bool = False
    exif: bytes | None = None


def webp(data: bytes) -> WebpHeader:
    """Read the chunks of a WebP file. Raises HeaderError where it is shorter than it says."""
    header = WebpHeader()
    if len(data) < 12 or len(data) < int.from_bytes(data[4:8], "little") + 8:
        raise HeaderError("it is shorter than its header says")
    for name, start, length in riff_chunks(data):
        header.lossless |= name == b"VP8L"
        header.animated |= name in (b"ANIM", b"ANMF")
        if name == b"EXIF":
            header.exif = data[start : start + length].removeprefix(EXIF_PREFIX)
    return header


def riff_chunks(data: bytes | memoryview) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, length) of the payload of each chunk of a RIFF file."""
    position = 12
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        yield name, position + 8, length
        position += 8 + length + (length & 1)
