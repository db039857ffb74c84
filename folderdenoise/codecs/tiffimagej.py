"""ImageJ's metadata in TIFF files (labels, display ranges, regions, properties), in the byte order of the file.

One tag holds the lengths of a header and of the parts behind it, another all of these, as bytes without a type: copied
as they are, a file of the other byte order has them the wrong way round. The header is a magic word and, for each kind
of part, its name and how many there are (``ij.io.TiffDecoder`` in ImageJ's source).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import replace

from folderdenoise.codecs.tiff import Field, swapped

LOST_NOTE = "its ImageJ metadata (labels, regions, ranges) are damaged and were dropped"
_LENGTHS, _METADATA = 50838, 50839
_BIG_ENDIAN = b"IJIJ"
_WIDTHS = {b"info": 2, b"labl": 2, b"prop": 2, b"key ": 2, b"rang": 8}
"""Kinds of parts that hold text in UTF-16 or numbers -> bytes of each. Regions and overlays have a byte order of their
own, and colour tables are bytes."""


def turn(fields: dict[int, Field]) -> bool:
    """Bring big-endian metadata into the other byte order, in place; without those that do not fit their lengths.
    Returns whether there were none such."""
    metadata = fields.get(_METADATA)
    if metadata is None or not metadata.data.startswith(_BIG_ENDIAN):
        return True
    try:
        lengths = fields[_LENGTHS].integers
        fields[_METADATA] = replace(metadata, data=b"".join(_turned(metadata.data, lengths)))
    except (KeyError, ValueError):
        fields.pop(_LENGTHS, None)
        del fields[_METADATA]
        return False
    return True


def _turned(data: bytes, lengths: tuple[int, ...]) -> Iterator[bytes]:
    """The header and the parts. Raises ValueError where the lengths are those of other data."""
    ends = list(itertools.accumulate(lengths))
    if not ends or ends[-1] > len(data) or min(lengths) < 0 or lengths[0] % 8 != 4:
        raise ValueError("not as long as it says")
    header = data[: lengths[0]]
    kinds = list[bytes]()
    for name, count in struct.iter_unpack(">4sI", header[4:]):
        if len(kinds) + count >= len(lengths):
            raise ValueError("more parts than it says")
        kinds += [name] * count
    yield swapped(header, 4)
    for kind, (start, end) in zip(kinds, itertools.pairwise(ends), strict=True):
        yield swapped(data[start:end], _WIDTHS.get(kind, 1))  # a ValueError where half a number is left
