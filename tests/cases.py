"""Files of every kind, as other programs write them."""

from __future__ import annotations

import lzma
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyvips
import skimage.data
import tifffile
import zstandard
from PIL import Image, ImageCms

RGB = np.ascontiguousarray(skimage.data.astronaut()[40:137, 160:261])  # 97 × 101: no multiple of any block size
GRAY = cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)
ALPHA = np.tile(np.linspace(0, 255, 101).astype(np.uint8), (97, 1))
RGBA = np.dstack([RGB, ALPHA])
RGB16 = RGB.astype(np.uint16) * 257 + np.arange(101, dtype=np.uint16)[:, None] % 200
GRAY16 = RGB16[..., 1].copy()
FLOAT = (RGB / 255).astype(np.float32) * 1.2 - 0.1  # some values outside [0, 1]
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CMYK_ICC = bytes(pyvips.Operation.call("profile_load", "cmyk"))
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'


def exif_block(orientation: int = 6) -> bytes:
    """Camera, date, orientation, exposure, GPS and a maker note, as Pillow writes them."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0132], exif[0x0112] = (
        "Maker",
        "Model 7",
        "2024:05:06 07:08:09",
        orientation,
    )
    exif.get_ifd(0x8769).update({0x829A: (1, 250), 0x8827: 6400, 0x927C: b"MAKER NOTE \x00\x01\x02"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 30.0)})
    return exif.tobytes()


@dataclass(frozen=True)
class Case:
    """A file of one kind: how another program writes it, and what must be the same afterwards."""

    name: str
    make: Callable[[Path], object]
    lossless: bool = True

    def __str__(self) -> str:
        return self.name


def pillow(array: np.ndarray, kind: str, mode: str | None = None, **options: Any) -> Callable[[Path], object]:
    """A file written by Pillow."""
    image = Image.fromarray(array)
    return lambda path: (image.convert(mode) if mode else image).save(path, kind, **options)


def tiff(array: np.ndarray, **options: Any) -> Callable[[Path], object]:
    """A file written by tifffile."""
    options.setdefault("photometric", "rgb" if array.ndim == 3 else "minisblack")
    return lambda path: tifffile.imwrite(path, array, **options)


def opencv(suffix: str, array: np.ndarray, *parameters: int) -> Callable[[Path], object]:
    """A file written by OpenCV; ``array`` is RGB."""
    order = {2: None, 3: cv2.COLOR_RGB2BGR}[array.ndim] if array.shape[2:] != (4,) else cv2.COLOR_RGBA2BGRA
    converted = array if order is None else cv2.cvtColor(array, order)
    return lambda path: path.write_bytes(cv2.imencode(suffix, converted, list(parameters))[1].tobytes())


def tiff_pages(path: Path) -> None:
    """Three pages of different size, depth, resolution and description."""
    common = {"compression": "zlib", "predictor": True}
    with tifffile.TiffWriter(path) as writer:
        writer.write(RGB, resolution=(300, 300), resolutionunit=2, description="first", photometric="rgb", **common)
        writer.write(GRAY[:50, :33], resolution=(150, 75), resolutionunit=2, description="second", **common)
        writer.write(GRAY16, resolution=(100, 100), resolutionunit=3, description="third", **common)


def tiff_with_exif(path: Path) -> None:
    """As a camera or scanner program writes it: camera tags, EXIF and GPS directories, profile."""
    exif = Image.Exif()
    exif.load(exif_block(3))
    exif[270], exif[315], exif[33432] = "a scan", "An Author", "(c) 2024"
    Image.fromarray(RGB).save(path, exif=exif, icc_profile=ICC, dpi=(600, 600), format="tiff")


def tiff_recoded(number: int, array: np.ndarray, **options: Any) -> Callable[[Path], object]:
    """A file of tifffile's whose Deflate strips or tiles are compressed anew, as libtiff does with ZSTD (50000) or LZMA
    (34925)."""

    def make(path: Path) -> None:
        tiff(array, **options)(path)
        with tifffile.TiffFile(path, mode="r+") as file:
            page = file.pages[0]
            places, lengths = [], []
            for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True):
                file.filehandle.seek(offset)
                plain = zlib.decompress(file.filehandle.read(length))
                file.filehandle.seek(0, os.SEEK_END)
                places.append(file.filehandle.tell())
                packed = zstandard.ZstdCompressor().compress(plain) if number == 50000 else lzma.compress(plain)
                lengths.append(file.filehandle.write(packed))
            kinds = ("TileOffsets", "TileByteCounts") if page.is_tiled else ("StripOffsets", "StripByteCounts")
            page.tags[kinds[0]].overwrite(places)
            page.tags[kinds[1]].overwrite(lengths)
            page.tags["Compression"].overwrite(number)

    return make


METADATA = {"exif": exif_block(), "icc_profile": ICC, "xmp": XMP}
CASES = [
    Case("jpeg-420", pillow(RGB, "jpeg", quality=83, subsampling=2, dpi=(240, 240), **METADATA), False),
    Case("jpeg-422", pillow(RGB, "jpeg", quality=91, subsampling=1, dpi=(240, 240), **METADATA), False),
    Case("jpeg-444", pillow(RGB, "jpeg", quality=97, subsampling=0), False),
    Case("jpeg-progressive", pillow(RGB, "jpeg", quality=60, progressive=True), False),
    Case("jpeg-gray", pillow(GRAY, "jpeg", quality=75, dpi=(72, 72)), False),
    Case("png-gray", pillow(GRAY, "png", dpi=(300, 300))),
    Case("png-rgb", pillow(RGB, "png", icc_profile=ICC, exif=exif_block(8))),
    Case("png-rgba", pillow(RGBA, "png", dpi=(72, 72))),
    Case("png-gray-alpha", pillow(np.dstack([GRAY, ALPHA]), "png")),
    Case("png-rgb16", opencv(".png", RGB16)),
    Case("png-rgba16", opencv(".png", np.dstack([RGB16, GRAY16]))),
    Case("png-gray16", opencv(".png", GRAY16)),
    Case("tiff-rgb", tiff(RGB, resolution=(300, 200), resolutionunit=2)),
    Case("tiff-rgba", tiff(RGBA, extrasamples=[2])),
    Case("tiff-gray", tiff(GRAY, resolution=(120, 120), resolutionunit=3)),
    Case("tiff-rgb16", tiff(RGB16, compression="zlib", predictor=True, iccprofile=ICC)),
    Case("tiff-gray16-big-endian", tiff(GRAY16, byteorder=">", software="a scanner")),
    Case("tiff-float-rgb", tiff(FLOAT)),
    Case("tiff-float-gray", tiff(FLOAT[..., 0].copy(), compression="zlib", predictor=False)),
    Case("tiff-tiled", tiff(RGB, tile=(32, 48), compression="zlib")),
    Case("tiff-bigtiff", tiff(RGB16, bigtiff=True)),
    Case("tiff-lzw", pillow(RGB, "tiff", compression="tiff_lzw", dpi=(300, 300))),
    Case("tiff-packbits", pillow(GRAY, "tiff", compression="packbits")),
    Case("tiff-jpeg", pillow(RGB, "tiff", compression="jpeg", quality=88), False),
    Case("tiff-exif", tiff_with_exif),
    Case("tiff-pages", tiff_pages),
    Case("tiff-pages-bigtiff", tiff(np.stack([GRAY, 255 - GRAY]), bigtiff=True, photometric="minisblack")),
    Case("tiff-zstd", pillow(RGB, "tiff", compression="zstd", dpi=(300, 300))),
    Case("tiff-zstd-big-endian", tiff_recoded(50000, RGB16, byteorder=">", compression="zlib", predictor=True)),
    Case("tiff-zstd-bigtiff", tiff_recoded(50000, RGB, bigtiff=True, compression="zlib", tile=(32, 32))),
    Case("tiff-lzma", tiff_recoded(34925, GRAY16, compression="zlib")),
    Case("tiff-cmyk", tiff(RGBA, photometric="separated", compression="zlib", iccprofile=CMYK_ICC)),
    Case("tiff-cmyk16", tiff(np.dstack([RGB16, GRAY16]), photometric="separated", compression="zlib")),
    Case("tiff-cmyk-alpha", tiff(np.dstack([RGBA, GRAY]), photometric="separated", extrasamples=[2])),
    Case("tiff-float-alpha", tiff(np.dstack([FLOAT, FLOAT[..., 0]]), extrasamples=[2])),
    Case("jpeg-cmyk", pillow(RGB, "jpeg", "CMYK", quality=88, dpi=(300, 300), icc_profile=CMYK_ICC), False),
    Case("webp-lossless", pillow(RGBA, "webp", lossless=True, exact=True, **METADATA)),
    Case("webp-lossy", pillow(RGB, "webp", quality=80, exif=exif_block()), False),
    Case("avif", pillow(RGB, "avif", quality=90, icc_profile=ICC), False),
    Case("bmp-rgb", pillow(RGB, "bmp", dpi=(300, 300))),
    Case("bmp-gray", pillow(GRAY, "bmp")),
    Case("bmp-rgba", opencv(".bmp", RGBA)),
    Case("ppm", pillow(RGB, "ppm")),
    Case("pgm", pillow(GRAY, "ppm")),
    Case("ppm16", opencv(".ppm", RGB16)),
    Case("ppm-text", opencv(".ppm", RGB, cv2.IMWRITE_PXM_BINARY, 0)),
    Case("jp2-rgb", opencv(".jp2", RGB)),
    Case("jp2-gray16", opencv(".jp2", GRAY16)),
]  # fmt: skip


def wide_gamut_avif(primaries: int, transfer: int) -> Callable[[Path], object]:
    """A picture that is said to be in other colours than sRGB, by AVIF's own tags (numbers of ITU-T H.273)."""

    def make(path: Path) -> None:
        Image.fromarray(RGB).save(path, "avif")
        data = path.read_bytes()
        place = data.index(b"colrnclx") + 8
        path.write_bytes(data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :])

    return make


