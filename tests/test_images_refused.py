"""Files that are damaged, no images, too large or not supported: errors that say so, never half a picture."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from folderdenoise import images
from folderdenoise.codecs.containers import chunk
from folderdenoise.errors import FolderDenoiseError, UnreadableImageError, UnsupportedImageError

from .cases import (
    CASES,
    FLOAT,
    GRAY,
    RGB,
    RGBA,
    Case,
    opencv,
    pillow,
    tiff,
    tiff_pages,
    wide_gamut_avif,
)


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


def test_numbers_of_a_tag_that_are_none_do_not_stop_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    not_a_number = struct.pack("<HHIf", 0x0112, 11, 1, float("nan"))  # the orientation
    no_number = struct.pack("<HHII", 513, 4, 0, 0) + struct.pack("<HHII", 514, 4, 1, 9)  # the place of the thumbnail
    block = b"Exif\0\0II*\0\x08\0\0\0\1\0" + not_a_number + struct.pack("<I", 26) + b"\2\0" + no_number + bytes(4)
    pillow(RGB, "jpeg", exif=block)(path)
    assert images.read(path).pages[0].metadata.orientation == 1


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
