"""Files come back whole: each format × property, stored by one program, rewritten by us, checked by a second
one."""

from __future__ import annotations

import contextlib
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
import pytest
import pyvips
import skimage.data
import tifffile
import zstandard
from PIL import ExifTags, Image, ImageCms, IptcImagePlugin, JpegImagePlugin, PngImagePlugin

from folderdenoise import images
from folderdenoise.codecs.containers import chunk
from folderdenoise.errors import FolderDenoiseError, OutputError, UnreadableImageError, UnsupportedImageError

DATA = Path(__file__).parent / "data" / "images"

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


def rewritten(path: Path) -> Path:
    """Read by us, written by us, under a name without suffix."""
    target = path.with_name("written by us")
    images.write(images.read(path), target)
    return target


def described_by_pillow(path: Path) -> dict[str, Any]:
    """What Pillow sees of a file."""
    with Image.open(path) as image:
        image.load()
        dpi = image.info.get("dpi")
        seen = {
            "format": image.format, "mode": image.mode, "size": image.size,
            "pages": getattr(image, "n_frames", 1), "dpi": dpi and tuple(round(float(d), 1) for d in dpi),
            "icc": image.info.get("icc_profile"), "xmp": image.info.get("xmp"),
            "exif": image.info.get("exif") if image.format != "TIFF" else None,
        }  # fmt: skip
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            seen |= {"sampling": JpegImagePlugin.get_sampling(image), "tables": image.quantization,
                     "progressive": bool(image.info.get("progressive")),
                     "iptc": IptcImagePlugin.getiptcinfo(image)}  # fmt: skip
        return seen


def described_by_tifffile(path: Path) -> list[dict[str, Any]]:
    """What tifffile sees of each page of a TIFF."""
    names = ["BitsPerSample", "SampleFormat", "Compression", "ExtraSamples", "XResolution", "YResolution", "Make",
             "Model", "ResolutionUnit", "Software", "DateTime", "Artist", "Copyright", "ImageDescription", "GPSTag",
             "ExifTag", "Orientation", "InterColorProfile", "TileWidth", "TileLength", "JPEGTables"]  # fmt: skip
    seen = []
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            tags: dict[str, Any] = {n: page.tags[n].value for n in names if n in page.tags}
            for name in ("XResolution", "YResolution"):
                if name in tags:
                    tags[name] = tags[name][0] / tags[name][1]
            if page.compression != 1:  # one sample may have no predictor, and then the tag may be there or not
                tags["Predictor"] = int(page.predictor)
            tags.setdefault("Orientation", 1)  # defaults of TIFF 6.0
            tags.setdefault("SampleFormat", (1,) * page.samplesperpixel if page.samplesperpixel > 1 else 1)
            seen.append(tags | {"shape": page.shape, "dtype": page.dtype, "big": file.is_bigtiff})
    return seen


