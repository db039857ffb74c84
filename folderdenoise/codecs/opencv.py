"""BMP, PNM and JPEG 2000 through OpenCV.

Some versions of OpenCV fill what a cut-off BMP or PNM does not hold with gray or black, and say nothing. So their
readers first check, from the header, that the file is as long as its picture needs.
"""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from folderdenoise.codecs.headers import HeaderError
from folderdenoise.codecs.picture import Array, Encoding, ImageFile, Limits, Metadata, Picture
from folderdenoise.codecs.tiffpage import BILEVEL_NOTE
from folderdenoise.codecs.vips import guard, unsupported

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # failures are raised here, not printed

_PNM_HEADER = re.compile(
    rb"P([2356])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:#[^\n]*\n)?\s"
)
_PBM_HEADER = re.compile(rb"P([14])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:#[^\n]*\n)?\s")


def _decode(data: bytes) -> Array:
    """(H, W, C) in RGB(A) order. Raises HeaderError where OpenCV gives up."""
    try:
        array = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise HeaderError(f"OpenCV: {error.err}") from error
    if array is None:
        raise HeaderError("OpenCV cannot decode it")
    if array.ndim == 2:
        return np.asarray(array[..., None])
    swap = cv2.COLOR_BGRA2RGBA if array.shape[2] == 4 else cv2.COLOR_BGR2RGB
    cv2.cvtColor(array, swap, dst=array)
    return np.asarray(array)


def _encode(suffix: str, page: Picture, parameters: list[int]) -> bytes:
    pixels = page.pixels
    if page.alpha is not None:
        pixels = cv2.cvtColor(np.concatenate([pixels, page.alpha[..., None]], axis=2), cv2.COLOR_RGBA2BGRA)
    elif pixels.shape[2] == 3:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(suffix, pixels, parameters)
    if not done:
        raise ValueError(f"OpenCV cannot write a {suffix} file of {pixels.shape[1]} × {pixels.shape[0]} pixels")
    return bytes(encoded)


def read_bmp(path: Path, limits: Limits) -> ImageFile:
    """BMP: palette, 16, 24 and 32 bits, uncompressed."""
    data = path.read_bytes()
    if len(data) < 30:
        raise HeaderError("it ends in the middle of its header")
    start, header = struct.unpack_from("<II", data, 10)
    resolution = None
    if header == 12:  # OS/2 1.x
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    elif header < 40:
        raise unsupported(path, "it is a BMP of a rare OS/2 kind", "save it as a Windows BMP or as PNG first")
    elif len(data) < 54:
        raise HeaderError("it ends in the middle of its header")
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        x, y = struct.unpack_from("<ii", data, 38)
        resolution = (x / 1000, y / 1000) if x > 0 and y > 0 else None
    height = abs(height)
    if width <= 0 or height == 0 or bits not in (1, 2, 4, 8, 16, 24, 32):
        raise HeaderError("its header gives an impossible size or depth")
    if compression not in (0, 3, 6):
        raise unsupported(path, "it is a compressed BMP", "save it as an uncompressed BMP or as PNG first")
    guard(path, width, height, width * height / 1e6, limits.megapixels)
    if start + (width * bits + 31) // 32 * 4 * height > len(data):
        raise HeaderError("it is shorter than the picture that its header describes")
    page = _page(_decode(data), Metadata(resolution=resolution, resolution_unit="cm" if resolution else None))
    notes: tuple[str, ...] = ()
    if bits == 32 and compression == 0 and page.alpha is not None and not page.alpha.any():
        # The fourth byte has no meaning here; programs that use it for alpha do not hide the whole picture.
        page, notes = Picture(page.pixels, None, page.metadata), ("stored with 24 bits a pixel, not 32",)
    elif bits == 1:
        page, notes = replace(page, bilevel=True), (BILEVEL_NOTE,)
    elif bits <= 8:
        gray = page.pixels.shape[2] == 1
        if bits < 8 or not gray:
            notes = (f"its palette was replaced by plain {'gray' if gray else 'RGB'} values",)
    elif bits == 16:
        notes = ("its 16-bit colours were stored as 24-bit RGB",)
    return ImageFile((page,), Encoding("bmp"), notes)


def _page(array: Array, metadata: Metadata) -> Picture:
    alpha = np.ascontiguousarray(array[..., 3]) if array.shape[2] == 4 else None
    return Picture(array[..., :3], alpha, metadata)


def encode_bmp(page: Picture) -> bytes:
    """A BMP file with the page's resolution."""
    encoded = bytearray(_encode(".bmp", page, []))
    x, y = (round(value * 1000) for value in page.metadata.resolution or (0, 0))
    encoded[38:46] = struct.pack("<ii", min(x, 2**31 - 1), min(y, 2**31 - 1))
    return bytes(encoded)


