"""Whole files through process_file: what comes out is looked at with exiftool, libvips, Pillow and tifffile."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from click.testing import CliRunner
from PIL import Image

from folderdenoise import images
from folderdenoise.batch import Settings, process_file
from folderdenoise.cli import main
from folderdenoise.codecs.containers import segment
from folderdenoise.engine import Denoiser
from folderdenoise.errors import SuspectResultError
from folderdenoise.folder import Task

from . import models, pictures
from .cases import (
    GRAY,
    RGB,
    RGB16,
    RGBA,
    WRITTEN,
    pillow,
    tiff,
)
from .processed import SHARED, denoised, done, frames

pytestmark = pytest.mark.usefixtures("zoo_dir")


EXIFTOOL = shutil.which("exiftool")
# What describes the file on the disk and the encoder's own choices, or moves with them.
_NOT_COMPARED = {"SourceFile", "File:FileName", "File:Directory", "File:FileSize", "File:FileModifyDate",
                 "File:FileAccessDate", "File:FileInodeChangeDate", "File:FilePermissions", "File:CurrentIPTCDigest",
                 "EXIF:StripOffsets", "EXIF:StripByteCounts", "EXIF:RowsPerStrip", "EXIF:TileOffsets", "File:Encoder",
                 "EXIF:TileByteCounts", "EXIF:ThumbnailOffset", "EXIF:ThumbnailLength", "EXIF:ThumbnailImage",
                 "EXIF:ThumbnailTIFF", "EXIF:Compression", "EXIF:Predictor", "EXIF:PageNumber", "EXIF:SubfileType",
                 "EXIF:PlanarConfiguration", "File:ExifByteOrder", "EXIF:NewSubfileType", "EXIF:FillOrder",
                 "EXIF:SampleFormat", "ExifTool:ExifToolVersion", "JFIF:JFIFVersion", "EXIF:ImageDescription",
                 "ExifTool:Warning", "APP14:DCTEncodeVersion", "PNG:Filter",
                 "PNG:ProfileName", "File:ImageLength"}  # fmt: skip


def tags(path: Path) -> dict[str, Any]:
    """All that exiftool finds, by group and name."""
    output = subprocess.run([EXIFTOOL, "-json", "-G", "-n", "-a", path], capture_output=True, check=False).stdout
    found = json.loads(output)[0]
    groups = ("Composite:", "QuickTime:")  # worked out by exiftool; AVIF's own boxes
    return {key: value for key, value in found.items() if key not in _NOT_COMPARED and not key.startswith(groups)}


@pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not installed")
@pytest.mark.parametrize("name", WRITTEN)
def test_exiftool_finds_the_same_in_the_result(name: str, tmp_path: Path) -> None:
    source = tmp_path / name
    WRITTEN[name](source)
    before, after = tags(source), tags(done(source))
    assert {key: after.get(key) for key in before} == before


MIXED = {
    "phone": ["sharp/Portrait_6.jpg", "sharp/Portrait_8.jpg", "exif-samples/portrait_2.jpg",
              "pillow/empty_gps_ifd.jpg"],
    "camera": ["pillow/rgb.jpg", "pillow/sugarshack.mpo", "pillow/hopper_orientation_5.jpg", "image-rs/basn6a16.png"],
    "scanner": ["paperless/multi-page-images.tiff", "sharp/G31D_MULTI.TIF", "pillow/16bit.deflate.tif",
                "pillow/tiff_strip_cmyk_16l_jpeg.tif", "pillow/12in16bit.tif", "image-rs/cmyk_u8_edge_case.tif"],
    "web": ["pillow/iss634.apng", "libvips/big-height.webp", "sharp/16-bit-grey-alpha.png", "libvips/sample.png",
            "pillow/exif_imagemagick_orientation.png"],
}  # fmt: skip
# Thumbnails of the picture as it was; where its parts lie; the encoder's own marks.
_MOVED = ("PhotoshopThumbnail", "MPImageStart", "MPImageLength", "MPImage2", "APP14", "WebP_Flags")


@pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not installed")
@pytest.mark.skipif(not SHARED.is_dir(), reason="the collection of odd files is not here")
def test_a_mixed_folder_from_phone_camera_and_scanner_comes_back_whole(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for group, names in MIXED.items():
        for name in names:
            target = folder / group / Path(name).name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SHARED / name, target)
    result = CliRunner().invoke(main, ["run", str(folder), "--out", str(out), "--quiet"])
    assert result.exit_code == 0, result.output
    lost = {}
    for source in sorted(path for path in folder.rglob("*") if path.is_file()):
        before, after = tags(source), tags(out / source.relative_to(folder))
        lost[source.name] = {
            key: (value, after.get(key))
            for key, value in before.items()
            if after.get(key) != value and not any(name in key for name in _MOVED)
        }
    assert {name: found for name, found in lost.items() if found} == {}


@pytest.mark.parametrize("name", WRITTEN)
def test_libvips_sees_the_same_kind_of_picture_and_alpha(name: str, tmp_path: Path) -> None:
    source = tmp_path / name
    WRITTEN[name](source)
    if name.endswith("bmp"):
        pytest.skip("libvips' wheels have no BMP")
    seen = []
    for path in (source, done(source)):
        image = pyvips.Image.new_from_file(str(path))
        fields = {key: image.get(key) for key in ("n-pages", "bits-per-sample") if image.get_typeof(key)}
        resolution = (round(image.xres, 3), round(image.yres, 3))
        alpha = image.numpy()[..., -1].tolist() if image.hasalpha() else None
        seen.append(
            (image.width, image.height, image.bands, image.format, image.interpretation, resolution, alpha, fields)
        )
    assert seen[0] == seen[1]


@pytest.mark.parametrize("kind", ["jpeg", "tiff"])
def test_print_colours_are_denoised_ink_by_ink(kind: str, tmp_path: Path) -> None:
    clean = np.full((64, 64, 4), (40, 90, 140, 60), np.uint8)
    noisy = np.clip(clean + np.random.default_rng(1).normal(size=clean.shape) * 12, 0, 255).astype(np.uint8)
    source = tmp_path / f"print.{kind}"
    Image.frombytes("CMYK", (64, 64), noisy.tobytes()).save(source, kind, **({"quality": 98} if kind == "jpeg" else {}))
    with Image.open(done(source)) as result:
        assert result.mode == "CMYK"
        inks = np.asarray(result)[4:-4, 4:-4].astype(float)
    np.testing.assert_allclose(inks.mean(axis=(0, 1)), noisy.mean(axis=(0, 1)), atol=2)
    assert (inks.std(axis=(0, 1)) < 0.4 * noisy.std(axis=(0, 1))).all()


BILEVEL = {
    "page.png": pillow(GRAY, "png", "1"),
    "fax.tif": pillow(GRAY, "tiff", "1", compression="group4"),
    "raw.tif": pillow(GRAY, "tiff", "1"),
    "page.bmp": pillow(GRAY, "bmp", "1"),
    "page.pbm": pillow(GRAY, "ppm", "1"),
    "text.pbm": lambda path: path.write_text("P1\n# by hand\n3 2\n1 0 1\n0 1 0\n"),
}


@pytest.mark.parametrize("name", BILEVEL)
def test_bilevel_images_are_copied_as_they_are_with_a_note(name: str, tmp_path: Path) -> None:
    source = tmp_path / name
    BILEVEL[name](source)
    outcome, result = denoised(source)
    assert (outcome.status, result.read_bytes()) == ("done", source.read_bytes())
    assert "no noise to remove" in outcome.notes


@pytest.mark.parametrize("name", ["fax.tif", "page.bmp", "page.pbm", "text.pbm"])
def test_a_cut_off_bilevel_image_is_not_copied(name: str, tmp_path: Path) -> None:
    source = tmp_path / name
    BILEVEL[name](source)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    outcome, result = denoised(source)
    assert (outcome.status, result.exists()) == ("failed", False)


def test_bilevel_pages_among_others_keep_their_pixels_and_depth(tmp_path: Path) -> None:
    source = tmp_path / "mixed.tif"
    first, second = Image.fromarray(pictures.noisy(GRAY, 20)), Image.fromarray(GRAY).convert("1")
    first.save(source, "tiff", save_all=True, append_images=[second])
    outcome, result = denoised(source)
    assert "compressed as fax" in outcome.notes
    assert "copied" not in outcome.notes
    with tifffile.TiffFile(result) as file:
        assert [page.bitspersample for page in file.pages] == [8, 1]
    with Image.open(tmp_path / "out" / source.name) as result:
        result.seek(1)
        np.testing.assert_array_equal(np.asarray(result), np.asarray(second))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(("array", "colours"), [(RGB, "rgb"), (RGB16, "rgb"), (RGBA, "separated")])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiles_of_separate_planes(
    array: np.ndarray, colours: str, compression: str | None, byteorder: str, tmp_path: Path
) -> None:
    path = tmp_path / "planar.tif"
    tiff(
        np.ascontiguousarray(np.moveaxis(array, 2, 0)), photometric=colours, planarconfig="separate", tile=(32, 32),
        compression=compression, byteorder=byteorder,
    )(path)  # fmt: skip
    file = images.read(path)
    np.testing.assert_array_equal(file.pages[0].pixels, array)
    assert "its separate colour planes were stored interleaved" in file.notes


@pytest.mark.parametrize(("kind", "options"), [("webp", {"lossless": True}), ("webp", {"quality": 90}), ("gif", {})])
def test_every_frame_of_an_animation_is_denoised_and_keeps_its_time(
    kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    source = tmp_path / f"moving.{kind}"
    frames(kind, source, **options)
    outcome, result = denoised(source)
    assert [row.page for row in outcome.rows] == [1, 2, 3], outcome.notes
    with Image.open(source) as before, Image.open(result) as after:
        assert after.n_frames == 3
        assert after.info.get("loop") == before.info.get("loop")
        for index in range(3):
            before.seek(index)
            after.seek(index)
            before.load()
            after.load()
            assert after.info["duration"] == before.info["duration"]
            old, new = (np.asarray(image.convert("RGB")).astype(float) for image in (before, after))
            assert np.abs(np.diff(new, axis=1)).mean() < 0.8 * np.abs(np.diff(old, axis=1)).mean()
            assert np.abs(new - old).mean() < 20


def test_a_frame_that_is_shown_twice_stays_two(tmp_path: Path) -> None:
    steps = [pyvips.Image.new_from_array(array) for array in (RGB, RGB, 255 - RGB)]
    roll = pyvips.Image.arrayjoin(steps, across=1).copy(interpretation="srgb")
    roll.set_type(pyvips.GValue.gint_type, "page-height", len(RGB))
    roll.set_type(pyvips.GValue.array_int_type, "delay", [100, 100, 200])
    source = tmp_path / "still.gif"
    source.write_bytes(roll.gifsave_buffer(keep_duplicate_frames=True))
    seen = pyvips.Image.new_from_file(str(done(source)), n=-1)
    assert (seen.get("n-pages"), seen.get("delay")) == (3, [100, 100, 200])


def test_comments_and_other_segments_of_a_jpeg_stay(tmp_path: Path) -> None:
    source = tmp_path / "commented.jpg"
    pillow(RGB, "jpeg", comment="scanned by hand")(source)
    data = source.read_bytes()
    extended = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + bytes(8) + b"<more/>"
    extra = segment(0xE1, extended) + segment(0xEC, b"Ducky\0") + segment(0xEB, b"JP credentials")
    source.write_bytes(data[:2] + extra + data[2:])
    outcome, result = denoised(source)
    assert segment(0xE1, extended) in result.read_bytes()
    assert segment(0xEC, b"Ducky\0") in result.read_bytes()
    assert b"JP credentials" not in result.read_bytes()
    assert "content credentials" in outcome.notes
    with Image.open(result) as image:
        assert image.info["comment"] == b"scanned by hand"


def test_sixteen_bits_keep_their_gradation(tmp_path: Path) -> None:
    ramp = np.linspace(20_000, 24_000, 512)[None, :] + np.zeros((96, 1))
    noisy = np.rint(ramp + np.random.default_rng(3).normal(size=ramp.shape) * 300).astype(np.uint16)
    source = tmp_path / "sky.tif"
    tifffile.imwrite(source, noisy)
    outcome, result = denoised(source)
    stored = tifffile.imread(result)
    assert (stored.dtype, outcome.rows[0].bit_depth) == (np.uint16, 16)
    # 8 bits would leave 16 levels of this ramp, and steps of 257 between neighbours.
    assert len(np.unique(stored)) > 2000
    inner = stored[8:-8, 8:-8].astype(float).mean(axis=0)
    assert np.abs(inner - ramp[0, 8:-8]).max() < 60
    assert np.abs(np.diff(inner)).max() < 60


@pytest.mark.parametrize("in_memory", [1 << 29, 0])
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_colours_under_full_transparency_do_not_bleed_and_stay(kind: str, in_memory: int, tmp_path: Path) -> None:
    source = tmp_path / "logo"
    y, x = np.mgrid[:120, :150]
    alpha = np.where((x - 70) ** 2 + (y - 60) ** 2 < 40**2, 255, 0).astype(np.uint8)
    noise = np.random.default_rng(5).normal(size=(120, 150, 3)) * 10
    colours = np.where(alpha[..., None] == 255, 100 + noise, [0, 255, 0]).astype(np.uint8)
    options = {"lossless": True, "exact": True} if kind == "webp" else {}
    Image.fromarray(np.dstack([colours, alpha])).save(source, kind, **options)
    outcome, result = denoised(source, Settings(in_memory=in_memory))
    stored = np.asarray(Image.open(result))
    np.testing.assert_array_equal(stored[..., 3], alpha)
    np.testing.assert_array_equal(stored[alpha == 0], np.dstack([colours, alpha])[alpha == 0])
    # A border pixel that had green in its surroundings would be tens of levels off.
    assert np.abs(stored[alpha == 255][:, :3].astype(int) - 100).max() < 20
    assert outcome.rows[0].noise_after < 0.5 * outcome.rows[0].noise_before
    assert "transparency was dropped" in denoised(source, Settings(format="jpeg"), "logo.jpg")[0].notes


def test_what_hides_everything_or_is_no_alpha_hides_nothing(tmp_path: Path) -> None:
    noisy = np.clip(np.random.default_rng(5).normal(size=(60, 80, 3)) * 10 + 100, 0, 255).astype(np.uint8)
    source = tmp_path / "a.tif"
    for alpha, extra in ((np.zeros((60, 80)), "unassalpha"), (np.eye(60, 80), "unspecified")):
        pixels = np.dstack([noisy, alpha.astype(np.uint8)])
        tifffile.imwrite(source, pixels, photometric="rgb", extrasamples=[extra])
        assert tifffile.imread(done(source))[5:-5, 5:-5, :3].std() < 0.5 * noisy.std()


def test_a_result_that_is_stored_wrong_is_found(tmp_path: Path) -> None:
    path = tmp_path / "stored"
    pillow(RGB, "png")(path)
    right = images.read(path)
    assert images.verify(right, path) == ()
    for wrong in (255 - RGB, RGB[:50], RGB16):
        other = tmp_path / "other"
        tifffile.imwrite(other, wrong, photometric="rgb")
        with pytest.raises(SuspectResultError, match="stored wrong"):
            images.verify(right, other)
    clear = replace(right, pages=(replace(right.pages[0], alpha=GRAY),))
    Image.fromarray(np.dstack([RGB, GRAY])).save(other, "png")
    assert images.verify(clear, other) == ()
    Image.fromarray(np.dstack([RGB, 255 - GRAY])).save(other, "png")
    with pytest.raises(SuspectResultError, match="stored wrong"):
        images.verify(clear, other)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(SuspectResultError, match="cannot be read back"):
        images.verify(right, path)


@pytest.mark.parametrize("name", ["deep.png", "pages.tif", "print.tif", "lossless.webp", "phone.jpg", "tiles.tif"])
def test_files_that_do_not_fit_in_memory_come_out_the_same(name: str, tmp_path: Path) -> None:
    source = tmp_path / name
    WRITTEN[name](source)
    in_memory = done(source).read_bytes()
    assert done(source, Settings(in_memory=0)).read_bytes() == in_memory
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_an_answer_that_is_no_picture_is_a_failed_row_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    pillow(RGB, "png")(source)
    models.write_nan(tmp_path / "zoo" / "nan")
    task = Task(source, "a.png", tmp_path / "out" / "a.png")
    task.out.mkdir()
    outcome = process_file(task, Denoiser(tmp_path / "zoo" / "nan"), Settings())
    assert outcome.status == "failed"
    assert "NaN" in outcome.notes
    assert list(task.out.iterdir()) == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collection of odd files is not here")
def test_every_odd_file_gives_a_whole_result_or_a_reason(tmp_path: Path) -> None:
    shutil.copytree(SHARED, tmp_path / "files")
    wrong = []
    for path in sorted((tmp_path / "files").glob("*/*")):
        outcome, result = denoised(path, Settings(strength=0.0, max_megapixels=50))
        if outcome.status == "failed":
            clear = path.name in outcome.notes and not any(word in outcome.notes for word in ("unexpected", "Error"))
            wrong += [] if clear and not result.exists() else [(path.name, outcome.notes)]
            continue
        before, after = images.read(path), images.read(result)
        same = len(before.pages) == len(after.pages) == len(outcome.rows) and all(
            (old.pixels.shape, old.pixels.dtype, rounded(old)) == (new.pixels.shape, new.pixels.dtype, rounded(new))
            and (old.alpha is None or np.array_equal(old.alpha, new.alpha) or not before.encoding.lossless)
            for old, new in zip(before.pages, after.pages, strict=True)
        )
        wrong += [] if same else [(path.name, "differs")]
    assert wrong == []


def rounded(page: images.Picture) -> images.Metadata:
    """The metadata, resolution as files of whole numbers can hold it."""
    resolution = page.metadata.resolution
    return replace(page.metadata, resolution=resolution and tuple(round(value, 1) for value in resolution))
