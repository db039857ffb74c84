"""The directory structure of TIFF files (TIFF 6.0 and BigTIFF), which EXIF blocks share.

libvips decodes and encodes the pixels of one page. This room reads what it does not: how a page is stored, and the
tags to carry from the old file to the new. ``tiffwriter`` writes them.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from folderdenoise.codecs.headers import HeaderError

# Bytes per value of each field type (129: UTF-8 text of EXIF 3.0); what is not listed is skipped.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
         129: 1}  # fmt: skip
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
WORDS = {5: 4, 10: 4}  # rationals are pairs of four-byte numbers
_MOST_BYTES = 1 << 28  # of one field: beyond it the header lies

PHOTOSHOP = 34377
EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY_DIRECTORY = 34665, 34853, 40965
_POINTERS = (EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY_DIRECTORY)
NEW_SUBFILE_TYPE, ORIENTATION = 254, 274
CHUNKS = {273: 279, 324: 325}
"""Tags with the places of strips and of tiles -> those with their lengths in bytes."""

# Tags that say how pixels are stored, point into the old file or go through libvips: the new page has its
# own.
_OWN_TAGS = frozenset(
    [255, *range(256, 267), 273, 274, *range(277, 282), 284, *range(288, 294), 317, *range(320, 326),
     *range(326, 329), 330, 332, 335, *range(338, 343), 346, 347, *range(512, 522), *range(529, 533), 559,
     700, 33723, 34675, 37724, *_POINTERS]
)  # fmt: skip
RESOLUTION_TAGS = (282, 283, 296)
# Tags that hold places in the file as plain numbers: MetaMorph's, Olympus SIS', Zeiss LSM's. Copied, they would lead a
# reader to whatever stands there in the new file: a pixel size out of nowhere.
_PLACES = frozenset([33560, *range(33628, 33632), 34412])


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
        if self.kind in WORDS:
            return struct.unpack(f"<{len(self.data) // 4}{'I' if self.kind == 5 else 'i'}", self.data)
        code = _CODES.get(self.kind, "B")
        return struct.unpack(f"<{len(self.data) // SIZES[self.kind]}{code}", self.data)

    @property
    def integers(self) -> tuple[int, ...]:
        """The numbers of the field, as integers; without what is none."""
        return tuple(int(v) for v in self.values if math.isfinite(v))


Directory = Mapping[int, Field]


class Reader:
    """The directories of a TIFF file or EXIF block. ``order`` is "<" or ">", ``big`` is True for BigTIFF.

    ``lenient`` leaves out entries, and directories inside a directory, that lie outside the file, which else are a
    HeaderError: EXIF blocks that a program has moved often have one such, and the others are as good as before.
    """

    def __init__(self, file: BinaryIO, *, lenient: bool = False) -> None:
        self._file = file
        self._left_out: tuple[type[HeaderError], ...] = (HeaderError,) if lenient else ()
        start = file.read(8)
        self._size = file.seek(0, io.SEEK_END)
        if len(start) < 8 or start[:2] not in (b"II", b"MM"):
            raise HeaderError("it does not begin as a TIFF file does")
        self.order = "<" if start[:2] == b"II" else ">"
        (version,) = struct.unpack(self.order + "H", start[2:4])
        if version not in (42, 43):
            raise HeaderError("it does not begin as a TIFF file does")
        self.big = version == 43
        self._first = self._unpack(8, "Q")[0] if self.big else struct.unpack(self.order + "I", start[4:8])[0]

    def chunks(self, directory: Directory) -> list[bytes]:
        """The strips or tiles of a page, as stored. Raises HeaderError where they lie outside the file."""
        return [self._read(offset, length) for offset, length in places(directory)]

    def first_chunk(self, directory: Directory) -> bytes:
        """The first strip or tile of a page, as stored. Raises HeaderError where it lies outside the file."""
        return next((self._read(offset, length) for offset, length in places(directory)), b"")

    def _unpack(self, offset: int, codes: str) -> tuple[int, ...]:
        data = self._read(offset, struct.calcsize(self.order + codes))
        return struct.unpack(self.order + codes, data)

    def _read(self, offset: int, size: int) -> bytes:
        if offset + size > self._size:  # told without a read: a directory may have 65,535 such entries
            raise HeaderError("a part of its header lies outside the file")
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) < size:
            raise HeaderError("it ends before its header does")
        return data

    def directories(self) -> Iterator[Directory]:
        """Each directory of the main chain, pages and all. Raises HeaderError on loops and cut-off files."""
        offset, seen = self._first, set[int]()
        while offset:
            if offset in seen:
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
        seen, left = set[int](), self._size  # values that lie over each other would take any memory
        for i in range(count):
            tag, kind, number, inline = struct.unpack_from(self.order + item, block, i * size)
            if kind in SIZES and tag not in seen:  # of a repeated tag, libtiff takes the first as well
                seen.add(tag)
                with contextlib.suppress(*self._left_out):
                    fields[tag] = self._field(tag, kind, number, inline, depth, left)
                    left -= len(fields[tag].data)
        position += count * size
        try:
            (following,) = self._unpack(position, tail)
        except HeaderError:
            following = 0  # some writers leave the last pointer out
        return fields, following

    def _field(self, tag: int, kind: int, count: int, inline: bytes, depth: int, most: int) -> Field:
        size = count * SIZES[kind]
        if size > min(most, _MOST_BYTES):
            raise HeaderError("a part of its header claims an impossible length")
        if size > len(inline):
            data = self._read(struct.unpack(self.order + ("Q" if self.big else "I"), inline)[0], size)
        else:
            data = inline[:size]
        if self.order == ">":
            width = WORDS.get(kind, SIZES[kind])
            data = data if width == 1 else swapped(data, width)
        pointed = None
        if tag in _POINTERS and depth < 2:
            values = Field(kind, data).integers
            pointed = self.directory(values[0], depth + 1)[0] if values and values[0] else {}
        return Field(kind, data, pointed)


def places(directory: Directory) -> list[tuple[int, int]]:
    """(offset, length) of the strips or tiles of a page. Raises HeaderError where it does not say."""
    for offsets, lengths in CHUNKS.items():
        if offsets in directory and lengths in directory:
            return list(zip(directory[offsets].integers, directory[lengths].integers, strict=False))
    raise HeaderError("it does not say where its pixels are")


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
        if field.directory or not (tag in _OWN_TAGS or tag in RESOLUTION_TAGS or _points(tag, field))
    }


def pointing(directory: Directory) -> list[int]:
    """The tags of programs that hold places in the file: what stands there is not carried over."""
    return [
        tag
        for tag, field in directory.items()
        if _points(tag, field) and field.directory is None and tag not in _OWN_TAGS
    ]


def _points(tag: int, field: Field) -> bool:
    return field.kind in (13, 18) or tag in _PLACES


def exif_fields(block: bytes) -> Directory:
    """The fields of the first directory of an EXIF block, without those that lie outside it; none where the directory
    itself is damaged."""
    try:
        return next(Reader(io.BytesIO(block), lenient=True).directories(), {})
    except HeaderError:
        return {}


def without_thumbnail(block: bytes) -> bytes:
    """The EXIF block with its second directory, the thumbnail, unlinked. No other byte changes, so that maker
    notes (which hold offsets of their own) stay readable; the thumbnail's bytes go where they end the
    block."""
    try:
        reader = Reader(io.BytesIO(block), lenient=True)
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
    if all(tag in second and second[tag].integers for tag in (513, 514)):
        offset, length = second[513].integers[0], second[514].integers[0]
        if offset > following > link and offset + length == len(block):
            del changed[offset:]
    return bytes(changed)


def with_orientation(block: bytes, orientation: int) -> bytes:
    """The EXIF block with another value in its orientation tag, if it has one; no other byte changes."""
    try:
        order = Reader(io.BytesIO(block)).order
        start = struct.unpack_from(order + "I", block, 4)[0]
        count = struct.unpack_from(order + "H", block, start)[0]
        entries = [start + 2 + 12 * i for i in range(count)]
        place = next(entry for entry in entries if struct.unpack_from(order + "H", block, entry)[0] == ORIENTATION)
    except (HeaderError, StopIteration, struct.error):
        return block
    return block[: place + 8] + struct.pack(order + "HH", orientation, 0) + block[place + 12 :]
