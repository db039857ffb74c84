"""Results in another format or quality, and what is said of what a format cannot hold."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pyvips
import tifffile
from click.testing import CliRunner
from PIL import Image, PngImagePlugin

from folderdenoise import images
from folderdenoise.batch import Settings
from folderdenoise.cli import main

from . import pictures
from .cases import (
    CMYK_ICC,
    FLOAT,
    GRAY,
    GRAY16,
    ICC,
    METADATA,
    RGB,
    RGB16,
    RGBA,
    XMP,
    exif_block,
    pillow,
    tiff_pages,
    tiff_with_exif,
)
from .processed import denoised, done, frames

pytestmark = pytest.mark.usefixtures("zoo_dir")


CONVERTED = [
    ("a.png", pillow(RGBA, "png", dpi=(300, 300), icc_profile=ICC), "jpeg", "JPEG", "RGB", "transparency was dropped"),
    ("a.jpg", pillow(RGB, "jpeg", dpi=(300, 300), **METADATA), "png", "PNG", "RGB", ""),
    ("a.jpg", pillow(RGB, "jpeg", dpi=(300, 300), **METADATA), "tiff", "TIFF", "RGB", ""),
    ("a.jpg", pillow(GRAY, "jpeg", exif=exif_block(6)), "webp", "WEBP", "RGB", "gray was stored as RGB"),
    ("a.tif", lambda path: tifffile.imwrite(path, RGB16, photometric="rgb"), "jpeg", "JPEG", "RGB", "in place of 16"),
    ("a.tif", lambda path: tifffile.imwrite(path, GRAY16), "png", "PNG", "I;16", ""),
    ("a.tif", lambda path: tifffile.imwrite(path, FLOAT, photometric="rgb"), "png", "PNG", "RGB", "32-bit float"),
    ("a.tif", tiff_with_exif, "jpeg", "JPEG", "RGB", "with loss, at quality 95"),
    ("a.tif", pillow(RGB, "tiff", "CMYK"), "jpeg", "JPEG", "CMYK", "with loss"),
    ("a.webp", pillow(RGBA, "webp", lossless=True), "png", "PNG", "RGBA", ""),
    ("a.gif", lambda path: frames("gif", path), "tiff", "TIFF", "RGB", "timing of its frames was dropped"),
    ("a.gif", lambda path: frames("gif", path), "webp", "WEBP", "RGB", ""),
    ("a.tif", pillow(GRAY, "tiff", "1"), "png", "PNG", "1", ""),
    ("a.png", pillow(GRAY, "png", "1"), "jpeg", "JPEG", "L", "with loss"),
]


@pytest.mark.parametrize(("name", "make", "target", "kind", "mode", "note"), CONVERTED)
def test_results_in_another_format(
    name: str, make: Callable[[Path], object], target: str, kind: str, mode: str, note: str, tmp_path: Path
) -> None:
    source = tmp_path / name
    make(source)
    outcome, result = denoised(source, Settings(format=target), "result")
    assert outcome.status == "done", outcome.notes
    assert note in outcome.notes
    with Image.open(result) as after:
        # Pillow turns a TIFF by itself.
        assert (after.format, after.mode, sorted(after.size)) == (kind, mode, [97, 101])
    if make in (tiff_with_exif, *(row[1] for row in CONVERTED if row[0] == "a.jpg")):
        old, new = exif_of(source), exif_of(result)
        assert old["Orientation"] == new["Orientation"] > 1
        assert old["Make"] == new["Make"] == "Maker"


def exif_of(path: Path) -> dict[str, Any]:
    """Camera and orientation, by tifffile or libvips."""
    if path.read_bytes()[:2] in (b"II", b"MM"):
        with tifffile.TiffFile(path) as file:
            return {name: file.pages[0].tags[name].value for name in ("Make", "Orientation")}
    image = pyvips.Image.new_from_file(str(path))
    found = {name: image.get(f"exif-ifd0-{name}").split(" (")[0] for name in ("Make", "Orientation")}
    return found | {"Orientation": int(found["Orientation"])}


@pytest.mark.parametrize("target", ["jpeg", "tiff"])
def test_a_conversion_keeps_resolution_and_profile(target: str, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    pillow(RGB, "png", dpi=(300, 300), icc_profile=ICC)(source)
    with Image.open(done(source, Settings(format=target))) as after:
        assert after.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        assert after.info["icc_profile"] == ICC


@pytest.mark.parametrize(
    ("make", "target", "words"),
    [
        (tiff_pages, "jpeg", "3 pages.*--format tiff"),
        (pillow(RGB, "tiff", "CMYK"), "png", "CMYK.*--format tiff or jpeg"),
    ],
)
def test_what_a_format_cannot_hold_is_a_failed_row(
    make: Callable[[Path], object], target: str, words: str, tmp_path: Path
) -> None:
    source = tmp_path / "book.tif"
    make(source)
    outcome, result = denoised(source, Settings(format=target))
    assert (outcome.status, result.exists()) == ("failed", False)
    assert outcome.notes.startswith(f"{source}: ")
    assert re.search(words, outcome.notes)


def test_quality_changes_lossy_results_and_leaves_others(tmp_path: Path) -> None:
    lossy, lossless = tmp_path / "a.jpg", tmp_path / "a.png"
    pillow(RGB, "jpeg", quality=95)(lossy)
    pillow(RGB, "png")(lossless)
    sizes = [done(lossy, Settings(quality=quality)).stat().st_size for quality in (5, 40, 95)]
    assert sizes == sorted(sizes)
    assert sizes[2] > 2 * sizes[1]
    plain = done(lossless).read_bytes()
    assert done(lossless, Settings(quality=5)).read_bytes() == plain


def test_keep_times_gives_the_result_the_time_of_the_original(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    pillow(RGB, "png")(source)
    moment = 1_000_000_000 * 10**9 + 123_456_700
    os.utime(source, ns=(moment, moment))
    assert done(source).stat().st_mtime_ns != moment
    assert done(source, Settings(keep_times=True)).stat().st_mtime_ns == moment


def test_what_the_format_loses_is_noted(tmp_path: Path) -> None:
    source, plain = tmp_path / "a.jpg", tmp_path / "plain.jpg"
    pillow(RGB, "jpeg", dpi=(300, 300), **METADATA)(source)
    pillow(RGB, "jpeg")(plain)
    notes = images.verify(images.read(source), plain)
    assert {note.split()[1] for note in notes} == {"colour", "EXIF", "orientation", "XMP", "resolution"}
    pillow(RGB, "jpeg", dpi=(72, 72), **METADATA | {"icc_profile": CMYK_ICC, "xmp": XMP + b" "})(plain)
    notes = images.verify(images.read(source), plain)
    assert {note.split()[1] for note in notes} == {"colour", "XMP", "resolution"}


@pytest.mark.parametrize("target", ["jpeg", "webp", "tiff"])
def test_colours_that_a_png_describes_without_a_profile_are_noted(target: str, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    info = PngImagePlugin.PngInfo()
    info.add(b"cICP", bytes([12, 13, 0, 1]))
    Image.fromarray(RGB).save(source, pnginfo=info)
    outcome, _ = denoised(source, Settings(format=target), "result")
    assert "what it said of its colours without a profile was dropped" in outcome.notes
    assert "comments" not in outcome.notes
    info = PngImagePlugin.PngInfo()
    info.add(b"sRGB", b"\0")
    Image.fromarray(RGB).save(source, pnginfo=info)
    outcome, _ = denoised(source, Settings(format=target), "plain")
    assert "was dropped" not in outcome.notes
    assert "were dropped" not in outcome.notes


def test_camera_data_beyond_64_kib_lose_their_longest_tag_in_a_jpeg(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x010F], exif[0x010E] = "Maker", "x" * 70_000
    Image.fromarray(RGB).save(source, exif=exif)
    outcome, result = denoised(source, Settings(format="jpeg"), "a.jpg")
    assert (outcome.status, "number 270" in outcome.notes) == ("done", True), outcome.notes
    with Image.open(result) as image:
        assert image.getexif()[0x010F] == "Maker"


@pytest.mark.parametrize("kind", ["png", "tiff", "bmp", "jpeg"])
def test_a_webp_has_the_resolution_in_its_exif(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "a"
    pillow(RGB, kind, dpi=(300, 200))(source)
    outcome, result = denoised(source, Settings(format="webp"), "a.webp")
    assert "resolution" not in outcome.notes
    with Image.open(result) as image:
        exif = image.getexif()
        scale = {2: 1.0, 3: 2.54}[exif[0x0128]]
        assert (scale * exif[0x011A], scale * exif[0x011B]) == pytest.approx((300, 200), abs=0.02)


def test_a_resolution_beside_exif_without_one_is_noted_in_webp(tmp_path: Path) -> None:
    # The block is not built anew for it: camera makers' notes may hold offsets.
    source = tmp_path / "a.png"
    pillow(RGB, "png", dpi=(300, 300), exif=exif_block(6))(source)
    outcome, _ = denoised(source, Settings(format="webp"), "a.webp")
    assert "its resolution could not be kept" in outcome.notes


@pytest.mark.parametrize("target", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("numbers", [(1, 1), (3, 2)])
def test_a_resolution_without_unit_becomes_no_other(numbers: tuple[int, int], target: str, tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, RGB, photometric="rgb", resolution=numbers, resolutionunit=1)
    outcome, result = denoised(source, Settings(format=target, quality=90), "a")
    assert ("no unit" in outcome.notes, "could not be kept" in outcome.notes) == (numbers != (1, 1), False)
    with Image.open(result) as image:
        assert image.info.get("jfif_unit", 0) == 0
        assert target == "jpeg" or "dpi" not in image.info


def test_the_options_of_the_command_line_reach_the_files(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "results"
    pictures.save(folder / "a.png", pictures.scene(40, 60))
    pictures.save(folder / "sub" / "b.tif", pictures.scene(300, 400))
    os.utime(folder / "a.png", (10**9, 10**9))
    options = ["--format", "jpeg", "--quality", "30", "--keep-times", "--max-megapixels", "0.1", "--quiet"]
    result = CliRunner().invoke(main, ["run", str(folder), "--out", str(out), *options])
    assert result.exit_code == 1
    assert "--max-megapixels" in result.output
    assert sorted(path.name for path in out.rglob("*.*")) == ["a.jpg", "metrics.csv"]
    assert (out / "a.jpg").stat().st_mtime == 10**9
    with Image.open(out / "a.jpg") as image:
        assert (image.format, image.quantization[0][0]) == ("JPEG", 27)  # 16 of Annex K at quality 30
