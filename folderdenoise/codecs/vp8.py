"""The quality that the pixels of a lossy WebP file were compressed with.

A file does not tell it, but its frame header has the quantiser indices that the encoder made of it (RFC 6386, sections
9.3, 9.6 and 19.2). libwebp's way there (``src/enc/quant_enc.c``, ``VP8SetSegmentParams``) is gone back here: for a
quality x in 0..1, c = (2x / 3 below 0.75, else 2x - 1) ** (1/3), and segment i, with a share w_i of the picture, gets
the index 127 (1 - c ** (1 - a_i)), where the mean of all a_i, weighted by w_i, is 0.
"""

from __future__ import annotations

import math
import struct

_START = b"\x9d\x01\x2a"
_HEADER = 10  # bytes before the coded part of a key frame
_MOST = 127


def quality(frame: bytes) -> int | None:
    """The libwebp setting (1..100) nearest to the one that a "VP8 " chunk was written with; None for what is no key
    frame, or too short."""
    if len(frame) < _HEADER + 4 or frame[3:6] != _START or frame[0] & 1:
        return None
    bits = _Bits(frame[_HEADER:])
    bits.number(2)  # colour space, clamping
    indices, shares = [0] * 4, [1.0, 0.0, 0.0, 0.0]
    is_segmented, is_absolute = bits.number(1), 0
    if is_segmented:
        has_map, has_data = bits.number(1), bits.number(1)
        if has_data:
            is_absolute = bits.number(1)
            indices = [bits.optional(7) for _ in range(4)]
            for _ in range(4):
                bits.optional(6)
        if has_map:
            low, left, right = ((bits.number(8) if bits.number(1) else 255) / 255 for _ in range(3))
            shares = [low * left, low * (1 - left), (1 - low) * right, (1 - low) * (1 - right)]
    bits.number(10)  # the loop filter: kind, level, sharpness
    if bits.number(1) and bits.number(1):
        for _ in range(8):
            bits.optional(6)
    bits.number(2)  # partitions
    base = bits.number(7)
    indices = indices if is_absolute else [base + index for index in indices]
    # An index is rounded down: half of one is added, but for the first, which is that of the best quality too.
    scales = [1 - (min(index, _MOST - 1) + 0.5) / _MOST if index > 0 else 1 for index in indices]
    linear = math.exp(3 * sum(share * math.log(scale) for share, scale in zip(shares, scales, strict=True)))
    return min(max(round(100 * (1.5 * linear if linear < 0.5 else (1 + linear) / 2)), 1), 100)


class _Bits:
    """The boolean decoder of RFC 6386, section 7.3, for bits of even odds. Beyond the end it reads zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        (self._value,) = struct.unpack_from(">H", data)
        self._position, self._range, self._shifts = 2, 255, 0

    def number(self, count: int) -> int:
        """An unsigned number of ``count`` bits."""
        number = 0
        for _ in range(count):
            number = number << 1 | self._bit()
        return number

    def optional(self, count: int) -> int:
        """A flag, and, where it is set, a number of ``count`` bits and its sign; else 0."""
        if not self._bit():
            return 0
        number = self.number(count)
        return -number if self._bit() else number

    def _bit(self) -> int:
        split = 1 + (self._range - 1 >> 1)
        bit = int(self._value >= split << 8)
        if bit:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._value <<= 1
            self._range <<= 1
            self._shifts += 1
            if self._shifts == 8:
                self._shifts = 0
                self._value |= self._data[self._position] if self._position < len(self._data) else 0
                self._position += 1
        return bit
