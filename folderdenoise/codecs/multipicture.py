"""What stands behind the picture of a JPEG file: further views, previews, gain and depth maps, a phone's short film.

The Multi-Picture Format (CIPA DC-007) lists pictures of a file in an index, a segment of the first. Phones append more
without any index.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

from folderdenoise.codecs.headers import HeaderError
from folderdenoise.codecs.picture import Behind

MARK = b"MPF\0"
_ENTRY = 16  # bytes: attributes, size, place, two numbers of dependent pictures
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MAP = re.compile(rb"gain ?map|hdrgm|21496-1|depth ?map|GDepth|auxiliary", re.IGNORECASE)
_HEADER_BYTES = 1 << 17
_BLOCK = 1 << 20
MOST_BYTES = 1 << 28
"""More than that is not carried along: a photograph with a film takes some ten megabytes."""


class Contents(NamedTuple):
    """What stands behind a picture. ``views``: JPEG files of equal rank with it (stereo, panorama, burst);
    ``has_preview``: there was a smaller copy, which is in ``behind`` no more."""

    views: tuple[bytes, ...]
    behind: Behind
    has_preview: bool


def end_of_picture(file: BinaryIO) -> int | None:
    """Where the picture ends whose first scan begins at the place where ``file`` stands; None if it does not end."""
    start = position = file.tell()
    block = file.read(_BLOCK)
    while True:
        found = _MARKER.search(block, position - start)
        end = found.end() if found else 0
        if found and block[end - 1] == 0xD9:
            return start + end
        if found and end + 2 <= len(block):
            position = start + end + max(2, int.from_bytes(block[end : end + 2], "big"))
            continue
        # A marker, or the length behind it, may lie across the border.
        position = start + found.start() if found else max(position, start + len(block) - 1)
        if position == start:
            return None
        file.seek(position)
        start, block = position, file.read(_BLOCK)


def contents(file: BinaryIO, index: bytes, index_at: int, end: int) -> Contents:
    """What stands behind the picture that ends at ``end``. ``index`` is its Multi-Picture segment, with payload at
    ``index_at``, or empty. Raises HeaderError where a view is missing."""
    size = file.seek(0, 2)
    spans = []
    views, has_preview = [], False
    for number, (attributes, length, offset) in enumerate(_entries(index)[1:], start=1):
        start = index_at + len(MARK) + offset
        kind = attributes >> 16 & 0xFF  # 1: a preview; 2: a view of equal rank; others: gain maps and the like
        if kind == 0 and not _is_map(file, 0) and not _is_map(file, start):
            kind = 2  # not told: as the views of simple programs, but also as many gain maps
        if end <= start < size and length:
            # Pillow writes wrong lengths from the third picture on; whether one is whole, its decoder tells.
            spans.append((start, min(start + length, size), number, kind))
        elif kind == 2:
            raise HeaderError("it lists a further picture that is not there")
    spans.sort()
    if any(after[0] < before[1] for before, after in itertools.pairwise(spans)):
        if any(kind == 2 for *_, kind in spans):
            raise HeaderError("its further pictures overlap")
        index, spans = b"", []  # nobody can have read them
    parts: list[tuple[int | None, bytes | None]] = []
    position = end
    for start, stop, number, kind in spans:
        _keep(parts, None, file, position, start)
        if kind == 2:
            views.append(_read(file, start, stop))
            parts.append((number, None))
        elif kind == 1:
            has_preview = True
        else:
            _keep(parts, number, file, start, stop)
        position = stop
    _keep(parts, None, file, position, size)
    return Contents(tuple(views), Behind(index, tuple(parts)), has_preview)


def _is_map(file: BinaryIO, start: int) -> bool:
    """Whether the header of the picture at ``start`` tells of a gain or depth map."""
    file.seek(start)
    return _MAP.search(file.read(_HEADER_BYTES)) is not None


def _keep(
    parts: list[tuple[int | None, bytes | None]], number: int | None, file: BinaryIO, start: int, stop: int
) -> None:
    if stop - start > MOST_BYTES:
        raise HeaderError(f"there are {(stop - start) >> 20} MiB of other data behind its picture")
    data = _read(file, start, stop)
    if data.strip(b"\0\xff"):  # else padding
        parts.append((number, data))


def _read(file: BinaryIO, start: int, stop: int) -> bytes:
    file.seek(start)
    return file.read(stop - start)


def _entries(index: bytes) -> list[tuple[int, int, int]]:
    """(attributes, size, place) of the pictures that an index lists; none if it is damaged: the first picture stands on
    its own then."""
    try:
        order, _, where, count = _table(index)
        return [struct.unpack_from(order + "III", index, where + _ENTRY * i) for i in range(count)]
    except (struct.error, StopIteration):
        return []


def _table(index: bytes) -> tuple[str, int, int, int]:
    """Byte order, place of the directory, place of the first entry and number of entries, in the segment. Raises
    struct.error or StopIteration in a damaged one."""
    base = len(MARK)
    order = "<" if index[base : base + 2] == b"II" else ">"
    (offset,) = struct.unpack_from(order + "I", index, base + 4)
    directory = base + offset
    _, size, where = next(field for tag, *field in _fields(index, order, directory) if tag == 0xB002)
    return order, directory, base + where, size // _ENTRY


def _fields(index: bytes, order: str, directory: int) -> list[tuple[int, int, int, int]]:
    (count,) = struct.unpack_from(order + "H", index, directory)
    return [struct.unpack_from(order + "HHII", index, directory + 2 + 12 * i) for i in range(count)]


def with_places(index: bytes, places: Mapping[int, tuple[int, int]]) -> bytes:
    """The segment ``index``, of unchanged length, for the entries ``places`` only: number -> (place, size), the place
    counted from the segment's payload. The first picture, number 0, keeps its place, which is 0."""
    order, directory, where, count = _table(index)
    changed = bytearray(index)
    new = {old + 1: i + 1 for i, old in enumerate(sorted(places))} | {0: 0}
    entries = b""
    for number in sorted(places):
        attributes, _, _, *others = struct.unpack_from(order + "IIIHH", index, where + _ENTRY * number)
        place, size = places[number]
        start = place - len(MARK) if number else 0
        entries += struct.pack(order + "IIIHH", attributes, size, start, *(new.get(other, 0) for other in others))
    changed[where : where + _ENTRY * count] = entries.ljust(_ENTRY * count, b"\0")
    for i, (tag, *_) in enumerate(_fields(index, order, directory)):
        value = {0xB001: len(places), 0xB002: len(entries)}.get(tag)
        if value is not None:  # the number of pictures is in the field, the size of the entries is its count
            struct.pack_into(order + "I", changed, directory + 2 + 12 * i + (8 if tag == 0xB001 else 4), value)
    return bytes(changed)
