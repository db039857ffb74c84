"""The directory structure of TIFF files (TIFF 6.0 and BigTIFF), which EXIF blocks share.

libvips decodes and encodes the pixels of one page. This room does what it does not: say how a page is stored,
carry the tags it does not know from the old file to the new, and chain pages of different sizes into one
file.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from folderdenoise.codecs.headers import HeaderError

# Bytes per value of each field type; what is not listed is skipped.
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_CODES = {
    1: "B",
    3: "H",
    4: "I",
    6: "b",
    8: "h",
    9: "i",
    11: "f",
    12: "d",
    13: "I",
    16: "Q",
    17: "q",
    18: "Q",
}
_WORDS = {5: 4, 10: 4}  # rationals are pairs of four-byte numbers
_MOST_BYTES = 1 << 28  # of one field: beyond it the header lies

EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY_DIRECTORY = 34665, 34853, 40965
_POINTERS = (EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY_DIRECTORY)
STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES = 273, 279, 324, 325
_OFFSETS = {STRIP_OFFSETS: STRIP_BYTES, TILE_OFFSETS: TILE_BYTES}

# Tags that say how pixels are stored, point into the old file or go through libvips: the new page has its
# own.
_OWN_TAGS = frozenset(
    [254, 255, *range(256, 267), 273, 274, *range(277, 282), 284, *range(288, 294), 317, *range(320, 326),
     *range(326, 329), 330, *range(332, 342), *range(342, 348), *range(512, 522), *range(529, 533), 559,
     700, 33723, 34377, 34675, 37724, *_POINTERS]
)  # fmt: skip
RESOLUTION_TAGS = (282, 283, 296)


@dataclass(frozen=True)
class Field:
    """One directory entry: TIFF field type, raw little-endian bytes; ``directory`` where it points to
    another."""

    kind: int
    data: bytes
    directory: Mapping[int, Field] | None = None

    @property
    def values(self) -> tuple[int | float, ...]:
        """The numbers of the field; for a rational, numerators and denominators in turn."""
        if self.kind in _WORDS:
            return struct.unpack(f"<{len(self.data) // 4}{'I' if self.kind == 5 else 'i'}", self.data)
        code = _CODES.get(self.kind, "B")
        return struct.unpack(f"<{len(self.data) // _SIZES[self.kind]}{code}", self.data)

    @property
    def integers(self) -> tuple[int, ...]:
        """The numbers of the field, as integers."""
        return tuple(int(v) for v in self.values)


Directory = Mapping[int, Field]


class Reader:
    """The directories of a TIFF file or EXIF block. ``order`` is "<" or ">", ``big`` is True for BigTIFF."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        start = file.read(8)
        if len(start) < 8 or start[:2] not in (b"II", b"MM"):
            raise HeaderError("it does not begin as a TIFF file does")
        self.order = "<" if start[:2] == b"II" else ">"
        (version,) = struct.unpack(self.order + "H", start[2:4])
        if version not in (42, 43):
            raise HeaderError("it does not begin as a TIFF file does")
        self.big = version == 43
        self._first = self._unpack(8, "Q")[0] if self.big else struct.unpack(self.order + "I", start[4:8])[0]
        self.loops = False

    def _unpack(self, offset: int, codes: str) -> tuple[int, ...]:
        data = self._read(offset, struct.calcsize(self.order + codes))
        return struct.unpack(self.order + codes, data)

    def _read(self, offset: int, size: int) -> bytes:
        try:
            self._file.seek(offset)
            data = self._file.read(size)
        except (OSError, OverflowError, ValueError) as error:
            raise HeaderError("a part of its header lies outside the file") from error
        if len(data) < size:
            raise HeaderError("it ends before its header does")
        return data

    def directories(self, most: int = 10_000) -> Iterator[Directory]:
        """Each directory of the main chain, pages and all. Raises HeaderError on loops and cut-off files."""
        offset, seen = self._first, set[int]()
        while offset:
            if offset in seen or len(seen) >= most:
                raise HeaderError("its list of pages runs in a circle")
            seen.add(offset)
            directory, offset = self.directory(offset)
            yield directory

    def directory(self, offset: int, depth: int = 0) -> tuple[Directory, int]:
        """The fields of the directory at ``offset``, and the offset of the next (0: none)."""
        head, item, tail = ("Q", "HHQ8s", "Q") if self.big else ("H", "HHI4s", "I")
        (count,) = self._unpack(offset, head)
        if count > 65535:
            raise HeaderError("a part of its header claims an impossible length")
        position = offset + struct.calcsize("<" + head)
        size = struct.calcsize("<" + item)
        block = self._read(position, count * size)
        fields: dict[int, Field] = {}
        for i in range(count):
            tag, kind, number, inline = struct.unpack_from(self.order + item, block, i * size)
            if kind in _SIZES and tag not in fields:  # of a repeated tag, libtiff takes the first as well
                self._add(fields, tag, kind, number, inline, depth)
        position += count * size
        try:
            (following,) = self._unpack(position, tail)
        except HeaderError:
            following = 0  # some writers leave the last pointer out
        return fields, following

    def _add(self, fields: dict[int, Field], tag: int, kind: int, count: int, inline: bytes, depth: int) -> None:
        size = count * _SIZES[kind]
        if size > _MOST_BYTES:
            raise HeaderError("a part of its header claims an impossible length")
        if size > len(inline):
            data = self._read(struct.unpack(self.order + ("Q" if self.big else "I"), inline)[0], size)
        else:
            data = inline[:size]
        if self.order == ">":
            width = _WORDS.get(kind, _SIZES[kind])
            data = data if width == 1 else swapped(data, width)
        pointed = None
        if tag in _POINTERS and depth < 2:
            values = Field(kind, data).integers
            pointed = self.directory(values[0], depth + 1)[0] if values and values[0] else {}
        fields[tag] = Field(kind, data, pointed)


