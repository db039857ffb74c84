"""One writer for each format: an ImageFile becomes the bytes of a file, stored as it was."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np

from folderdenoise.codecs import containers, headers, opencv, tiff, tiffpage, vips
from folderdenoise.codecs.picture import Encoding, ImageFile, Metadata, Picture

_CLASSIC_LIMIT = 2**32 - 2**26  # bytes that a classic TIFF can address, less room for its directories


def jpeg(page: Picture, encoding: Encoding) -> containers.Pieces:
    """A JPEG file of the same quality, subsampling and kind."""
    options: dict[str, object] = {
        "Q": encoding.quality,
        "interlace": encoding.progressive,
        "optimize_coding": True,
    }
    if encoding.subsampling in (None, "4:4:4", "4:2:0"):
        mode = "on" if encoding.subsampling == "4:2:0" else "off"
        return containers.jpeg(vips.encode(page, "jpegsave", {**options, "subsample_mode": mode}), page.metadata)
    # libvips still writes the profile, XMP and IPTC, around a picture of one block; OpenCV the pixels.
    small = replace(page, pixels=np.zeros((8, 8, 3), np.uint8), alpha=None)
    around = headers.jpeg_segments(io.BytesIO(vips.encode(small, "jpegsave", {})))
    kept = b"".join(containers.segment(marker, data) for marker, data in around if 0xE1 <= marker <= 0xED)
    return containers.jpeg(opencv.jpeg_picture(page, encoding), page.metadata, kept)


def png(page: Picture, encoding: Encoding) -> containers.Pieces:
    """A PNG file of the same depth."""
    encoded = vips.encode(page, "pngsave", {"bitdepth": encoding.bit_depth, "interlace": encoding.progressive})
    return containers.png(encoded, page.metadata, encoding.chunks)


def webp(page: Picture, encoding: Encoding) -> containers.Pieces:
    """A WebP file, lossless if it was; hidden colours under full transparency stay."""
    options: dict[str, object] = {"lossless": True} if encoding.lossless else {"Q": encoding.quality}
    options["exact"] = True
    exif = page.metadata.exif
    encoded = vips.encode(page, "webpsave", options, exif=exif)
    return [encoded] if exif is None else containers.webp(encoded, exif)


def avif(page: Picture, encoding: Encoding) -> containers.Pieces:
    """An AVIF file of the same depth."""
    options = {
        "compression": "av1",
        "Q": encoding.quality,
        "bitdepth": encoding.bit_depth,
        "subsample_mode": "off",
    }
    return [vips.encode(page, "heifsave", options, exif=page.metadata.exif)]


def tiff_file(image: ImageFile, path: Path) -> None:
    """A TIFF file, page by page: each has its own size, resolution, profile and tags."""
    raw = sum(page.pixels.nbytes + (0 if page.alpha is None else page.alpha.nbytes) for page in image.pages)
    big = image.encoding.bigtiff or raw > _CLASSIC_LIMIT
    first, *others = image.pages
    vips.encode(first, "tiffsave", _tiff_options(first, image.encoding, big), target=path)
    with path.open("r+b") as file:
        assembler = tiff.Assembler(file)
        assembler.finish_page(_tags(first.metadata))
        for page in others:
            encoded = io.BytesIO(vips.encode(page, "tiffsave", _tiff_options(page, image.encoding, big)))
            assembler.finish_page(_tags(page.metadata), encoded)


def _tags(metadata: Metadata) -> dict[int, tiff.Field]:
    tags = tiff.carried(tiff.exif_fields(metadata.exif)) if metadata.exif else {}
    tags[274] = tiff.Field(3, struct.pack("<H", metadata.orientation))
    if metadata.iptc:  # libvips stores a quarter of it: it counts in four-byte numbers, libtiff in bytes
        tags[33723] = tiff.Field(7, metadata.iptc)
    return {**tags, **tiffpage.resolution_fields(metadata.resolution, metadata.resolution_unit)}


def _tiff_options(page: Picture, encoding: Encoding, big: bool) -> dict[str, object]:
    options: dict[str, object] = {"compression": encoding.compression, "bigtiff": big}
    if encoding.compression in ("deflate", "lzw"):
        floating = page.pixels.dtype == np.float32
        options["predictor"] = encoding.predictor if (encoding.predictor == "float") == floating else "none"
    if encoding.compression == "jpeg":
        options |= {"Q": encoding.quality, "rgbjpeg": encoding.subsampling == "4:4:4"}
        if page.alpha is not None or page.pixels.dtype != np.uint8:
            options = {"compression": "deflate", "bigtiff": big}
    if encoding.tile:
        options |= {"tile": True, "tile_width": encoding.tile[0], "tile_height": encoding.tile[1]}
    if encoding.premultiplied and page.alpha is not None:
        options["premultiply"] = True
    return options
