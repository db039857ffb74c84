"""BMP files of Windows and OS/2, read and written row by row.

Microsoft documents their structure under "Bitmap Storage" and BITMAPV5HEADER; OS/2's is in Murray and vanRyper,
Encyclopedia of Graphics File Formats (1996).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from folderdenoise.codecs.headers import HeaderError
from folderdenoise.codecs.picture import Array, Encoding, ImageFile, Limits, Metadata, Picture
from folderdenoise.codecs.tiffpage import BILEVEL_NOTE
from folderdenoise.codecs.vips import guard, unsupported
from folderdenoise.scratch import bands, release

_FILE_HEADER, _V5 = 14, 124
_PLAIN, _RLE8, _RLE4, _FIELDS, _ALPHA_FIELDS = 0, 1, 2, 3, 6
_COLOUR_SPACE = slice(56, 112)  # of a V5 header: kind, end points, gammas, rendering intent
_EMBEDDED, _LINKED, _SRGB = b"DEBM", b"KNIL", b"BGRs"
_MASKS = {16: (0x7C00, 0x03E0, 0x001F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0xFF000000)}
_ALPHA_MASKS = struct.pack("<4I", *_MASKS[32])


@dataclass(frozen=True)
class _Header:
    """``masks``: where red, green, blue and alpha lie in a pixel of 16 or 32 bits; ``start``: of the pixels;
    ``palette``: (n, 3) RGB; ``colour_space``: of a V4 or V5 header."""

    width: int
    height: int
    is_top_down: bool
    bits: int
    compression: int
    resolution: tuple[float, float] | None
    masks: tuple[int, int, int, int]
    start: int
    palette: Array
    colour_space: bytes
    icc: bytes | None

    @property
    def stride(self) -> int:
        """Bytes of a row, padded to a multiple of four."""
        return (self.width * self.bits + 31) // 32 * 4


def _header(path: Path, file: BinaryIO) -> _Header:
    first = file.read(_FILE_HEADER + 4)
    if len(first) < _FILE_HEADER + 4:
        raise HeaderError("it ends in the middle of its header")
    start, size = struct.unpack_from("<II", first, 10)
    if size not in (12, 16, 40, 52, 56, 64, 108, _V5):
        raise HeaderError("its header has an impossible length")
    block = first[_FILE_HEADER:] + file.read(size - 4)
    if len(block) < size:
        raise HeaderError("it ends in the middle of its header")
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", block, 4)
        compression, x, y, used = _PLAIN, 0, 0, 0
    else:
        padded = block.ljust(_V5, b"\0")  # OS/2's may end early: what is missing is zero
        width, height, _, bits, compression, _, x, y, used = struct.unpack_from("<iiHHIIiiI", padded, 4)
    if size in (16, 64) and compression >= _FIELDS:
        raise unsupported(path, "it is a BMP of a rare OS/2 kind", "save it as a Windows BMP or as PNG first")
    if compression not in (_PLAIN, _RLE8, _RLE4, _FIELDS, _ALPHA_FIELDS):
        raise unsupported(path, "it is a BMP that wraps a JPEG or PNG", "save it as a plain BMP or as PNG first")
    masks = _MASKS.get(bits, (0, 0, 0, 0))
    if compression in (_FIELDS, _ALPHA_FIELDS):
        count = 4 if compression == _ALPHA_FIELDS or size >= 56 else 3
        fields = block[40 : 40 + 4 * count] if size > 40 else file.read(4 * count)
        if len(fields) < 12 or bits not in _MASKS:
            raise HeaderError("its header contradicts itself")
        masks = struct.unpack("<4I", fields.ljust(16, b"\0"))
    per_colour = 3 if size == 12 else 4
    count = min(used or 1 << bits, 1 << bits) if bits <= 8 else 0
    file.seek(_FILE_HEADER + size)
    colours = file.read(min(per_colour * count, max(0, start - _FILE_HEADER - size)))
    colours = colours[: len(colours) // per_colour * per_colour]
    palette = np.frombuffer(colours, np.uint8).reshape(-1, per_colour)[:, 2::-1]
    if width <= 0 or height == 0 or bits not in (1, 2, 4, 8, 16, 24, 32) or (bits <= 8 and not len(palette)):
        raise HeaderError("its header gives an impossible size or depth")
    resolution = (x / 1000, y / 1000) if x > 0 and y > 0 else None
    space = block[_COLOUR_SPACE] if size >= 108 and block[56:60] != _LINKED else b""
    icc = None
    if size == _V5 and block[56:60] == _EMBEDDED:
        offset, length = struct.unpack_from("<II", block, 112)
        file.seek(_FILE_HEADER + offset)
        icc = file.read(min(length, 1 << 26)) or None
    return _Header(width, abs(height), height < 0, bits, compression, resolution, masks, start, palette, space, icc)


def read(path: Path, limits: Limits) -> ImageFile:
    """BMP with palette or of 16, 24 and 32 bits, plain, with bit masks or run-length encoded."""
    with path.open("rb") as file:
        header = _header(path, file)
        guard(path, header.width, header.height, header.width * header.height / 1e6, limits.megapixels)
        is_gray = bool(header.bits <= 8 and (header.palette == header.palette[:, :1]).all())
        channels = 1 if is_gray else 4 if header.masks[3] else 3
        length = file.seek(0, 2) - header.start
        if header.compression not in (_RLE8, _RLE4) and length < header.stride * header.height:
            raise HeaderError("it is shorter than the picture that its header describes")
        array = limits.scratch.empty((header.height, header.width, channels), np.uint8)
        if header.compression in (_RLE8, _RLE4):
            file.seek(header.start)
            array[...] = _looked_up(header, _run_lengths(file.read(), header))[..., :channels]
        else:
            for rows in bands(array):
                array[rows] = _rows(file, header, rows.start, len(array[rows]))[..., :channels]
    metadata = Metadata(icc=header.icc, resolution=header.resolution,
                        resolution_unit="cm" if header.resolution else None)  # fmt: skip
    page = Picture(array[..., : min(channels, 3)], array[..., 3] if channels == 4 else None, metadata)
    notes = []
    if header.bits == 1:
        page = replace(page, bilevel=True)
        notes.append(BILEVEL_NOTE)
    elif header.bits <= 8 and not (is_gray and np.array_equal(header.palette[:, 0], np.arange(256))):
        notes.append(f"its palette was replaced by plain {'gray' if is_gray else 'RGB'} values")
    elif header.bits == 16:
        notes.append("its 16-bit colours were stored as 24-bit RGB")
    elif header.bits == 32 and any(mask.bit_count() > 8 for mask in header.masks):
        notes.append("its colours of more than 8 bits were stored with 8")
    if page.alpha is not None and header.compression == _PLAIN and not any(page.alpha[r].any() for r in bands(array)):
        # The fourth byte has no meaning here; programs that use it for alpha do not hide the whole picture.
        page = replace(page, alpha=None)
    if header.bits == 32 and page.alpha is None:
        notes.append("stored with 24 bits a pixel, not 32")
    if header.compression in (_RLE8, _RLE4):
        notes.append("its run-length compression was dropped: noise that is gone leaves no such runs")
    chunks = ((b"colour space", header.colour_space),) if header.colour_space else ()
    return ImageFile((page,), Encoding("bmp", chunks=chunks), tuple(notes))


def _rows(file: BinaryIO, header: _Header, first: int, count: int) -> Array:
    """(count, width, channels) from row ``first`` of the picture on, counted from its top."""
    stored = first if header.is_top_down else header.height - first - count
    file.seek(header.start + stored * header.stride)
    data = np.frombuffer(file.read(count * header.stride), np.uint8).reshape(count, header.stride)
    data = data if header.is_top_down else data[::-1]
    if header.bits == 24:
        return np.asarray(data[:, : 3 * header.width].reshape(count, header.width, 3)[..., ::-1])
    if header.bits > 8:
        pixels = np.ascontiguousarray(data).view("<u2" if header.bits == 16 else "<u4")[:, : header.width]
        return np.stack([_field(pixels, mask) for mask in header.masks], axis=2)
    per_byte = 8 // header.bits
    shifts = np.arange(per_byte - 1, -1, -1, dtype=np.uint8) * header.bits
    indices = (data[..., None] >> shifts & ((1 << header.bits) - 1)).reshape(count, -1)[:, : header.width]
    return _looked_up(header, indices)


def _field(pixels: Array, mask: int) -> Array:
    """The bits under ``mask``, brought to 0..255; all white where there is none (alpha)."""
    if not mask:
        return np.full(pixels.shape, 255, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    top = mask >> shift
    if top == 255:
        return np.asarray(pixels >> shift, np.uint8)
    values = (pixels & mask).astype(np.uint64) >> np.uint64(shift)
    return np.asarray((values * 255 + top // 2) // top, np.uint8)


def _looked_up(header: _Header, indices: Array) -> Array:
    table = np.zeros((256, 3), np.uint8)
    table[: len(header.palette)] = header.palette
    return np.asarray(table[indices])


def _run_lengths(data: bytes, header: _Header) -> Array:
    """The palette indices (H, W) of RLE8 or RLE4 data. Raises HeaderError where it ends early or leaves the picture."""
    indices = np.zeros((header.height, header.width), np.uint8)
    is_half = header.compression == _RLE4
    x = y = position = 0
    while position + 2 <= len(data):
        count, value = data[position], data[position + 1]
        position += 2
        if count == 0 and value == 0:
            x, y = 0, y + 1
        elif count == 0 and value == 1:
            return indices if header.is_top_down else indices[::-1]
        elif count == 0 and value == 2:
            step = data[position : position + 2]
            if len(step) < 2:
                break
            x, y, position = x + step[0], y + step[1], position + 2
        else:
            if count:
                part = bytes([value])
            else:
                count = value
                size = (count + 1) // 2 if is_half else count
                part = data[position : position + size]
                position += size + size % 2
                if len(part) < size:
                    break
            run = np.frombuffer(part, np.uint8)
            run = np.stack([run >> 4, run & 15], axis=1).ravel() if is_half else run
            if y >= header.height:
                raise HeaderError("its run-length data leave the picture")
            # Some writers let runs go on beyond the end of a row, where nothing is shown.
            indices[y, x : x + count] = np.resize(run, count)[: max(0, header.width - x)]
            x += count
    raise HeaderError("its run-length data end before the picture does")


def write(image: ImageFile) -> Iterator[bytes | memoryview]:
    """A BMP file of 8 bits (gray), 24 (RGB) or 32 (with alpha), with resolution and profile."""
    page, chunks = image.pages[0], dict(image.encoding.chunks)
    height, width, channels = page.pixels.shape
    bits = 8 if channels == 1 else 32 if page.alpha is not None else 24
    icc, space = page.metadata.icc, chunks.get(b"colour space", b"").ljust(56, b"\0")
    space = (_EMBEDDED if icc else space[:4] if space[:4] not in (bytes(4), _EMBEDDED) else _SRGB) + space[4:]
    size = _V5 if icc or chunks or bits == 32 else 40
    stride = (width * bits + 31) // 32 * 4
    palette = np.repeat(np.arange(256, dtype=np.uint8), 4).reshape(256, 4)
    palette = palette * np.array([1, 1, 1, 0], np.uint8) if bits == 8 else palette[:0]
    start = _FILE_HEADER + size + palette.nbytes
    x, y = (min(round(value * 1000), 2**31 - 1) for value in page.metadata.resolution or (0, 0))
    header = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, _FIELDS if bits == 32 else _PLAIN,
                         stride * height, x, y, len(palette), 0)  # fmt: skip
    if size == _V5:
        header += (_ALPHA_MASKS if bits == 32 else bytes(16)) + space
        header += struct.pack("<III", size + palette.nbytes + stride * height if icc else 0, len(icc or b""), 0)
    total = start + stride * height + len(icc or b"")
    yield struct.pack("<2sIHHI", b"BM", total, 0, 0, start) + header + palette.tobytes()
    for rows in reversed(list(bands(page.pixels))):
        pixels = page.pixels[rows][::-1, :, ::-1]
        if page.alpha is not None:
            pixels = np.dstack([pixels, page.alpha[rows][::-1]])
        part = np.zeros((len(pixels), stride), np.uint8)
        part[:, : width * bits // 8] = pixels.reshape(len(part), -1)
        yield part.tobytes()
        release(page.pixels)
    if icc:
        yield icc