def swapped(data: bytes, width: int) -> bytes:
    """The values of ``width`` bytes each in the other byte order."""
    other = bytearray(len(data))
    for i in range(width):
        other[i::width] = data[width - 1 - i :: width]
    return bytes(other)


def carried(directory: Directory) -> dict[int, Field]:
    """The fields that describe the picture and not how its pixels are stored: camera, date, GPS, author, map
    tags."""
    return {
        tag: field
        for tag, field in directory.items()
        if field.directory or not (tag in _OWN_TAGS or tag in RESOLUTION_TAGS or field.kind in (13, 18))
    }


def exif_block(fields: Directory) -> bytes | None:
    """The fields as a TIFF-structured (EXIF) block, or None if there are none."""
    if not fields:
        return None
    file = io.BytesIO()
    file.write(b"II*\0\0\0\0\0")
    start = _write(file, fields, big=False)
    file.seek(4)
    file.write(struct.pack("<I", start))
    return file.getvalue()


def exif_fields(block: bytes) -> Directory:
    """The fields of the first directory of an EXIF block; none where it is damaged."""
    try:
        return next(Reader(io.BytesIO(block)).directories(), {})
    except HeaderError:
        return {}


def without_thumbnail(block: bytes) -> bytes:
    """The EXIF block with its second directory, the thumbnail, unlinked. No other byte changes, so that maker
    notes (which hold offsets of their own) stay readable; the thumbnail's bytes go where they end the
    block."""
    try:
        reader = Reader(io.BytesIO(block))
        start = struct.unpack_from(reader.order + "I", block, 4)[0]
        count = struct.unpack_from(reader.order + "H", block, start)[0]
        link = start + 2 + 12 * count
        following = struct.unpack_from(reader.order + "I", block, link)[0]
        if not following:
            return block
        second, _ = reader.directory(following)
    except (HeaderError, struct.error):
        return block
    changed = bytearray(block)
    changed[link : link + 4] = bytes(4)
    if 513 in second and 514 in second:
        offset, length = second[513].integers[0], second[514].integers[0]
        if offset > following > link and offset + length == len(block):
            del changed[offset:]
    return bytes(changed)


def _write(file: BinaryIO, fields: Directory, *, big: bool) -> int:
    """Append a directory that ends its chain at the end of ``file``; returns its offset."""
    place = 8 if big else 4
    pointer = "<Q" if big else "<I"
    items = []
    for tag, field in sorted(fields.items()):
        kind, data = field.kind, field.data
        if field.directory is not None:
            kind, data = 4, struct.pack("<I", _write(file, field.directory, big=big))
        count = len(data) // _SIZES[kind]
        if len(data) > place:
            file.seek(0, io.SEEK_END)
            file.write(b"\0" * (file.tell() & 1))
            offset = file.tell()
            file.write(data)
            data = struct.pack(pointer, offset)
        items.append(struct.pack("<HHQ" if big else "<HHI", tag, kind, count) + data.ljust(place, b"\0"))
    file.seek(0, io.SEEK_END)
    file.write(b"\0" * (-file.tell() % 8 if big else file.tell() & 1))
    start = file.tell()
    file.write(struct.pack("<Q" if big else "<H", len(items)) + b"".join(items) + bytes(place))
    return start


class Assembler:
    """Chains single-page TIFF files, as libvips writes them, into one.

    ``file`` holds the first page already and is open for reading and writing. Each page gets a new directory
    at the end of the file, with the tags to carry over; the directory that libvips wrote stays behind,
    unused.
    """

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        reader = Reader(file)
        self._file, self._big = file, reader.big
        self._link = 8 if reader.big else 4
        self._page: Directory = next(reader.directories())

    def finish_page(self, extra: Directory, page: BinaryIO | None = None) -> None:
        """Write the directory of the first page (``page`` None) or append ``page``. ``extra`` replaces or
        adds tags; the resolution tags are only those in ``extra``."""
        fields = dict(self._page) if page is None else self._copied(page)
        for tag in RESOLUTION_TAGS:
            fields.pop(tag, None)
        fields.update(extra)
        start = _write(self._file, fields, big=self._big)
        self._file.seek(self._link)
        self._file.write(struct.pack("<Q" if self._big else "<I", start))
        head, item = (8, 20) if self._big else (2, 12)
        self._link = start + head + item * len(fields)

    def _copied(self, page: BinaryIO) -> dict[int, Field]:
        fields = dict(next(Reader(page).directories()))
        for offsets, lengths in _OFFSETS.items():
            if offsets not in fields:
                continue
            moved = []
            self._file.seek(0, io.SEEK_END)
            for offset, length in zip(fields[offsets].integers, fields[lengths].integers, strict=True):
                page.seek(offset)
                self._file.write(b"\0" * (self._file.tell() & 1))
                moved.append(self._file.tell())
                self._file.write(page.read(length))
            code, kind = ("Q", 16) if self._big else ("I", 4)
            fields[offsets] = Field(kind, struct.pack(f"<{len(moved)}{code}", *moved))
        return fields