def pixels_by_another_library(path: Path) -> list[np.ndarray]:
    """The pixels, page by page, as Pillow, tifffile or (for 16 bits) OpenCV decode them."""
    start = path.read_bytes()[:4]
    if start[:2] in (b"II", b"MM"):
        with tifffile.TiffFile(path) as file:
            if file.pages[0].compression in (1, 8):  # tifffile alone does not know the others
                return [page.asarray() for page in file.pages]
    array = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if array is not None and array.dtype == np.uint16:
        return [array]
    with Image.open(path) as image:
        return [np.asarray(image)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rewritten_file_has_everything_the_original_had(case: Case, tmp_path: Path) -> None:
    original = tmp_path / "original"
    case.make(original)
    again = rewritten(original)

    if original.read_bytes()[:2] in (b"II", b"MM"):
        assert described_by_tifffile(again) == described_by_tifffile(original)
    else:
        assert described_by_pillow(again) == described_by_pillow(original)
    for ours, theirs in zip(pixels_by_another_library(again), pixels_by_another_library(original), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        if case.lossless:
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert np.abs(ours.astype(float) - theirs).mean() < 2.5


def damaged_copy(case: Case, tmp_path: Path, keep: float) -> Path:
    """The first part of a case's file."""
    path = tmp_path / "cut off"
    case.make(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    return path


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.97])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_cut_off_file_is_an_error_and_never_half_a_picture(case: Case, keep: float, tmp_path: Path) -> None:
    path = damaged_copy(case, tmp_path, keep)
    with pytest.raises(UnreadableImageError, match=r"cut off: .*(damaged or cut off|not an image)"):
        images.read(path)


@pytest.mark.parametrize("description", [None, "a second description tag, which libtiff warns of"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_damage_inside_a_tile_is_found(tmp_path: Path, description: str | None, compression: str | None) -> None:
    path = tmp_path / "tiles.tif"
    tiff(RGB, tile=(32, 32), compression=compression, description=description)(path)
    np.testing.assert_array_equal(images.read(path).pages[0].pixels, RGB)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[2]
    if compression:
        data[offset + 2 : offset + 60] = b"\xff" * 58
    else:
        del data[-40:]
    path.write_bytes(data)
    with pytest.raises(UnreadableImageError, match="damaged or cut off"):
        images.read(path)


@pytest.mark.parametrize("progressive", [False, True])
def test_padding_at_the_end_of_a_jpeg_is_no_damage(tmp_path: Path, progressive: bool) -> None:
    path = tmp_path / "padded.jpg"
    pillow(RGB, "jpeg", progressive=progressive)(path)
    whole = images.read(path).pages[0].pixels
    path.write_bytes(path.read_bytes()[:-2] + bytes(9) + b"\xff\xd9")
    np.testing.assert_array_equal(images.read(path).pages[0].pixels, whole)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"Dear Sir or Madam,\n", "text"),
        (bytes(5000), "only zeros"),
        (bytes(range(1, 200)), "not an image"),
        (b"\x89PNG\r\n\x1a\n", "cut off"),
    ],
)
def test_what_is_no_image_says_so(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "scan 01.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=rf"scan 01\.png: .*{words}"):
        images.read(path)


def test_missing_files_folders_and_pipes_are_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=r"gone\.png: cannot be opened"):
        images.read(tmp_path / "gone.png")
    with pytest.raises(UnreadableImageError, match="a folder"):
        images.read(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(UnreadableImageError, match="pipe"):
            images.read(tmp_path / "pipe.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    pillow(RGB, "png")(path)
    path.chmod(0)
    with pytest.raises(UnreadableImageError, match=r"secret.png: cannot be opened.*Permission"):
        images.read(path)


def bigger_than_it_is(path: Path) -> None:
    """A PNG whose header claims 100,000 × 100,000 pixels."""
    pillow(GRAY, "png")(path)
    data = path.read_bytes()
    path.write_bytes(data[:8] + chunk(b"IHDR", struct.pack(">II", 100_000, 100_000) + data[24:29]) + data[33:])


@pytest.mark.parametrize(
    "make",
    [bigger_than_it_is, pillow(RGB, "jpeg"), tiff_pages, pillow(RGB, "bmp"), pillow(RGB, "ppm")],
    ids=["png", "jpeg", "tiff", "bmp", "ppm"],
)
def test_pictures_above_the_limit_are_refused_and_the_option_named(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "bomb"
    make(path)
    with pytest.raises(UnsupportedImageError, match=r"bomb: .*limit of 0\.009 megapixels.*--max-megapixels"):
        images.read(path, max_megapixels=0.009)


def wide_gamut_avif(primaries: int, transfer: int) -> Callable[[Path], object]:
    """A picture that is said to be in other colours than sRGB, by AVIF's own tags (numbers of ITU-T H.273)."""

    def make(path: Path) -> None:
        Image.fromarray(RGB).save(path, "avif")
        data = path.read_bytes()
        place = data.index(b"colrnclx") + 8
        path.write_bytes(data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :])

    return make


def bmp_header(bits: int, compression: int, size: int = 40) -> bytes:
    """Of 4 × 3 pixels."""
    info = struct.pack("<IiiHHIIiiII", size, 4, 3, 1, bits, compression, 0, 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 0, 0, 0, 14 + size) + info.ljust(size, b"\0")


UNSUPPORTED = [
    ("lab.tif", pillow(RGB, "tiff", "LAB"), "Lab"),
    ("signed.tif", tiff(GRAY.astype(np.int32)), "32 bits a sample .signed"),
    ("signed-alpha.tif", tiff(RGBA.astype(np.int16), extrasamples=[2]), "rare way"),
    ("double.tif", tiff(GRAY.astype(np.float64)), "64 bits"),
    ("five.tif", tiff(np.dstack([RGB, GRAY, GRAY]), extrasamples=[0, 0]), "5 channels"),
    ("nan.tif", tiff(np.where(FLOAT > 1, np.float32(np.nan), FLOAT)), "not numbers"),
    ("raw.nef", tiff(GRAY), "raw camera"),
    ("drawing.svg", lambda path: path.write_text("<?xml version='1.0'?><svg/>"), "SVG"),
    ("document.png", lambda path: path.write_bytes(b"%PDF-1.7 \x00"), "PDF"),
    ("two.pgm", lambda path: path.write_bytes(2 * b"P5 2 2 255\nabcd"), "several pictures"),
    ("wide.avif", wide_gamut_avif(9, 16), "high dynamic range"),
    ("wrapped.bmp", lambda path: path.write_bytes(bmp_header(24, 4) + bytes(64)), "wraps a JPEG"),
]


@pytest.mark.parametrize(("name", "make", "words"), UNSUPPORTED, ids=[row[0] for row in UNSUPPORTED])
def test_kinds_that_are_not_denoised_say_which_and_what_to_do(
    name: str, make: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(UnsupportedImageError, match=f"{name}: .*{words}.*; (convert|save|split|replace)"):
        images.read(path)


def test_palettes_become_plain_values_and_the_notes_say_so(tmp_path: Path) -> None:
    colour, gray = tmp_path / "colour.png", tmp_path / "gray.png"
    Image.fromarray(RGB).quantize(200).save(colour)
    indexed = Image.frombytes("P", GRAY.shape[::-1], (GRAY // 16).tobytes())
    indexed.putpalette([v for v in range(0, 256, 17) for _ in range(3)])
    indexed.save(gray)

    assert images.read(colour).pages[0].pixels.shape == (97, 101, 3)
    assert images.read(colour).notes == ("its palette was replaced by plain RGB values",)
    with Image.open(colour) as image:
        np.testing.assert_array_equal(images.read(colour).pages[0].pixels, np.asarray(image.convert("RGB")))
    assert images.read(gray).notes == ("its palette was replaced by plain gray values",)
    np.testing.assert_array_equal(images.read(gray).pages[0].pixels[..., 0], GRAY // 16 * 17)
    for path in (rewritten(colour), rewritten(gray)):
        assert path.read_bytes()[24] == 8  # bits a sample


@pytest.mark.parametrize("bits", [2, 4])
def test_gray_pngs_of_few_bits_keep_their_depth(tmp_path: Path, bits: int) -> None:
    levels = GRAY >> (8 - bits)
    rows = np.packbits(np.unpackbits(levels[..., None], axis=2)[..., -bits:].reshape(len(levels), -1), axis=1)
    packed = zlib.compress(np.hstack([np.zeros((len(rows), 1), np.uint8), rows]).tobytes())
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], bits, 0, 0, 0, 0)
    path = tmp_path / "few.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b""))

    again = rewritten(path)
    assert again.read_bytes()[24:26] == bytes([bits, 0])
    with Image.open(path) as image, Image.open(again) as ours:
        np.testing.assert_array_equal(np.asarray(ours.convert("L")), np.asarray(image.convert("L")))


def test_a_camera_jpeg_keeps_its_blocks_and_loses_its_stale_thumbnail(tmp_path: Path) -> None:
    original, again = DATA / "rgb.jpg", tmp_path / "again.jpg"
    images.write(images.read(original), again)
    before, after = described_by_pillow(original), described_by_pillow(again)
    with Image.open(original) as image, Image.open(again) as ours:
        old, new = image.getexif(), ours.getexif()
        assert dict(old) == dict(new)
        assert old.get_ifd(0x8769) == new.get_ifd(0x8769)
        assert old.get_ifd(ExifTags.IFD.IFD1) != {}  # the thumbnail
        assert new.get_ifd(ExifTags.IFD.IFD1) == {}
    assert len(after.pop("exif")) < len(before.pop("exif"))
    assert after.pop("xmp") == before.pop("xmp")
    assert after.pop("icc") == before.pop("icc")
    assert after.pop("iptc") == before.pop("iptc") != {}
    for key in ("size", "mode", "dpi", "sampling", "progressive"):
        assert after[key] == before[key]


def test_maker_notes_and_unknown_exif_bytes_are_not_touched(tmp_path: Path) -> None:
    block = exif_block()
    path = tmp_path / "camera.jpg"
    pillow(RGB, "jpeg", exif=block)(path)
    assert block in rewritten(path).read_bytes()
    pillow(RGB, "webp", exif=block)(path)
    assert block.removeprefix(b"Exif\0\0") in rewritten(path).read_bytes()


def test_png_text_and_colour_chunks_stay(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title of the work", "Röntgen", zip=True)
    info.add_itxt("Author", "名前")
    info.add(b"gAMA", struct.pack(">I", 100_000))
    path = tmp_path / "text.png"
    Image.fromarray(RGB).save(path, pnginfo=info)
    with Image.open(rewritten(path)) as image:
        assert image.text == {"Title of the work": "Röntgen", "Author": "名前"}
        assert image.info["gamma"] == 1.0
        assert "dpi" not in image.info


def test_tiff_camera_tags_and_directories_reach_pillow(tmp_path: Path) -> None:
    path = tmp_path / "camera.tif"
    tiff_with_exif(path)
    with Image.open(path) as image, Image.open(rewritten(path)) as ours:
        assert ours.getexif()[0x010F] == "Maker"
        assert ours.getexif().get_ifd(0x8769) == image.getexif().get_ifd(0x8769) != {}
        assert ours.getexif().get_ifd(0x8825) == image.getexif().get_ifd(0x8825) != {}


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("kind", [4, 7])
def test_tiff_xmp_and_iptc_stay(tmp_path: Path, byteorder: str, kind: int) -> None:
    path = tmp_path / "captioned.tif"
    iptc = b"\x1c\x02\x78\x00\x07caption\0\0\0\0"
    value = iptc if kind == 7 else np.frombuffer(iptc, byteorder + "u4").tolist()
    tags = [(700, 1, len(XMP), XMP, True), (33723, kind, len(value), value, True)]
    tiff(RGB, extratags=tags, byteorder=byteorder)(path)
    with tifffile.TiffFile(rewritten(path)) as file:
        assert bytes(file.pages[0].tags[700].value) == XMP
        assert file.pages[0].tags[33723].value == iptc


def test_premultiplied_alpha_stays_premultiplied(tmp_path: Path) -> None:
    path = tmp_path / "premultiplied.tif"
    premultiplied = np.dstack([(RGB.astype(int) * ALPHA[..., None] // 255).astype(np.uint8), ALPHA])
    tifffile.imwrite(path, premultiplied, photometric="rgb", extrasamples=[1])
    with tifffile.TiffFile(rewritten(path)) as file:
        assert file.pages[0].extrasamples == (1,)
        assert np.abs(file.asarray().astype(int) - premultiplied).max() <= 1


@pytest.mark.parametrize("inside", [0, 1])
def test_overviews_are_dropped_with_a_note(inside: int, tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(RGB, photometric="rgb", subifds=inside)
        writer.write(RGB[::2, ::2], photometric="rgb", subfiletype=1)
    file = images.read(path)
    assert len(file.pages) == 1
    assert any("overviews" in note for note in file.notes)


def test_pages_with_different_compression_get_that_of_the_first_and_a_note(tmp_path: Path) -> None:
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(RGB, photometric="rgb", compression="zlib")
        writer.write(RGB, photometric="rgb")
    assert images.read(path).notes == ("all pages are stored with the compression of the first",)
    with tifffile.TiffFile(rewritten(path)) as file:
        assert [page.compression for page in file.pages] == [8, 8]


@pytest.mark.parametrize(
    "name", ["a[page=1].png", "😀 é.png", "new\nline.png", "-rf.png", "x" * 250 + ".png", b"\xff\xfe.png"]
)
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_every_name_that_a_disk_can_hold(tmp_path: Path, name: str | bytes, kind: str) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        pillow(RGB, kind)(path)
    except OSError:
        pytest.skip("this disk cannot hold the name")
    file = images.read(path)
    path.unlink()
    images.write(file, path)
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(images.read(path).pages[0].pixels, RGB)
    path.write_bytes(b"text")
    with pytest.raises(UnreadableImageError) as caught:
        images.read(path)
    assert str(caught.value).isprintable()
    str(caught.value).encode()


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "same name.tif"
    for array in (RGB, 255 - RGB):
        tiff(array)(path)
        np.testing.assert_array_equal(images.read(path).pages[0].pixels, array)


@pytest.mark.parametrize("kind", ["jpeg", "tiff"])
def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in"
    pillow(RGB, kind)(path)
    with pytest.raises(OutputError, match="nowhere"):
        images.write(images.read(path), tmp_path / "nowhere" / "out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("kind", ["jpeg", "tiff"])
def test_a_full_disk_is_an_output_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in"
    pillow(RGB, kind)(path)
    with pytest.raises(OutputError, match="free space"):
        images.write(images.read(path), Path("/dev/full"))


def test_nothing_is_printed_about_a_bad_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for case in CASES:
        with contextlib.suppress(FolderDenoiseError):
            path = damaged_copy(case, tmp_path, 0.6)
            images.read(path)
    opencv(".jp2", RGB)(path)
    path.write_bytes(path.read_bytes().replace(b"ftyp", b"type"))
    with pytest.raises(UnreadableImageError):
        images.read(path)
    pillow(RGB, "avif")(path)
    data = path.read_bytes()
    place = data.index(b"ispe") + 8
    path.write_bytes(data[:place] + b"\x7f\xff\xff\xff" + data[place + 4 :])
    with pytest.raises(UnreadableImageError):
        images.read(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.name in ("jpeg-420", "png-rgb", "tiff-exif", "webp-lossless", "bmp-rgb")],
    ids=str,
)
def test_flipped_bytes_give_a_picture_or_a_clear_error(case: Case, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    path = tmp_path / "flipped"
    case.make(path)
    intact = path.read_bytes()
    for i in range(40):
        data = bytearray(intact)
        for _ in range(3):
            data[random.integers(0, len(data) if i % 2 else 200)] = random.integers(256)
        path.write_bytes(data)
        with contextlib.suppress(UnreadableImageError, UnsupportedImageError):
            images.read(path, max_megapixels=10)


@pytest.mark.parametrize("path", sorted(DATA.iterdir()), ids=lambda path: path.name)
def test_real_files_come_back_whole(path: Path, tmp_path: Path) -> None:
    check_that_it_comes_back(images.read(path), tmp_path / "out")


def check_that_it_comes_back(file: images.ImageFile, target: Path) -> None:
    """Written and read again, it has equal pages."""
    images.write(file, target)
    again = images.read(target)
    assert len(again.pages) == len(file.pages)
    for old, new in zip(file.pages, again.pages, strict=True):
        assert new.pixels.shape == old.pixels.shape
        assert new.pixels.dtype == old.pixels.dtype
        assert new.metadata.icc == old.metadata.icc
        assert new.metadata.exif == old.metadata.exif
        if old.metadata.resolution:
            assert new.metadata.resolution == pytest.approx(old.metadata.resolution, rel=1e-3)
        if file.encoding.lossless:
            np.testing.assert_array_equal(new.pixels, old.pixels)
            np.testing.assert_array_equal(new.alpha, old.alpha)
