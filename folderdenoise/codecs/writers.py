"""One writer for each format: an ImageFile becomes the bytes of a file, stored as it was."""

from __future__ import annotations

import functools
import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np

from folderdenoise.codecs import containers, headers, opencv, recode, tiff, tiffpage, tiffwriter, vips
from folderdenoise.codecs.picture import Encoding, ImageFile, Metadata, Picture

_SMALL = 1 << 28  # bytes of pixels; what is larger is stored with an eye on the memory
_CLASSIC_LIMIT = 2**32 - 2**26  # bytes that a classic TIFF can address, less room for its directories


def jpeg(page: Picture, encoding: Encoding) -> containers.Pieces:
    """A JPEG file of the same quality, subsampling and kind."""
    options: dict[str, object] = {
        "Q": encoding.quality,
        "interlace": encoding.progressive,
        # A few percent smaller; but libjpeg then holds all coefficients, twice the size of the pixels.
        "optimize_coding": page.pixels.nbytes < _SMALL,
    }
    if encoding.subsampling in (None, "4:4:4", "4:2:0"):
        mode = "on" if encoding.subsampling == "4:2:0" else "off"
        encoded = vips.encode(page, "jpegsave", {**options, "subsample_mode": mode})
        return containers.jpeg(encoded, page.metadata, _segments(encoding))
    # libvips still writes the profile, XMP and IPTC, around a picture of one block; OpenCV the pixels.
    small = replace(page, pixels=np.zeros((8, 8, 3), np.uint8), alpha=None)
    around = headers.jpeg_segments(io.BytesIO(vips.encode(small, "jpegsave", {})))
    kept = b"".join(containers.segment(marker, data) for marker, data in around if 0xE1 <= marker <= 0xED)
    return containers.jpeg(opencv.jpeg_picture(page, encoding), page.metadata, kept + _segments(encoding))


def _segments(encoding: Encoding) -> bytes:
    return b"".join(containers.segment(name[0], payload) for name, payload in encoding.chunks)


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


def animation(image: ImageFile) -> containers.Pieces:
    """An animated WebP, or a GIF with one frame or more."""
    encoding = image.encoding
    frames = [vips.lazy(page) for page in image.pages]
    if encoding.format == "gif":
        how = {"dither": 0.0, "keep_duplicate_frames": True}
        return [vips.encode_frames(frames, "gifsave", how, encoding, image.pages[0].metadata)]
    options: dict[str, object] = {"lossless": True} if encoding.lossless else {"Q": encoding.quality}
    options["exact"] = True
    metadata = image.pages[0].metadata
    encoded = vips.encode_frames(frames, "webpsave", options, encoding, metadata)
    return [encoded] if metadata.exif is None else containers.webp(encoded, metadata.exif)


def tiff_file(image: ImageFile, path: Path) -> None:
    """A TIFF file, page by page: each has its own size, resolution, profile and tags."""
    raw = sum(page.pixels.nbytes + (0 if page.alpha is None else page.alpha.nbytes) for page in image.pages)
    big = image.encoding.bigtiff or raw > _CLASSIC_LIMIT
    name = image.encoding.compression or "none"
    pages = list(image.pages)
    if name not in recode.NUMBERS:
        vips.encode(pages[0], "tiffsave", _tiff_options(pages[0], image.encoding, big), target=path)
    with path.open("r+b" if name not in recode.NUMBERS else "w+b") as file:
        assembler = tiffwriter.Assembler(file, big=big)
        if name not in recode.NUMBERS:
            assembler.finish_first(_tags(pages.pop(0).metadata))
        for page in pages:
            encoded = io.BytesIO(vips.encode(page, "tiffsave", _tiff_options(page, image.encoding, big)))
            tags = _tags(page.metadata)
            if name in recode.NUMBERS and not page.bilevel:
                tags |= recode.compression_field(name)
                assembler.append(encoded, tags, functools.partial(recode.recompress, name))
            else:
                assembler.append(encoded, tags)


def _tags(metadata: Metadata) -> dict[int, tiff.Field]:
    tags = tiff.carried(tiff.exif_fields(metadata.exif)) if metadata.exif else {}
    tags[274] = tiff.Field(3, struct.pack("<H", metadata.orientation))
    if metadata.iptc:  # libvips stores a quarter of it: it counts in four-byte numbers, libtiff in bytes
        tags[33723] = tiff.Field(7, metadata.iptc)
    return {**tags, **tiffpage.resolution_fields(metadata.resolution, metadata.resolution_unit)}


def _tiff_options(page: Picture, encoding: Encoding, big: bool) -> dict[str, object]:
    if page.bilevel and page.pixels.shape[2] == 1:
        return {"compression": "ccittfax4", "bitdepth": 1, "bigtiff": big}
    name = encoding.compression or "none"
    compression = "deflate" if name in recode.NUMBERS else name
    options: dict[str, object] = {"compression": compression, "bigtiff": big}
    if compression in ("deflate", "lzw"):
        floating = page.pixels.dtype == np.float32
        options["predictor"] = encoding.predictor if (encoding.predictor == "float") == floating else "none"
    if compression == "jpeg":
        options |= {"Q": encoding.quality, "rgbjpeg": encoding.subsampling == "4:4:4"}
        if page.alpha is not None or page.pixels.dtype != np.uint8 or page.pixels.shape[2] == 4:
            options = {"compression": "deflate", "bigtiff": big}
    if encoding.tile:
        options |= {"tile": True, "tile_width": encoding.tile[0], "tile_height": encoding.tile[1]}
    if encoding.premultiplied and page.alpha is not None:
        options["premultiply"] = True
    return options
