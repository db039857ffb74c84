"""JPEG 2000 and AVIF: what their boxes say of the pixels, and what becomes of it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from folderdenoise import images
from folderdenoise.batch import Settings
from folderdenoise.errors import UnsupportedImageError

from .cases import GRAY, ICC, RGB, RGBA, XMP, exif_block, wide_gamut_avif
from .processed import denoised, done

pytestmark = pytest.mark.usefixtures("zoo_dir")

AS_IT_IS = Settings(strength=0.0)


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


def jpeg_2000(path: Path) -> None:
    """With profile, resolution, XMP and a comment box, put in by hand."""
    Image.fromarray(RGB).save(path, "jpeg2000")
    data = path.read_bytes()
    start = data.index(b"jp2h") - 4
    end = start + struct.unpack(">I", data[start : start + 4])[0]
    size = data[start + 8 : start + 30]
    resolution = box(b"res ", box(b"resc", struct.pack(">HHHHbb", 11811, 1, 5906, 1, 0, 0)))
    header = box(b"jp2h", size + box(b"colr", b"\2\0\0" + ICC) + resolution)
    xmp = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP)
    path.write_bytes(data[:start] + header + xmp + box(b"xml ", b"<note/>") + data[end:])


def test_everything_around_a_jpeg_2000_picture_stays(tmp_path: Path) -> None:
    source = tmp_path / "a.jp2"
    jpeg_2000(source)
    outcome, result = denoised(source)
    assert (outcome.status, outcome.notes) == ("done", "")
    assert result.read_bytes().count(b"colr") == 1
    for part in (box(b"colr", b"\2\0\0" + ICC), XMP, box(b"xml ", b"<note/>")):
        assert part in result.read_bytes()
    metadata = images.read(result).pages[0].metadata
    assert metadata.icc == ICC
    assert metadata.resolution == pytest.approx((5.906, 11.811))
    with Image.open(result) as after:
        assert (after.format, after.size, after.mode) == ("JPEG2000", (101, 97), "RGB")
    with Image.open(done(source, Settings(format="png"), "a.png")) as after:
        assert after.info["icc_profile"] == ICC
        assert after.info["dpi"] == pytest.approx((150, 300), abs=0.1)


def coloured(path: Path, kind: int) -> None:
    """With the enumerated colour space ``kind`` in place of sRGB."""
    Image.fromarray(RGB).save(path, "jpeg2000")
    data = path.read_bytes()
    place = data.index(b"colr") + 7
    path.write_bytes(data[:place] + struct.pack(">I", kind) + data[place + 4 :])


@pytest.mark.parametrize("kind", [12, 18, 21], ids=["CMYK", "sYCC", "ROMM"])
def test_jpeg_2000_in_other_colours_is_not_taken_for_srgb(kind: int, tmp_path: Path) -> None:
    source = tmp_path / "a.jp2"
    coloured(source, kind)
    with pytest.raises(UnsupportedImageError, match="in other colours"):
        images.read(source)


@pytest.mark.parametrize(("kind", "words"), [(1, ""), (2, "multiplied"), (65535, "does not call alpha")])
def test_the_fourth_channel_of_a_jpeg_2000_is_what_it_says(kind: int, words: str, tmp_path: Path) -> None:
    source = tmp_path / "a.jp2"
    Image.fromarray(RGBA).save(source, "jpeg2000")
    data = source.read_bytes()
    place = data.index(b"cdef") + 6 + 3 * 6 + 2
    assert data[place : place + 2] == b"\0\1"
    source.write_bytes(data[:place] + struct.pack(">H", kind) + data[place + 2 :])
    outcome, _ = denoised(source)
    assert outcome.status == ("failed" if kind == 2 else "done")
    assert words in outcome.notes
    assert bool(words) == bool(outcome.notes)


def test_a_jpeg_2000_keeps_a_profile_of_any_kind(tmp_path: Path) -> None:
    source = tmp_path / "a.jp2"
    jpeg_2000(source)
    source.write_bytes(source.read_bytes().replace(b"colr\2", b"colr\3"))
    result = done(source)
    assert box(b"colr", b"\3\0\0" + ICC) in result.read_bytes()
    assert images.read(result).pages[0].metadata.icc == ICC


def test_camera_data_of_a_jpeg_2000_reach_another_format(tmp_path: Path) -> None:
    source = tmp_path / "a.jp2"
    Image.fromarray(RGB).save(source, "jpeg2000")
    source.write_bytes(
        source.read_bytes() + box(b"uuid", b"JpgTiffExif->JP2" + exif_block(6).removeprefix(b"Exif\0\0"))
    )
    outcome, result = denoised(source, Settings(format="jpeg"), "a.jpg")
    assert "comments" not in outcome.notes
    with Image.open(result) as after:
        assert (after.getexif()[0x010F], after.getexif()[0x0112]) == ("Maker", 6)


@pytest.mark.parametrize("transfer", [4, 8])
def test_an_avif_in_linear_light_is_not_taken_for_srgb(transfer: int, tmp_path: Path) -> None:
    source = tmp_path / "a.avif"
    wide_gamut_avif(1, transfer)(source)
    with pytest.raises(UnsupportedImageError, match="linear light"):
        images.read(source)


def test_what_an_avif_is_stored_as_instead_is_noted(tmp_path: Path) -> None:
    source = tmp_path / "a.avif"
    Image.fromarray(GRAY).save(source, subsampling="4:0:0")
    assert "its gray was stored as RGB" in denoised(source)[0].notes
    wide_gamut_avif(1, 1)(source)
    assert "those of video" in denoised(source)[0].notes


def test_a_lossless_avif_stays_lossless(tmp_path: Path) -> None:
    source = tmp_path / "a.avif"
    pyvips.Image.new_from_array(RGB).heifsave(str(source), compression="av1", lossless=True)
    outcome, result = denoised(source, AS_IT_IS)
    assert (outcome.status, outcome.notes) == ("done", "")
    with Image.open(result) as after:
        np.testing.assert_array_equal(np.asarray(after), RGB)


def test_an_avif_that_was_turned_says_so_and_is_not_turned_twice(tmp_path: Path) -> None:
    source = tmp_path / "phone.avif"
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x0213] = "Maker", 6, 6
    Image.fromarray(RGB).save(source, exif=exif)
    # Phones write the orientation in the EXIF block too; Pillow takes it out.
    source.write_bytes(source.read_bytes().replace(b"\x02\x13\0\3", b"\x01\x12\0\3"))
    outcome, result = denoised(source)
    assert "turned upright" in outcome.notes
    with Image.open(result) as after:
        assert after.size == (97, 101)
        assert after.getexif().get(0x0112, 1) == 1
        assert after.getexif()[0x010F] == "Maker"


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_the_chroma_subsampling_of_an_avif_stays(subsampling: str, tmp_path: Path) -> None:
    source = tmp_path / "a.avif"
    Image.fromarray(RGB).save(source, subsampling=subsampling)
    flags = [path.read_bytes()[path.read_bytes().index(b"av1C") + 6] & 0x1C for path in (source, done(source))]
    assert flags[0] == flags[1] == (0x0C if subsampling == "4:2:0" else 0)


def test_wide_gamut_of_an_avif_is_not_lost(tmp_path: Path) -> None:
    source = tmp_path / "phone.avif"
    wide_gamut_avif(12, 13)(source)
    outcome, result = denoised(source)
    assert "Display P3" in outcome.notes
    assert pyvips.Image.new_from_file(str(result)).get("icc-profile-data") == pyvips.Operation.call(
        "profile_load", "p3"
    )