def saved_by_vips(array: np.ndarray, saver: str, meaning: str, **options: Any) -> Callable[[Path], object]:
    """A file written by libvips, with resolution, profile, EXIF, XMP and IPTC."""

    def make(path: Path) -> None:
        height, width, bands = array.shape if array.ndim == 3 else (*array.shape, 1)
        kind = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}[array.dtype.name]
        image = pyvips.Image.new_from_memory(np.ascontiguousarray(array), width, height, bands, kind)
        image = image.copy(interpretation=meaning, xres=300 / 25.4, yres=150 / 25.4)
        image.set_type(pyvips.GValue.blob_type, "xmp-data", XMP)
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", CMYK_ICC if meaning == "cmyk" else ICC)
        if saver != "tiffsave":
            image.set_type(pyvips.GValue.blob_type, "exif-data", exif_block())
        path.write_bytes(getattr(image, f"{saver}_buffer")(**options))

    return make


WRITTEN: dict[str, Callable[[Path], object]] = {
    "phone.jpg": pillow(RGB, "jpeg", quality=85, dpi=(72, 72), comment="a comment", **METADATA),
    "progressive.jpg": saved_by_vips(RGB, "jpegsave", "srgb", interlace=True, Q=80),
    "gray.jpg": pillow(GRAY, "jpeg", quality=90, exif=exif_block(8), dpi=(300, 300)),
    "print.jpg": saved_by_vips(RGBA, "jpegsave", "cmyk", Q=90),
    "alpha.png": pillow(RGBA, "png", dpi=(300, 300), icc_profile=ICC, exif=exif_block(3)),
    "deep.png": saved_by_vips(RGB16, "pngsave", "rgb16"),
    "gray.png": pillow(GRAY, "png", dpi=(600, 600)),
    "camera.tif": tiff_with_exif,
    "deep.tif": saved_by_vips(RGB16, "tiffsave", "rgb16", compression="lzw", predictor="horizontal"),
    "tiles.tif": saved_by_vips(RGB, "tiffsave", "srgb", compression="deflate", tile=True, bigtiff=True),
    "print.tif": saved_by_vips(RGBA, "tiffsave", "cmyk", compression="deflate"),
    "float.tif": saved_by_vips(FLOAT, "tiffsave", "srgb", compression="deflate", predictor="float"),
    "pages.tif": tiff_pages,
    "lossless.webp": saved_by_vips(RGBA, "webpsave", "srgb", lossless=True),
    "lossy.webp": pillow(RGB, "webp", quality=80, exif=exif_block(), icc_profile=ICC),
    "photo.avif": pillow(RGB, "avif", quality=90, icc_profile=ICC),
    "drawing.bmp": pillow(RGB, "bmp", dpi=(300, 300)),
}  # fmt: skip
