"""Photoshop image resources: the block that JPEG and TIFF files carry IPTC, print settings and a thumbnail in.

Its structure is in Adobe's "Photoshop File Formats Specification", section "Image Resource Blocks".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_JPEG_PREFIX = b"Photoshop 3.0\0"
_LONGEST = 65533 - len(_JPEG_PREFIX)  # bytes, in a segment of a JPEG
_THUMBNAILS = (1033, 1036)
_IPTC = 1028


def without_thumbnail(block: bytes) -> bytes:
    """The block without the thumbnail in it, which would be out of date; as it is where it cannot be taken apart.

    ``block`` is what a TIFF tag 34377 holds, or a JPEG segment with its prefix.
    """
    prefix = _JPEG_PREFIX if block.startswith(_JPEG_PREFIX) else b""
    try:
        return prefix + b"".join(whole for number, whole, _ in _resources(block) if number not in _THUMBNAILS)
    except ValueError:
        return block


def iptc(segment: bytes) -> bytes | None:
    """The IPTC records in a JPEG segment; None if there are none."""
    try:
        return next((data for number, _, data in _resources(segment) if number == _IPTC), None)
    except ValueError:
        return None


def resources(segment: bytes) -> bytes:
    """A JPEG segment as a TIFF tag 34377 holds it."""
    return segment.removeprefix(_JPEG_PREFIX)


def jpeg_segment(resources: bytes) -> bytes:
    """What a TIFF tag 34377 holds, as a JPEG segment."""
    return _JPEG_PREFIX + resources


def jpeg_segments(block: bytes) -> list[bytes]:
    """The block, with prefix or without, as the payloads of JPEG segments: one that is too long for one goes on in the
    next, behind the prefix again. Some programs put what they find together, others read each segment for itself, so
    that a resource is parted only where it does not fit into one."""
    block = block.removeprefix(_JPEG_PREFIX)
    try:
        pieces = [whole for _, whole, _ in _resources(block)]
    except ValueError:
        pieces = [block]
    parts = [b""]
    for piece in pieces:
        if parts[-1] and len(parts[-1]) + len(piece) > _LONGEST:
            parts.append(b"")
        whole = parts.pop() + piece
        parts += [whole[at : at + _LONGEST] for at in range(0, len(whole), _LONGEST)]
    return [_JPEG_PREFIX + part for part in parts]


def resource(records: bytes) -> bytes:
    """IPTC records as a Photoshop resource."""
    header = struct.pack(">4sHHI", b"8BIM", _IPTC, 0, len(records))
    return header + records + b"\0" * (len(records) % 2)


def _resources(block: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, whole resource, its data) one by one. Raises ValueError in a damaged block."""
    position = len(_JPEG_PREFIX) if block.startswith(_JPEG_PREFIX) else 0
    while position < len(block):
        name_at = position + 6
        size_at = name_at + (2 + block[name_at]) // 2 * 2 if name_at < len(block) else len(block)
        if block[position : position + 4] != b"8BIM" or size_at + 4 > len(block):
            raise ValueError("not a Photoshop resource")
        (number,) = struct.unpack_from(">H", block, position + 4)
        (size,) = struct.unpack_from(">I", block, size_at)
        following = size_at + 4 + size + size % 2
        yield number, block[position:following], block[size_at + 4 : size_at + 4 + size]
        position = following
