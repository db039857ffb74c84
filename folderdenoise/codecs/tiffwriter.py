"""Writing the directory structure of TIFF files: EXIF blocks, and pages of different sizes chained into one file."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from typing import BinaryIO

from folderdenoise.codecs.tiff import CHUNKS, RESOLUTION_TAGS, SIZES, WORDS, Directory, Field, Reader, swapped


def exif_block(fields: Directory) -> bytes | None:
    """The fields as a TIFF-structured (EXIF) block, or None if there are none."""
    return tiff_file(fields) if fields else None


def tiff_file(fields: Directory, chunks: Sequence[bytes] = (), *, order: str = "<", big: bool = False) -> bytes:
    """A file of one page.

    ``fields`` describe it; ``chunks`` are its strips or tiles, for which ``fields`` have the tags of places and
    lengths, to be filled in. ``order`` is "<" or ">", in which the chunks are already.
    """
    file = io.BytesIO()
    file.write(header(order, big=big))
    moved = _moved(fields, _append(file, chunks), [len(chunk) for chunk in chunks]) if chunks else fields
    start = write_directory(file, moved, big=big, order=order)
    link(file, 8 if big else 4, start, big=big, order=order)
    return file.getvalue()


def header(order: str, *, big: bool) -> bytes:
    """The first bytes of a file, whose first directory is to be linked at 4, or at 8 in a big one."""
    mark = b"II" if order == "<" else b"MM"
    return mark + (struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0))


def link(file: BinaryIO, place: int, start: int, *, big: bool, order: str = "<") -> None:
    """Write the pointer to the directory at ``start``."""
    file.seek(place)
    file.write(struct.pack(order + ("Q" if big else "I"), start))


def write_directory(file: BinaryIO, fields: Directory, *, big: bool = False, order: str = "<") -> int:
    """Append a directory that ends its chain at the end of ``file``; returns its offset."""
    place = 8 if big else 4
    items = []
    for tag, field in sorted(fields.items()):
        kind, data = field.kind, field.data
        if field.directory is not None:
            kind, data = 4, struct.pack("<I", write_directory(file, field.directory, big=big, order=order))
        count = len(data) // SIZES[kind]
        width = WORDS.get(kind, SIZES[kind])
        data = data if order == "<" or width == 1 else swapped(data, width)
        if len(data) > place:
            offset = _append(file, [data])[0]
            data = struct.pack(order + ("Q" if big else "I"), offset)
        items.append(struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count) + data.ljust(place, b"\0"))
    file.seek(0, io.SEEK_END)
    file.write(b"\0" * (-file.tell() % 8 if big else file.tell() & 1))
    start = file.tell()
    file.write(struct.pack(order + ("Q" if big else "H"), len(items)) + b"".join(items) + bytes(place))
    return start


def _append(file: BinaryIO, blocks: Sequence[bytes]) -> list[int]:
    """Write blocks at the end of the file, at even places: where they are."""
    places = []
    file.seek(0, io.SEEK_END)
    for block in blocks:
        file.write(b"\0" * (file.tell() & 1))
        places.append(file.tell())
        file.write(block)
    return places


def _moved(fields: Directory, places: Sequence[int], lengths: Sequence[int]) -> dict[int, Field]:
    offsets = next(tag for tag in CHUNKS if tag in fields)
    code, kind = ("Q", 16) if max(places) >= 2**32 else ("I", 4)
    changed = {offsets: Field(kind, struct.pack(f"<{len(places)}{code}", *places))}
    changed[CHUNKS[offsets]] = Field(4, struct.pack(f"<{len(lengths)}I", *lengths))
    return {**fields, **changed}


class Assembler:
    """Chains single-page TIFF files, as libvips writes them, into one.

    ``file`` is open for reading and writing. It is empty, or holds the first page already. Each page gets a new
    directory at the end of the file, with the tags to carry over; a directory that libvips wrote stays behind, unused.
    """

    def __init__(self, file: BinaryIO, *, big: bool) -> None:
        self._file, self._big = file, big
        self._link = 8 if big else 4
        if not file.seek(0, io.SEEK_END):
            file.write(header("<", big=big))

    def finish_first(self, extra: Directory) -> None:
        """Write the directory of the page that is in the file. ``extra`` replaces or adds tags; the resolution tags are
        only those in ``extra``."""
        self._file.seek(0)
        self._finish(next(Reader(self._file).directories()), extra)

    def append(self, page: BinaryIO, extra: Directory, recode: Callable[[bytes], bytes] | None = None) -> None:
        """Append the only page of the file ``page``, its strips or tiles sent through ``recode``."""
        reader = Reader(page)
        fields = next(reader.directories())
        chunks = reader.chunks(fields)
        chunks = chunks if recode is None else [recode(chunk) for chunk in chunks]
        self._finish(_moved(fields, _append(self._file, chunks), [len(chunk) for chunk in chunks]), extra)

    def _finish(self, page: Directory, extra: Directory) -> None:
        fields = {tag: field for tag, field in page.items() if tag not in RESOLUTION_TAGS} | dict(extra)
        start = write_directory(self._file, fields, big=self._big)
        link(self._file, self._link, start, big=self._big)
        head, item = (8, 20) if self._big else (2, 12)
        self._link = start + head + item * len(fields)
