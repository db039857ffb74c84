"""TIFF pages that libvips cannot read or write as they are: the same pixels in other strips.

Its wheels have no ZSTD and no LZMA, it does not read tiles of separate colour planes, and of some kinds of samples it
takes another value than they have for full alpha. Compression is the outermost layer of a strip or tile (predictor,
byte order and bit packing lie inside), so changing it changes no pixel.
"""

from __future__ import annotations

import io
import lzma
import struct
import zlib

import zstandard

from folderdenoise.codecs.headers import HeaderError
from folderdenoise.codecs.tiff import Directory, Field, Reader
from folderdenoise.codecs.tiffpage import PageKind
from folderdenoise.codecs.tiffwriter import tiff_file

DEFLATE = 8
RECODED = {50000: "zstd", 34925: "lzma"}
"""TIFF compression numbers that libvips does not know and this room does -> their names."""
NUMBERS = {name: number for number, name in RECODED.items()}

_STORAGE = (256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 332, 338, 339, 347,
            530, 531, 532, 700, 34675)  # fmt: skip
_SHORT = 3
_UNASSOCIATED = 2  # of ExtraSamples: alpha that the colours are not multiplied by


def needed(kind: PageKind) -> bool:
    """Whether libvips reads the page only through :func:`readable`."""
    return kind.compression in RECODED or kind.is_half or (kind.planar and kind.tile is not None) or multiplied(kind)


def multiplied(kind: PageKind) -> bool:
    """Whether the files of :func:`readable` hold colours that are multiplied by alpha, and libvips does not know."""
    # For full alpha it takes 255 in all print colours and in gray floats.
    misread = kind.bits[0] > 8 if kind.colours == 4 else kind.sample_formats[0] == 3 and kind.colours == 1
    in_planes = kind.planar and kind.tile is not None  # each of which is read as gray
    return kind.premultiplied and kind.channels > (kind.colours or 0) and (misread or in_planes)


def readable(reader: Reader, directory: Directory, kind: PageKind) -> list[bytes]:
    """Files of one page each that libvips reads: the page, or its colour planes one by one.

    Raises HeaderError for a damaged page.
    """
    fields = {tag: field for tag, field in directory.items() if tag in _STORAGE}
    if kind.is_half:
        fields.pop(339)  # two bytes each, as integers have
    if multiplied(kind):
        fields[338] = _short(_UNASSOCIATED)
    chunks = reader.chunks(fields)
    if kind.compression in RECODED:
        most = _most_bytes(kind, fields)
        chunks = [zlib.compress(_expand(chunk, kind.compression, most), 1) for chunk in chunks]
        fields[259] = _short(DEFLATE)
    if not (kind.planar and kind.tile):
        return [tiff_file(fields, chunks, order=reader.order, big=reader.big)]
    count = len(chunks) // kind.channels
    if count * kind.channels != len(chunks):
        raise HeaderError("its colour planes differ in size")
    gray = {277: _short(1), 258: _short(kind.bits[0]), 284: _short(1)}
    gray |= {339: _short(kind.sample_formats[0])} if 339 in fields else {}
    plane = {tag: field for tag, field in fields.items() if tag not in (332, 338)} | gray
    # Where 0 is white, it is so in the first, and an extra channel keeps its values.
    photometric = {0: _short(kind.photometric if kind.colours == 1 else 1)}
    return [
        tiff_file(
            plane | {262: photometric.get(first, _short(1))},
            chunks[first : first + count],
            order=reader.order,
            big=reader.big,
        )
        for first in range(0, len(chunks), count)
    ]


def _most_bytes(kind: PageKind, fields: Directory) -> int:
    """The size of a strip or tile: a compressed one that grows beyond it is a trap."""
    width, height = kind.tile or (kind.width, min(kind.height, fields[278].integers[0] if 278 in fields else 2**32))
    return (width * kind.bits[0] * (1 if kind.planar else kind.channels) + 7) // 8 * height


def _expand(chunk: bytes, compression: int, most: int) -> bytes:
    try:
        if RECODED[compression] == "lzma":
            return lzma.LZMADecompressor().decompress(chunk, most)
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(chunk)) as stream:
            return stream.read(most)
    except (lzma.LZMAError, EOFError, zstandard.ZstdError) as error:
        raise HeaderError(f"{RECODED[compression]}: {error}") from error


def recompress(name: str, chunk: bytes) -> bytes:
    """A strip or tile that is compressed with Deflate, compressed with "zstd" or "lzma" instead."""
    plain = zlib.decompress(chunk)
    return lzma.compress(plain) if name == "lzma" else zstandard.ZstdCompressor(9).compress(plain)


def compression_field(name: str) -> dict[int, Field]:
    """The tag that says so."""
    return {259: _short(NUMBERS[name])}


def _short(value: int) -> Field:
    return Field(_SHORT, struct.pack("<H", value))
