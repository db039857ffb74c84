"""JPEG 2000 in JP2 files: pixels through OpenCV, everything around them box by box (ISO/IEC 15444-1, Annex I)."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

from folderdenoise.codecs import decoding, headers, opencv
from folderdenoise.codecs.headers import HeaderError
from folderdenoise.codecs.picture import Encoding, ImageFile, Limits, Metadata, Picture
from folderdenoise.codecs.vips import guard, unsupported

_CODESTREAM = b"\xff\x4f\xff\x51"
_WRITTEN = (b"jP  ", b"ftyp", b"jp2h", b"jp2c")
_PROFILES = (b"\2", b"\3")  # methods of colour specification: a profile, restricted or not
_ENUMERATED = b"\1"
_OPACITY, _PREMULTIPLIED = 1, 2  # kinds of channels
_DECODED_RIGHT = (16, 17)  # enumerated colours: sRGB and its gray. OpenCV decodes sYCC to other colours than others do
_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def read(path: Path, limits: Limits) -> ImageFile:
    """JPEG 2000 of 8 and 16 bits, gray, RGB and RGBA."""
    data = path.read_bytes()
    start = data.find(_CODESTREAM)
    if start < 0 or len(data) < start + 42:
        raise HeaderError("it ends in the middle of its header")
    x1, y1, x0, y0 = struct.unpack_from(">IIII", data, start + 8)
    (channels,) = struct.unpack_from(">H", data, start + 40)
    depths = {data[start + 42 + 3 * i] for i in range(channels) if start + 42 + 3 * i < len(data)}
    width, height = x1 - x0, y1 - y0
    if width <= 0 or height <= 0 or not depths:
        raise HeaderError("its header gives an impossible size")
    if channels not in (1, 3, 4) or depths not in ({7}, {15}):
        what = "it is JPEG 2000 of an unusual kind (channels, or bits a sample)"
        raise unsupported(path, what, "convert it to TIFF first")
    if min(width, height) < 64:
        raise unsupported(path, "it is JPEG 2000 of less than 64 pixels a side", "convert it to PNG or TIFF first")
    guard(path, width, height, width * height / 1e6, limits.megapixels)
    notes = list[str]()
    boxes = [(name, data[at:end]) for name, at, end in headers.boxes(data, 0, len(data))]
    chunks = [box for box in boxes if box[0] not in _WRITTEN]
    for name, content in boxes:
        if name == b"jp2h":
            inner = [(child, content[at:end]) for child, at, end in headers.boxes(content, 0, len(content))]
            # Of colours, only a profile: another description may be of pixels that the decoder has converted.
            chunks += [(b"jp2h/" + child, box) for child, box in inner
                       if child == b"res " or (child == b"colr" and box[:1] in _PROFILES)]  # fmt: skip
            _refuse_colours(path, inner)
            if channels == 4 and _OPACITY not in _channel_kinds(inner):
                notes.append("its fourth channel, which it does not call alpha, was stored as transparency")
    kept = dict(chunks)
    colour, resolution = kept.get(b"jp2h/colr", b""), _resolution(kept.get(b"jp2h/res ", b""))
    camera = next((box[16:] for name, box in chunks if name == b"uuid" and box.startswith(_EXIF)), b"")
    exif, orientation, _ = decoding.camera_block(camera.removeprefix(headers.EXIF_PREFIX))
    metadata = Metadata(
        icc=colour[3:] or None,
        exif=exif,
        orientation=orientation,
        xmp=next((box[16:] for name, box in chunks if name == b"uuid" and box.startswith(_XMP)), None),
        resolution=resolution,
        resolution_unit="cm" if resolution else None,
    )
    array = opencv.decode(data)
    page = Picture(array[..., :3], np.ascontiguousarray(array[..., 3]) if channels == 4 else None, metadata)
    cod = data.find(b"\xff\x52", start)
    lossless = cod > 0 and len(data) > cod + 13 and data[cod + 13] == 1
    depth = 8 if depths == {7} else 16
    rate = 1000 if lossless else max(1, min(1000, round(1000 * len(data) / (width * height * channels * depth / 8))))
    encoding = Encoding("jp2", depth, rate, lossless=lossless, chunks=tuple(chunks))
    return ImageFile((page,), encoding, tuple(notes))


def _channel_kinds(header: list[tuple[bytes, bytes]]) -> set[int]:
    """What a channel definition says of the channels: 0 colour, 1 opacity, 2 opacity that is multiplied into them."""
    boxes = [box[2 : len(box) - (len(box) - 2) % 6] for name, box in header if name == b"cdef"]
    return {kind for box in boxes for _, kind, _ in struct.iter_unpack(">HHH", box)}


def is_metadata(name: bytes, content: bytes) -> bool:
    """Whether a box, of ``Encoding.chunks``, is in the :class:`Metadata` too."""
    return name == b"uuid" and content.startswith((_XMP, _EXIF))


def _refuse_colours(path: Path, header: list[tuple[bytes, bytes]]) -> None:
    """Raise UnsupportedImageError for colours that would come back as others: ``header`` is what a jp2h box holds."""
    descriptions = [box for name, box in header if name == b"colr"]
    told = [int.from_bytes(box[3:7], "big") for box in descriptions if box[:1] == _ENUMERATED]
    profile = next((box[3:] for box in descriptions if box[:1] in _PROFILES), b"")
    if any(number not in _DECODED_RIGHT for number in told) or profile[16:20] not in (b"", b"RGB ", b"GRAY"):
        what = "it is JPEG 2000 in other colours than sRGB, gray or those of a profile for RGB"
    elif any(name == b"pclr" for name, _ in header):
        what = "it is JPEG 2000 with a palette"
    elif _PREMULTIPLIED in _channel_kinds(header):
        what = "it is JPEG 2000 with colours multiplied by its alpha"
    else:
        return
    raise unsupported(path, what, "convert it to TIFF first")


def write(image: ImageFile) -> list[bytes]:
    """A JP2 file, lossless or of about the same size as it was, with the boxes that it had around the picture."""
    encoding = image.encoding
    rate = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, encoding.quality or 1000]
    encoded = opencv.encode(".jp2", image.pages[0], rate)
    kept = {name[5:]: data for name, data in encoding.chunks if name.startswith(b"jp2h/")}
    others = [_box(name, data) for name, data in encoding.chunks if not name.startswith(b"jp2h/")]
    pieces = []
    for name, at, end in headers.boxes(encoded, 0, len(encoded)):
        if name == b"jp2h":
            children = [(child, encoded[start:stop]) for child, start, stop in headers.boxes(encoded, at, end)]
            plain = [_box(child, kept.pop(child, content)) for child, content in children]
            pieces.append(_box(name, b"".join([*plain, *(_box(child, content) for child, content in kept.items())])))
        elif name == b"jp2c":  # what comes before it is there when a viewer has read only the start
            pieces += [*others, _box(name, encoded[at:end])]
        else:
            pieces.append(_box(name, encoded[at:end]))
    return pieces


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def _resolution(box: bytes) -> tuple[float, float] | None:
    """Pixels per millimetre, as captured or else for display."""
    found = {name: box[at:end] for name, at, end in headers.boxes(box, 0, len(box))}
    content = found.get(b"resc") or found.get(b"resd") or b""
    if len(content) < 10:
        return None
    y, y_under, x, x_under, y_power, x_power = struct.unpack(">HHHHbb", content[:10])
    if not (x and y and x_under and y_under):
        return None
    return x / x_under * 10.0**x_power / 1000, y / y_under * 10.0**y_power / 1000
