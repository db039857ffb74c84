"""What cameras and phones store in a JPEG besides its picture: further views, previews, gain maps, films, segments."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from folderdenoise import images
from folderdenoise.batch import Settings
from folderdenoise.codecs import jpegheader
from folderdenoise.codecs.containers import segment

from . import pictures
from .cases import GRAY, RGB, exif_block
from .processed import SHARED, denoised, done

pytestmark = pytest.mark.usefixtures("zoo_dir")

VIEW, PREVIEW, GAIN_MAP = 0x020002, 0x010001, 0x050000
FILM = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20


def multi_picture(path: Path, *kinds: int) -> None:
    """Three pictures in one file, written by Pillow; the kinds are those of the second and the third."""
    steps = [pictures.noisy(array, 12) for array in (RGB, RGB[:60], RGB[:, :50])]
    first, *others = (Image.fromarray(step) for step in steps)
    first.save(path, "mpo", save_all=True, append_images=others, exif=exif_block(6), quality=90)
    data = bytearray(path.read_bytes())
    entries = data.index(b"MPF\0") + 4 + 8 + 2 + 3 * 12 + 4
    for number, kind in enumerate(kinds, start=1):
        struct.pack_into("<I", data, entries + 16 * number, kind)
    path.write_bytes(data)


def seen(path: Path) -> list[np.ndarray]:
    """All pictures that Pillow finds."""
    found = []
    with Image.open(path) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            found.append(np.asarray(image).astype(float))
    return found


def roughness(array: np.ndarray) -> float:
    return float(np.abs(np.diff(array, axis=1)).mean())


@pytest.mark.parametrize(("name", "kinds"), [("stereo.jpg", (VIEW, VIEW)), ("pillow.mpo", (0, 0))])
def test_every_view_of_a_stereo_picture_is_denoised(name: str, kinds: tuple[int, int], tmp_path: Path) -> None:
    source = tmp_path / name
    multi_picture(source, *kinds)
    outcome, result = denoised(source)
    assert [(row.page, row.width, row.height) for row in outcome.rows] == [(1, 101, 97), (2, 101, 60), (3, 50, 97)]
    before, after = seen(source), seen(result)
    assert [array.shape for array in after] == [array.shape for array in before]
    for old, new in zip(before, after, strict=True):
        assert roughness(new) < 0.8 * roughness(old)
        assert np.abs(new - old).mean() < 20
    with Image.open(result) as image:
        assert image.getexif()[0x010F] == "Maker"
        assert image.mpinfo[0xB001] == 3
        entries = image.mpinfo[0xB002]
        assert entries[0]["DataOffset"] == 0
        assert sum(entry["Size"] for entry in entries) == result.stat().st_size


@pytest.mark.parametrize(("keep", "words"), [(0.5, "further picture that is not there"), (0.95, "cut off")])
def test_a_missing_view_is_a_failure_and_not_left_out(keep: float, words: str, tmp_path: Path) -> None:
    source = tmp_path / "stereo.jpg"
    multi_picture(source, VIEW, VIEW)
    source.write_bytes(source.read_bytes()[: int(keep * source.stat().st_size)])
    outcome, result = denoised(source)
    assert (outcome.status, result.exists()) == ("failed", False)
    assert words in outcome.notes


def test_a_gain_map_is_kept_and_a_preview_dropped(tmp_path: Path) -> None:
    source = tmp_path / "phone.jpg"
    multi_picture(source, PREVIEW, GAIN_MAP)
    outcome, result = denoised(source)
    assert len(outcome.rows) == 1
    assert "out of date, was dropped" in outcome.notes
    assert "kept as it is" in outcome.notes
    before, after = seen(source), seen(result)
    assert [array.shape for array in after] == [(97, 101, 3), (97, 50, 3)]
    np.testing.assert_array_equal(after[1], before[2])
    assert roughness(after[0]) < 0.8 * roughness(before[0])


def test_a_gain_map_without_a_type_is_known_by_the_header(tmp_path: Path) -> None:
    source = tmp_path / "phone.jpg"
    multi_picture(source, 0, 0)
    data = source.read_bytes().replace(b"Maker", b"hdrgm")
    source.write_bytes(data)
    outcome, result = denoised(source)
    assert len(outcome.rows) == 1
    for old, new in zip(seen(source)[1:], seen(result)[1:], strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_preview_alone_leaves_a_plain_jpeg(tmp_path: Path) -> None:
    source = tmp_path / "camera.jpg"
    multi_picture(source, PREVIEW, PREVIEW)
    with Image.open(done(source)) as image:
        assert image.format == "JPEG"
    assert b"MPF\0" not in done(source).read_bytes()


@pytest.mark.parametrize("progressive", [False, True])
def test_the_film_of_a_phone_stays_behind_its_picture(progressive: bool, tmp_path: Path) -> None:
    source = tmp_path / "PXL.MP.jpg"
    Image.fromarray(pictures.noisy(RGB, 12)).save(source, quality=92, progressive=progressive)
    picture = source.read_bytes()
    source.write_bytes(picture + FILM)
    outcome, result = denoised(source)
    assert result.read_bytes().endswith(b"\xff\xd9" + FILM)
    assert "kept as it is" in outcome.notes
    outcome, result = denoised(source, Settings(format="png"), "a.png")
    assert "a film, a gain map or the like) was dropped" in outcome.notes
    source.write_bytes(picture + bytes(4000))  # padding
    assert denoised(source)[0].notes == ""


def test_a_quality_that_was_asked_for_is_that_of_all_views(tmp_path: Path) -> None:
    source = tmp_path / "stereo.jpg"
    multi_picture(source, VIEW, VIEW)
    with Image.open(done(source, Settings(quality=30))) as image:
        for index in range(3):
            image.seek(index)
            assert image.quantization[0][0] == 27  # 16 of Annex K at quality 30


def test_segments_of_other_makers_stay(tmp_path: Path) -> None:
    source = tmp_path / "thermal.jpg"
    Image.fromarray(RGB).save(source)
    data = source.read_bytes()
    extra = (
        segment(0xE1, b"FLIR\0thermal") + segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0") + segment(0xEF, b"own")
    )
    source.write_bytes(data[:2] + extra + data[2:])
    assert extra in done(source).read_bytes()


def test_a_camera_jpeg_without_jfif_header_gets_none(tmp_path: Path) -> None:
    source = tmp_path / "camera.jpg"
    Image.fromarray(RGB).save(source, exif=exif_block(6))
    data = source.read_bytes()
    length = struct.unpack(">H", data[4:6])[0]
    source.write_bytes(data[:2] + data[4 + length :])
    assert b"JFIF" not in done(source).read_bytes()
    with Image.open(done(source)) as image:
        assert image.getexif()[0x0112] == 6


@pytest.mark.parametrize("density", [(0, 10, 11), (0, 1, 1), (1, 300, 150), (2, 118, 59)])
def test_the_jfif_header_says_the_same_whatever_exif_says(density: tuple[int, int, int], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x011A], exif[0x011B], exif[0x0128] = 300.0, 300.0, 1  # a ratio: no unit
    source = tmp_path / "camera.jpg"
    Image.fromarray(RGB).save(source, exif=exif, dpi=(72, 72))
    data = source.read_bytes()
    source.write_bytes(data[:13] + struct.pack(">BHH", *density) + data[18:])
    with Image.open(done(source)) as image:
        assert (image.info["jfif_unit"], *image.info["jfif_density"]) == density
    converted = done(source, Settings(format="tiff"), "a.tif")
    with Image.open(done(converted, Settings(format="jpeg"), "b.jpg")) as image:
        x, y = image.info["jfif_density"]
        assert (image.info["jfif_unit"] == 0, x / y) == (density[0] == 0, 1 if density[0] == 0 else 2)


def test_segments_that_go_on_in_the_next_stay_whole(tmp_path: Path) -> None:
    source = tmp_path / "edited.jpg"
    Image.fromarray(RGB).save(source, exif=exif_block(6))
    data = source.read_bytes()
    paths = b"".join(resource(2000 + number, bytes([number]) * 900) for number in range(100))
    block = paths + resource(1028, CAPTION)
    mark = b"Photoshop 3.0\0"
    more = segment(0xE1, b"Exif\0\0the rest of it") + segment(0xE0, b"II\x1a\0\0\0HEAPJPGMold Canon")
    middle = 65 * len(resource(2000, bytes(900)))
    source.write_bytes(
        data[:20] + segment(0xED, mark + block[:middle]) + segment(0xED, mark + block[middle:]) + more + data[20:]
    )
    result = done(source)
    with Image.open(source) as before, Image.open(result) as after:
        assert after.info["photoshop"] == before.info["photoshop"]
        assert after.info["photoshop"][0x0404] == CAPTION
    stored = result.read_bytes()
    assert segment(0xE1, b"Exif\0\0the rest of it") in stored
    assert b"HEAPJPGMold Canon" in stored


def test_a_jpeg_of_rgb_says_that_it_is_stored_as_ycbcr(tmp_path: Path) -> None:
    source = tmp_path / "rgb.jpg"
    Image.fromarray(RGB).save(source, keep_rgb=True, quality=95)
    outcome, result = denoised(source, Settings(strength=0.0))
    assert "its RGB colours were stored as YCbCr" in outcome.notes
    with Image.open(source) as before, Image.open(result) as after:
        assert np.abs(np.asarray(before).astype(float) - np.asarray(after)).mean() < 3


def test_a_resource_that_is_too_long_for_a_segment_is_parted_and_put_together(tmp_path: Path) -> None:
    source = tmp_path / "edited.jpg"
    Image.fromarray(RGB).save(source)
    data = source.read_bytes()
    block = resource(1060, bytes(range(256)) * 500) + resource(1028, CAPTION)
    parts = [b"Photoshop 3.0\0" + block[at : at + 50_000] for at in range(0, len(block), 50_000)]
    source.write_bytes(data[:20] + b"".join(segment(0xED, part) for part in parts) + data[20:])
    result = done(source)
    before, after = (images.read(path).pages[0].metadata.iptc for path in (source, result))
    assert before == after == b"Photoshop 3.0\0" + block
    stored = result.read_bytes()
    found = [payload for marker, payload in jpegheader.jpeg_segments(io.BytesIO(stored)) if marker == 0xED]
    assert b"".join(payload.removeprefix(b"Photoshop 3.0\0") for payload in found) == block


def resource(number: int, data: bytes) -> bytes:
    return struct.pack(">4sHHI", b"8BIM", number, 0, len(data)) + data + b"\0" * (len(data) % 2)


CAPTION = b"\x1c\x02\x78\x00\x07caption"
RESOURCES = resource(1005, bytes(16)) + resource(1028, CAPTION) + resource(1036, b"thumbnail")


def photoshop_jpeg(path: Path) -> None:
    Image.fromarray(RGB).save(path, "jpeg")
    data = path.read_bytes()
    path.write_bytes(data[:2] + segment(0xED, b"Photoshop 3.0\0" + RESOURCES) + data[2:])


def photoshop_tiff(path: Path) -> None:
    Image.fromarray(RGB).save(path, "tiff", tiffinfo={34377: RESOURCES})


@pytest.mark.parametrize("make", [photoshop_jpeg, photoshop_tiff])
@pytest.mark.parametrize("target", [None, "jpeg", "tiff"])
def test_photoshop_settings_and_iptc_stay_but_for_the_old_thumbnail(
    make: Callable[[Path], None], target: str | None, tmp_path: Path
) -> None:
    source = tmp_path / "edited"
    make(source)
    stored = done(source, Settings(format=target), "result").read_bytes()
    assert RESOURCES[: -len(resource(1036, b"thumbnail"))] in stored
    assert b"thumbnail" not in stored


def test_iptc_of_a_tiff_reaches_a_jpeg_and_back(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    Image.fromarray(RGB).save(source, "tiff", tiffinfo={33723: CAPTION})
    stored = done(source, Settings(format="jpeg"), "a.jpg")
    with Image.open(stored) as image:
        assert image.info["photoshop"][0x0404] == CAPTION
    with Image.open(done(stored, Settings(format="tiff"), "b.tif")) as image:
        assert bytes(image.tag_v2[33723]).startswith(CAPTION)


def test_a_tag_that_is_too_long_for_a_jpeg_is_dropped_with_a_note(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    Image.fromarray(GRAY).save(source, "tiff", tiffinfo={270: "x" * 100_000, 305: "a scanner"})
    outcome, result = denoised(source, Settings(format="jpeg"), "a.jpg")
    assert "number 270" in outcome.notes
    with Image.open(result) as image:
        assert image.getexif()[305] == "a scanner"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collection of odd files is not here")
def test_a_nintendo_3ds_picture_comes_back_with_both_views(tmp_path: Path) -> None:
    source = SHARED / "pillow" / "sugarshack.mpo"
    (tmp_path / "a.mpo").write_bytes(source.read_bytes())
    result = done(tmp_path / "a.mpo")
    with Image.open(source) as before, Image.open(result) as after:
        assert after.n_frames == before.n_frames == 2
        assert after.getexif().get_ifd(0x8769)[0x927C] == before.getexif().get_ifd(0x8769)[0x927C]
        after.seek(1)
        assert after.size == before.size
    read_again = images.read(result)
    assert len(read_again.pages) == 2
    assert io.BytesIO(result.read_bytes()).getvalue().count(b"MPF\0") == 2
