"""AVIF stills, decoded and encoded by libheif through libvips."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path

from folderdenoise.codecs import containers, decoding, headers, tiff, vips
from folderdenoise.codecs.picture import Encoding, ImageFile, Limits, Metadata

_TURNED = "turned upright, as it says it is to be shown"
# The box of colour properties: primaries and transfer as ITU-T H.273 numbers them.
_COLOURS = re.compile(rb"colrnclx(..)(..)", re.DOTALL)
_SIZE = re.compile(rb"\0\0\0\x14ispe....(.{8})", re.DOTALL)
_SRGB_LIKE = (1, 2)  # BT.709, and not told
_DISPLAY_P3 = 12
_PQ_AND_HLG = (16, 18)


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
    boxes = data[: data.find(b"mdat") if b"mdat" in data else None]
    if b"imir" in boxes or re.search(rb"irot[^\0\4]", boxes, re.DOTALL):
        notes.append(_TURNED)
    colours = _COLOURS.search(boxes)
    if colours and page.metadata.icc is None:
        primaries, transfer = (int.from_bytes(number, "big") for number in colours.groups())
        if transfer in _PQ_AND_HLG or primaries not in (*_SRGB_LIKE, _DISPLAY_P3, 5, 6):
            what = "it is in colours of high dynamic range or wide gamut that only AVIF's own tags describe"
            raise vips.unsupported(path, what, "convert it to TIFF or PNG with a colour profile first")
        if primaries == _DISPLAY_P3:
            page = replace(page, metadata=replace(page.metadata, icc=vips.profile("p3")))
            notes.append("that its colours are Display P3 is now said by a profile")
    # Of the AV1 configuration box (AV1-ISOBMFF, 2.3.3), the bits that say that chroma is half as wide, and as high.
    configuration = re.search(rb"av1C..(.)", boxes, re.DOTALL)
    halved = configuration is not None and configuration[1][0] & 0x1C == 0x0C
    subsampling = "4:2:0" if halved else "4:4:4"
    encoding = Encoding("avif", depth, decoding.LOSSY_QUALITY, subsampling, lossless=False)
    return ImageFile((page,), encoding, tuple(notes))


def write(image: ImageFile) -> containers.Pieces:
    """An AVIF file of the same depth."""
    page, encoding = image.pages[0], image.encoding
    options = {
        "compression": "av1",
        "Q": encoding.quality,
        "bitdepth": encoding.bit_depth,
        "subsample_mode": "on" if encoding.subsampling == "4:2:0" else "off",
    }
    return [vips.encode(page, "heifsave", options, exif=page.metadata.exif)]
