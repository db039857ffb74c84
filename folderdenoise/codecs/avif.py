"""AVIF stills, decoded and encoded by libheif through libvips."""

from __future__ import annotations

import contextlib
import re
import struct
from dataclasses import replace
from pathlib import Path

from folderdenoise.codecs import containers, decoding, headers, tiff, vips
from folderdenoise.codecs.picture import Encoding, ImageFile, Limits, Metadata

_TURNED = "turned upright, as it says it is to be shown"
# The box of colour properties: primaries and transfer as ITU-T H.273 numbers them.
_COLOURS = re.compile(rb"colrnclx(..)(..)(..)", re.DOTALL)
_SIZE = re.compile(rb"\0\0\0\x14ispe....(.{8})", re.DOTALL)
_SRGB_LIKE = (1, 2)  # BT.709, and not told
_BT601 = (5, 6)
_DISPLAY_P3 = 12
_LIKE_BT709 = (1, 6, 14, 15)  # transfer curves that viewers show as they show sRGB's
_SRGB = (2, 13)
_IDENTITY = 0  # of the matrix from RGB: no loss in turning colours, which only lossless files do without


def read(path: Path, limits: Limits) -> ImageFile:
    """AVIF stills of 8 to 12 bits."""
    data = path.read_bytes()
    for size in _SIZE.findall(data):
        if max(struct.unpack(">II", size)) > headers.LONGEST_SIDE:
            raise headers.HeaderError("its header gives an impossible size")
    try:
        image = vips.opened(path, "heifload", data)
        pages = image.get("n-pages")
        depth = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 8
        block = bytes(image.get("exif-data")) if image.get_typeof("exif-data") else b""
    except vips.Error as error:
        raise vips.damaged(path, vips.reason(error)) from error
    if pages > 1:
        raise vips.unsupported(path, f"it holds {pages} pictures", "save each as a file of its own first")
    exif, orientation, (resolution, unit) = decoding.camera_block(block.removeprefix(headers.EXIF_PREFIX))
    # The file says in boxes of its own how the picture is turned, and decoders turn it: the tag no longer holds.
    if exif is not None and orientation != 1:
        exif = tiff.with_orientation(exif, 1)
    metadata = Metadata(exif=exif, resolution=resolution, resolution_unit=unit)
    page = decoding.decode(path, "heifload", metadata, limits, data, fail_on="warning")
    notes = [decoding.NO_QUALITY]
    boxes = _without_pixels(data)
    if b"imir" in boxes or re.search(rb"irot[^\0\4]", boxes, re.DOTALL):
        notes.append(_TURNED)
    colours = _COLOURS.search(boxes)
    if colours and page.metadata.icc is None:
        primaries, transfer, _ = (int.from_bytes(number, "big") for number in colours.groups())
        if transfer not in (*_SRGB, *_LIKE_BT709) or primaries not in (*_SRGB_LIKE, _DISPLAY_P3, *_BT601):
            what = "it is in colours of high dynamic range, wide gamut or linear light that only AVIF's tags describe"
            raise vips.unsupported(path, what, "convert it to TIFF or PNG with a colour profile first")
        if transfer in _LIKE_BT709 or primaries in _BT601:
            notes.append("that its colours are those of video (BT.709 or BT.601) is no longer said: taken for sRGB")
        if primaries == _DISPLAY_P3:
            page = replace(page, metadata=replace(page.metadata, icc=vips.profile("p3")))
            notes.append("that its colours are Display P3 is now said by a profile")
    # Of the AV1 configuration box (AV1-ISOBMFF, 2.3.3), the bits that say that chroma is half as wide, and as high.
    # That of an alpha plane is gray.
    flags = [found[0] & 0x1C for found in re.findall(rb"av1C..(.)", boxes, re.DOTALL)]
    subsampling = "4:2:0" if 0x0C in flags else "4:4:4"
    if flags and all(found & 0x10 for found in flags):
        notes.append("its gray was stored as RGB")
    encoding = Encoding("avif", depth, decoding.LOSSY_QUALITY, subsampling, lossless=False)
    if depth == 8 and colours and int.from_bytes(colours[3], "big") == _IDENTITY:
        notes.remove(decoding.NO_QUALITY)
        encoding = replace(encoding, quality=None, lossless=True)
    return ImageFile((page,), encoding, tuple(notes))


def _without_pixels(data: bytes) -> bytes:
    """What the boxes of the file say, in any order; bytes of pixels could look like anything."""
    contents = list[bytes]()
    with contextlib.suppress(headers.HeaderError):  # bytes behind the last box, which the decoder does not mind
        for name, start, end in headers.boxes(data, 0, len(data)):
            contents += [data[start:end]] if name != b"mdat" else []
    return b"".join(contents)


def write(image: ImageFile) -> containers.Pieces:
    """An AVIF file of the same depth."""
    page, encoding = image.pages[0], image.encoding
    options: dict[str, object] = {
        "compression": "av1",
        **({"lossless": True} if encoding.lossless else {"Q": encoding.quality}),
        "bitdepth": encoding.bit_depth,
        "subsample_mode": "on" if encoding.subsampling == "4:2:0" else "off",
    }
    return [vips.encode(page, "heifsave", options, exif=page.metadata.exif)]
