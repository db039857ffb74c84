"""Files come back whole: each format × property, stored by one program, rewritten by us, checked by a second
one."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, IptcImagePlugin, JpegImagePlugin, PngImagePlugin

from folderdenoise import images
from folderdenoise.codecs.containers import chunk
from folderdenoise.errors import OutputError, UnreadableImageError

from .cases import (
    ALPHA,
    CASES,
    GRAY,
    RGB,
    XMP,
    Case,
    exif_block,
    pillow,
    tiff,
    tiff_with_exif,
)

DATA = Path(__file__).parent / "data" / "images"


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
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    path = tmp_path / "text.png"
    Image.fromarray(RGB).save(path, pnginfo=info)
    with Image.open(rewritten(path)) as image:
        assert image.text["Title of the work"] == "Röntgen"
        assert image.text["Author"] == "名前"
        assert image.info["xmp"] == XMP  # only international text is XMP to Pillow, and to Adobe's programs
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
