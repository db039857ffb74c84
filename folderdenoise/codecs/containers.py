"""Putting chunks that libvips would lose or rewrite back into an encoded file: EXIF, resolution, colour
chunks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence

from folderdenoise.codecs import headers, photoshop
from folderdenoise.codecs.headers import EXIF_PREFIX
from folderdenoise.codecs.picture import Encoding, Metadata

Pieces = Iterable[bytes | memoryview]


def jpeg(encoded: bytes, metadata: Metadata, segments: Sequence[bytes], encoding: Encoding) -> list[bytes | memoryview]:
    """A JPEG file with EXIF and Photoshop's block of ``metadata``, and a JFIF header where ``encoding`` has one.
    ``segments`` come behind EXIF, each a piece."""
    rest = memoryview(encoded)[2:]
    while rest[0] == 0xFF and rest[1] == 0xE0:  # the encoder's own JFIF header
        rest = rest[2 + int.from_bytes(rest[2:4], "big") :]
    pieces: list[bytes | memoryview] = [b"\xff\xd8"]
    if encoding.jfif:
        density = encoding.density or _density(metadata)
        pieces.append(segment(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHBB", *density, 0, 0)))
    if metadata.exif is not None:
        pieces.append(segment(0xE1, EXIF_PREFIX + metadata.exif))
    blocks = photoshop.jpeg_segments(metadata.iptc) if metadata.iptc else []
    return [*pieces, *segments, *(segment(0xED, block) for block in blocks), rest]


def _density(metadata: Metadata) -> tuple[int, int, int]:
    """Unit (0: none, a ratio; 1: an inch; 2: a centimetre), x and y, as a JFIF header has them."""
    if metadata.resolution is None:
        return 0, 1, 1
    width = metadata.resolution[0]
    # Whole numbers only: 300 dots an inch, which a PNG keeps as 11,811 a metre, is none a centimetre.
    scales = {"cm": [(10.0, 2), (25.4, 1)], "in": [(25.4, 1)]}.get(metadata.resolution_unit or "", [(1.0, 0)])
    scale, unit = min(scales, key=lambda choice: abs(width * choice[0] - round(width * choice[0])))
    x, y = (min(max(round(value * scale), 1), 65535) for value in metadata.resolution)
    return unit, x, y


def segment(marker: int, payload: bytes) -> bytes:
    """One JPEG marker segment."""
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def png(encoded: bytes, metadata: Metadata, kept: Sequence[tuple[bytes, bytes]]) -> list[bytes | memoryview]:
    """A PNG file, encoded without XMP, with the chunks ``kept`` and EXIF and XMP of ``metadata``; without resolution
    where there is none."""
    replaced = {name for name, _ in kept} | ({b"pHYs"} if metadata.resolution is None else set())
    view = memoryview(encoded)
    pieces: list[bytes | memoryview] = [view[:33]]  # signature and IHDR
    pieces += [chunk(name, data) for name, data in kept]
    if metadata.exif is not None:
        pieces.append(chunk(b"eXIf", metadata.exif))
    if metadata.xmp is not None:
        pieces.append(chunk(b"iTXt", headers.XMP_KEYWORD + bytes(4) + metadata.xmp))
    position = 33
    while position < len(view):
        length, name = struct.unpack_from(">I4s", view, position)
        if name not in replaced:
            pieces.append(view[position : position + length + 12])
        position += length + 12
    return pieces


def chunk(name: bytes, data: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def webp(encoded: bytes, exif: bytes) -> Pieces:
    """A WebP file, encoded with some EXIF chunk, with this one instead."""
    view = memoryview(encoded)
    return riff(
        [(name, exif if name == b"EXIF" else view[at : at + size]) for name, at, size in headers.riff_chunks(view)]
    )


def riff(chunks: Sequence[tuple[bytes, bytes | memoryview]]) -> list[bytes | memoryview]:
    """A WebP file of these chunks; its header is the first piece."""
    pieces: list[bytes | memoryview] = []
    for name, data in chunks:
        pieces += [struct.pack("<4sI", name, len(data)), data, b"\0" * (len(data) & 1)]
    return [struct.pack("<4sI4s", b"RIFF", 4 + sum(map(len, pieces)), b"WEBP"), *pieces]
