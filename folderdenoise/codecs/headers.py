"""What decoders do not tell of PNG and WebP files, their chunks, and the boxes of JPEG 2000 and AVIF. Only headers are
read, no pixels."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

EXIF_PREFIX = b"Exif\0\0"


class HeaderError(ValueError):
    """The header contradicts itself or ends too early; the text says how, in plain words."""


@dataclass
class PngHeader:
    """``colour``: PNG colour type (0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGBA). ``kept``: chunks to
    copy as they are; ``dropped``: names of those that may not be copied, as the pixels change. ``animated``: it has
    frames. ``profile``: it has a colour profile, whatever that is worth. ``density``: pixels per millimetre."""

    depth: int = 0
    colour: int = 0
    interlaced: bool = False
    palette: bytes = b""
    transparent_key: bool = False
    density: tuple[float, float] | None = None
    exif: bytes | None = None
    animated: bool = False
    profile: bool = False
    kept: list[tuple[bytes, bytes]] = field(default_factory=list)
    dropped: list[bytes] = field(default_factory=list)


LONGEST_SIDE = 10_000_000
"""Pixels. libvips takes no more, and would print what it thinks of it."""
# Chunks that are read here or by libvips, say how pixels are stored, or count the colours that there were.
_PNG_KNOWN = (b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"pHYs", b"iCCP", b"hIST")
# The specification calls these unsafe to copy when pixels change; but denoising leaves what they say true.
_PNG_UNSAFE_KEPT = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"tIME", b"sTER", b"sCAL", b"pCAL")
_PNG_BY_COLOUR_TYPE = (b"bKGD", b"sBIT")
XMP_KEYWORD = b"XML:com.adobe.xmp\0"  # of text that libvips reads


def png(file: BinaryIO) -> PngHeader:
    """Read the chunks of a PNG file, before and after its pixels. Raises HeaderError."""
    header = PngHeader()
    file.read(8)
    while True:
        start = file.read(8)
        if len(start) < 8:
            raise HeaderError("it ends before its closing mark")
        length, name = struct.unpack(">I4s", start)
        if name == b"IEND":
            break
        header.transparent_key |= name == b"tRNS"
        header.profile |= name == b"iCCP"
        if name in (b"IDAT", b"fdAT", b"tRNS", b"fcTL", b"iCCP"):
            file.seek(length + 4, 1)
            continue
        if length > 1 << 24:
            raise HeaderError("a part of its header claims an impossible length")
        data = file.read(length)
        if len(data) < length:
            raise HeaderError("it ends in the middle of its header")
        file.seek(4, 1)
        if name == b"IHDR" and length >= 13:
            if max(struct.unpack(">II", data[:8])) > LONGEST_SIDE:
                raise HeaderError("its header gives an impossible size")
            header.depth, header.colour, header.interlaced = data[8], data[9], bool(data[12])
        elif name == b"PLTE":
            header.palette = data
        elif name == b"eXIf":
            header.exif = data.removeprefix(EXIF_PREFIX)
        elif name == b"acTL" and length >= 8:
            header.animated = True
        elif name == b"pHYs" and data[8:9] == b"\1":  # in pixels per metre
            x, y = struct.unpack(">II", data[:8])
            header.density = (x / 1000, y / 1000) if x and y else None
        elif name == b"pHYs":  # without unit it gives the shape of a pixel
            header.kept.append((name, data))
        elif name not in _PNG_KNOWN and not data.startswith(XMP_KEYWORD):
            _sort_out(header, name, data)
    if header.transparent_key:  # that it becomes an alpha channel gives this chunk another length
        header.kept = [kept for kept in header.kept if kept[0] != b"sBIT"]
    return header


def _sort_out(header: PngHeader, name: bytes, data: bytes) -> None:
    """Keep or drop an ancillary chunk: bit 5 of its name's last letter says whether it may be copied."""
    if name in _PNG_BY_COLOUR_TYPE:
        # The colour type changes where there is a palette, or a transparent colour.
        if header.colour != 3:
            header.kept.append((name, data))
    elif name[3] & 0x20 or name in _PNG_UNSAFE_KEPT:
        header.kept.append((name, data))
    else:
        header.dropped.append(name)


@dataclass
class WebpHeader:
    """``lossless``: VP8L pixels. ``animated``: the file has frames, shown on ``background`` (blue, green, red, alpha).
    ``lossy``: the start of the first VP8 frame. ``exif``: the EXIF block."""

    lossless: bool = False
    animated: bool = False
    background: bytes = bytes(4)
    lossy: bytes = b""
    exif: bytes | None = None


def webp(data: bytes) -> WebpHeader:
    """Read the chunks of a WebP file. Raises HeaderError where it is shorter than it says."""
    header = WebpHeader()
    if len(data) < 12 or len(data) < int.from_bytes(data[4:8], "little") + 8:
        raise HeaderError("it is shorter than its header says")
    for name, start, length in riff_chunks(data):
        inner = data[start + 16 : start + length] if name == b"ANMF" else b""
        header.lossless |= name == b"VP8L" or inner[:4] == b"VP8L"
        pixels = [(name, start)] if name == b"VP8 " else []
        if inner and not header.lossy:  # an alpha chunk may come before
            pixels = [(child, start + 16 + at - 12) for child, at, _ in riff_chunks(bytes(12) + inner)]
        header.lossy = header.lossy or next((data[at : at + 256] for kind, at in pixels if kind == b"VP8 "), b"")
        header.animated |= name in (b"ANIM", b"ANMF")
        if name == b"ANIM" and length >= 6:
            header.background = data[start : start + 4]
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


def boxes(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of the content of each box (ISO/IEC 14496-12, 4.2). Raises HeaderError where one ends
    outside."""
    while position + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1 and position + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        stop = position + size if size else end
        if stop < start or stop > end:
            raise HeaderError("one of its boxes has an impossible length")
        yield name, start, stop
        position = stop
