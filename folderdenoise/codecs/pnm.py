"""PBM, PGM and PPM files, binary and as text, read and written row by row. Netpbm's manual pages describe them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from folderdenoise.codecs import scale
from folderdenoise.codecs.headers import HeaderError
from folderdenoise.codecs.picture import Array, Encoding, ImageFile, Limits, Metadata, Picture
from folderdenoise.codecs.tiffpage import BILEVEL_NOTE
from folderdenoise.codecs.vips import guard, unsupported
from folderdenoise.scratch import bands, release

_GAP = rb"(?:\s|#[^\n]*\n)+"
_NUMBER = _GAP + rb"(\d{1,9})"
_HEADER = re.compile(rb"P(?:([14])" + 2 * _NUMBER + rb"|([2356])" + 3 * _NUMBER + rb")(?:#[^\n]*\n)?\s")
_LONGEST_HEADER = 1 << 16


def read(path: Path, limits: Limits) -> ImageFile:
    """One picture, gray or RGB, of 1 to 16 bits."""
    with path.open("rb") as file:
        found = _HEADER.match(file.read(_LONGEST_HEADER))
        if not found:
            raise HeaderError("its header is cut off or gives impossible numbers")
        kind, width, height, *rest = (int(number) for number in found.groups() if number)
        top = rest[0] if rest else 1
        if not width or not height or not 0 < top < 65536:
            raise HeaderError("its header gives an impossible size or depth")
        guard(path, width, height, width * height / 1e6, limits.megapixels)
        file.seek(found.end())
        comments = tuple((b"comment", line) for line in re.findall(rb"#[^\n]*\n", found[0]))
        channels = 3 if kind in (3, 6) else 1
        array = limits.scratch.empty((height, width, channels), np.uint8 if top < 256 else np.uint16)
        if kind < 4:
            _fill_from_text(array, file.read(), kind)
        else:
            _fill(array, file, kind, top)
            if file.read(64).lstrip()[:1] == b"P":
                raise unsupported(path, "it holds several pictures", "save each as a file of its own first")
    page = Picture(array, None, Metadata(), bilevel=kind in (1, 4))
    if page.bilevel:
        np.multiply(array == 0, 255, out=array, casting="unsafe")
        return ImageFile((page,), Encoding("pnm", 1, ascii=kind == 1), (BILEVEL_NOTE,))
    if not all((array[rows] <= top).all() for rows in bands(array)):
        raise HeaderError("it holds values above the largest that its header gives")
    scale.rescale(array, top, int(np.iinfo(array.dtype).max))
    return ImageFile((page,), Encoding("pnm", top.bit_length(), ascii=kind < 4, white=top, chunks=comments))


def _fill(array: Array, file: BinaryIO, kind: int, top: int) -> None:
    width, channels = array.shape[1:]
    stored = np.dtype(">u2" if top > 255 else "u1")
    size = (width + 7) // 8 if kind == 4 else width * channels * stored.itemsize
    for rows in bands(array):
        part = array[rows]
        data = file.read(len(part) * size)
        if len(data) < len(part) * size:
            raise HeaderError("it is shorter than the picture that its header describes")
        values = np.frombuffer(data, stored)
        if kind == 4:
            values = np.unpackbits(values.reshape(len(part), size), axis=1)[:, :width]
        part[...] = values.reshape(part.shape)


def _fill_from_text(array: Array, data: bytes, kind: int) -> None:
    data = re.sub(rb"#[^\n]*", b"", data)
    # The digits of a bitmap may stand without gaps.
    numbers = list(data.translate(None, b" \t\r\n\v\f")) if kind == 1 else data.split()
    if len(numbers) < array.size:
        raise HeaderError("it is shorter than the picture that its header describes")
    try:
        values = np.array(numbers[: array.size], np.int64) - (ord("0") if kind == 1 else 0)
    except (ValueError, OverflowError) as error:
        raise HeaderError("there is something else than numbers among its pixels") from error
    if values.min() < 0 or values.max() > np.iinfo(array.dtype).max or (kind == 1 and values.max() > 1):
        raise HeaderError("it holds values above the largest that its header gives")
    array[...] = values.reshape(array.shape)


def write(image: ImageFile) -> Iterator[bytes]:
    """A PGM or PPM file with the largest value and the comments that the original had."""
    page, encoding = image.pages[0], image.encoding
    height, width, channels = page.pixels.shape
    full = int(np.iinfo(page.pixels.dtype).max)
    top = encoding.white or full
    kind = (3 if channels == 3 else 2) + (0 if encoding.ascii else 3)
    yield f"P{kind}\n".encode() + b"".join(line for _, line in encoding.chunks)
    yield f"{width} {height}\n{top}\n".encode()
    for rows in bands(page.pixels):
        part = page.pixels[rows].copy()
        scale.rescale(part, full, top)
        if encoding.ascii:
            for line in part.reshape(-1, channels * width):
                yield " ".join(map(str, line.tolist())).encode() + b"\n"
        else:
            yield part.astype(">u2" if top > 255 else "u1").tobytes()
        release(page.pixels)