def read_pnm(path: Path, limits: Limits) -> ImageFile:
    """PGM and PPM, binary and as text, of 8 or 16 bits."""
    data = path.read_bytes()
    if data[:2] in (b"P1", b"P4"):
        return _read_pbm(path, data, limits)
    if data[:2] not in (b"P2", b"P3", b"P5", b"P6"):
        raise unsupported(path, "it is a PAM file", "convert it to PPM, PNG or TIFF first")
    found = _PNM_HEADER.match(data)
    if not found:
        raise HeaderError("its header is cut off or gives impossible numbers")
    kind, width, height, top = (int(number) for number in found.groups())
    channels = 3 if kind in (3, 6) else 1
    if not width or not height or not 0 < top < 65536:
        raise HeaderError("its header gives an impossible size or depth")
    if top not in (255, 65535):
        raise unsupported(path, f"its brightest value is {top}, not 255 or 65535", "convert it to PNG or TIFF first")
    guard(path, width, height, width * height / 1e6, limits.megapixels)
    count = width * height * channels
    ascii_ = kind < 4
    length = len(data[found.end() :].split()) if ascii_ else (len(data) - found.end()) // (1 if top == 255 else 2)
    if length < count:
        raise HeaderError("it is shorter than the picture that its header describes")
    page = _page(_decode(data), Metadata())
    return ImageFile((page,), Encoding("pnm", 8 if top == 255 else 16, ascii=ascii_))


def _read_pbm(path: Path, data: bytes, limits: Limits) -> ImageFile:
    """PBM, binary and as text: black and white."""
    found = _PBM_HEADER.match(data)
    if not found:
        raise HeaderError("its header is cut off or gives impossible numbers")
    kind, width, height = (int(number) for number in found.groups())
    guard(path, width, height, width * height / 1e6, limits.megapixels)
    rest = len(data) - found.end()
    if rest < (width + 7) // 8 * height if kind == 4 else rest < width * height:
        raise HeaderError("it is shorter than the picture that its header describes")
    page = replace(_page(_decode(data), Metadata()), bilevel=True)
    return ImageFile((page,), Encoding("pnm", 1, ascii=kind == 1), (BILEVEL_NOTE,))


def encode_pnm(page: Picture, encoding: Encoding) -> bytes:
    """A PGM or PPM file."""
    suffix = ".pgm" if page.pixels.shape[2] == 1 else ".ppm"
    return _encode(suffix, page, [cv2.IMWRITE_PXM_BINARY, 0 if encoding.ascii else 1])


def read_jp2(path: Path, limits: Limits) -> ImageFile:
    """JPEG 2000 in a JP2 file: 8 and 16 bits, gray, RGB, RGBA."""
    data = path.read_bytes()
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 42:
        raise HeaderError("it ends in the middle of its header")
    x1, y1, x0, y0 = struct.unpack_from(">IIII", data, start + 8)
    (channels,) = struct.unpack_from(">H", data, start + 40)
    depths = {data[start + 42 + 3 * i] for i in range(channels) if start + 42 + 3 * i < len(data)}
    width, height = x1 - x0, y1 - y0
    if width <= 0 or height <= 0 or not depths:
        raise HeaderError("its header gives an impossible size")
    if channels not in (1, 3, 4) or depths not in ({7}, {15}):
        raise unsupported(
            path,
            "it is JPEG 2000 of an unusual kind (channels, or bits a sample)",
            "convert it to TIFF first",
        )
    if min(width, height) < 64:
        raise unsupported(path, "it is JPEG 2000 of less than 64 pixels a side", "convert it to PNG or TIFF first")
    guard(path, width, height, width * height / 1e6, limits.megapixels)
    page = _page(_decode(data), Metadata())
    cod = data.find(b"\xff\x52", start)
    lossless = cod > 0 and len(data) > cod + 13 and data[cod + 13] == 1
    notes = []
    if b"colr\x02" in data[:start]:
        notes.append("its colour profile was dropped: JPEG 2000 files are written without")
    if b"res " in data[:start]:
        notes.append("its resolution was dropped: JPEG 2000 files are written without")
    depth = 8 if depths == {7} else 16
    rate = 1000 if lossless else max(1, min(1000, round(1000 * len(data) / (width * height * channels * depth / 8))))
    return ImageFile((page,), Encoding("jp2", depth, rate, lossless=lossless), tuple(notes))


def encode_jp2(page: Picture, encoding: Encoding) -> bytes:
    """A JP2 file, lossless or of about the same size as it was."""
    return _encode(".jp2", page, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, encoding.quality or 1000])


def jpeg_picture(page: Picture, encoding: Encoding) -> bytes:
    """A JPEG file with the chroma subsamplings that libvips cannot write, without metadata."""
    factor = {
        "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
        "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    }[encoding.subsampling or "4:2:2"]
    return _encode(".jpg", page, [
        cv2.IMWRITE_JPEG_QUALITY, encoding.quality or 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor,
        cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, int(encoding.progressive),
    ])  # fmt: skip
