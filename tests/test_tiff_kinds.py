"""TIFF files as scanners, microscopes and printers' programs write them: what their tags say must hold afterwards."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from folderdenoise import images
from folderdenoise.batch import Settings
from folderdenoise.codecs import jpegheader
from folderdenoise.errors import UnsupportedImageError

from .cases import ALPHA, FLOAT, GRAY, GRAY16, RGB, RGB16, RGBA
from .processed import denoised, done

pytestmark = pytest.mark.usefixtures("zoo_dir")

AS_IT_IS = Settings(strength=0.0)


def values(path: Path) -> tuple[np.ndarray, tifffile.TiffPage]:
    """What the file holds, number by number, and its first page."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        return page.asarray(), page


REVERSED: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "8 bits": (GRAY, {}),
    "16 bits": (GRAY16, {"compression": "zlib"}),
    "floats": (FLOAT[..., 0].copy(), {}),
    "alpha": (np.dstack([GRAY, ALPHA]), {"extrasamples": [2], "planarconfig": "contig"}),
    "tiled planes": (np.stack([GRAY, ALPHA]), {"extrasamples": [2], "planarconfig": "separate", "tile": (32, 32)}),
}


@pytest.mark.parametrize("name", REVERSED)
def test_gray_with_zero_for_white_keeps_its_numbers(name: str, tmp_path: Path) -> None:
    array, options = REVERSED[name]
    source = tmp_path / "scan.tif"
    tifffile.imwrite(source, array, photometric="miniswhite", **options)
    stored, page = values(done(source, AS_IT_IS))
    assert page.photometric.name == "MINISWHITE"
    np.testing.assert_array_equal(stored, np.moveaxis(array, 0, 2) if name == "tiled planes" else array)
    smooth, _ = values(done(source))
    assert abs(smooth.astype(float).mean() - stored.astype(float).mean()) < 0.02 * np.ptp(stored.astype(float))
    with Image.open(done(source, Settings(format="png"), "a.png")) as shown:
        dark = np.asarray(shown)[..., 0] if shown.mode == "LA" else np.asarray(shown)
        if name in ("8 bits", "alpha", "tiled planes"):  # what a viewer shows
            assert abs(dark.mean() - (255 - GRAY).mean()) < 3


@pytest.mark.parametrize("array", [np.dstack([RGB16, GRAY16]), np.dstack([GRAY, ALPHA])], ids=["rgb", "gray"])
def test_an_infrared_channel_does_not_become_transparency(array: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "film.tif"
    kind = "rgb" if array.shape[2] == 4 else "minisblack"
    tifffile.imwrite(source, array, photometric=kind, extrasamples=[0], planarconfig="contig")
    stored, page = values(done(source))
    assert page.extrasamples == (0,)
    np.testing.assert_array_equal(stored[..., -1], array[..., -1])
    assert "stored as transparency" in denoised(source, Settings(format="png"), "a.png")[0].notes


def test_premultiplied_gray_with_zero_for_white_is_stored_the_other_way_round(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    gray = (255 - GRAY.astype(int) * ALPHA // 255).astype(np.uint8)
    tifffile.imwrite(
        source, np.dstack([gray, ALPHA]), photometric="miniswhite", extrasamples=[1], planarconfig="contig"
    )
    outcome, result = denoised(source, AS_IT_IS)
    assert "stored with 0 for black" in outcome.notes
    stored, page = values(result)
    assert page.photometric.name == "MINISBLACK"
    assert np.abs(stored[..., 0].astype(int) - (255 - gray)).mean() < 2


def imagej_stack(path: Path) -> None:
    tifffile.imwrite(path, np.stack([GRAY] * 4), imagej=True, truncate=True)


def truncated_stack(path: Path) -> None:
    tifffile.imwrite(path, np.stack([GRAY] * 4), photometric="minisblack", truncate=True)


def metamorph_stack(path: Path) -> None:
    tifffile.imwrite(path, np.stack([GRAY] * 4), photometric="minisblack", truncate=True, metadata=None,
                     extratags=[(33629, 5, 4, (1, 1) * 4, True)])  # fmt: skip
    path.write_bytes(path.read_bytes() + GRAY.tobytes() * 4)


def volume(path: Path) -> None:
    tifffile.imwrite(path, np.stack([GRAY] * 16), volumetric=True, tile=(16, 16, 16), photometric="minisblack")


def picture_inside(path: Path, kind: int = 1) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(RGB[::4, ::4], photometric="rgb", subifds=1, subfiletype=kind)
        writer.write(RGB, photometric="rgb", subfiletype=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (imagej_stack, "3 more images"),
        (truncated_stack, "3 more images"),
        (metamorph_stack, "3 more images"),
        (volume, "a volume"),
        (picture_inside, "SubIFD"),
        (lambda path: picture_inside(path, 0), "SubIFD"),
    ],
    ids=["ImageJ", "tifffile", "MetaMorph", "volume", "behind a thumbnail", "behind a small picture"],
)
def test_pictures_that_are_no_pages_are_not_left_out(make: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    source = tmp_path / "stack.tif"
    make(source)
    with pytest.raises(UnsupportedImageError, match=words):
        images.read(source)


def test_a_stack_with_its_pages_and_a_page_out_of_one_are_taken(tmp_path: Path) -> None:
    source, single = tmp_path / "stack.tif", tmp_path / "single.tif"
    with tifffile.TiffWriter(source, imagej=True) as writer:
        writer.write(np.stack([GRAY] * 4))
    assert len(images.read(source).pages) == 4
    with tifffile.TiffFile(source) as file:
        tifffile.imwrite(single, GRAY, description=file.pages[0].description, metadata=None)
    assert b"images=4" in single.read_bytes()
    assert len(images.read(single).pages) == 1


def jpeg_strip(path: Path, quality: int, subsampling: int) -> None:
    """One whole JPEG stream as the only strip, without the tag for tables."""
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "jpeg", quality=quality, subsampling=subsampling)
    factors = [(1, 1), (2, 1), (2, 2)][subsampling]
    tifffile.imwrite(path, RGB, photometric="rgb", metadata=None, extratags=[(530, 3, 2, factors, True)])
    with tifffile.TiffFile(path, mode="r+") as file:
        file.filehandle.seek(0, os.SEEK_END)
        tags = file.pages[0].tags
        tags["StripOffsets"].overwrite([file.filehandle.tell()])
        tags["StripByteCounts"].overwrite([file.filehandle.write(stream.getvalue())])
        tags["Compression"].overwrite(7)
        tags["PhotometricInterpretation"].overwrite(6)


def tables(path: Path) -> int | None:
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        file.filehandle.seek(page.dataoffsets[0])
        return jpegheader.tables_quality(page.jpegtables or b"", file.filehandle.read(page.databytecounts[0]))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [60, 97])
def test_jpeg_in_a_tiff_keeps_its_quality_and_chroma(quality: int, subsampling: int, tmp_path: Path) -> None:
    source = tmp_path / "scan.tif"
    jpeg_strip(source, quality, subsampling)
    outcome, result = denoised(source, AS_IT_IS)
    assert outcome.status == "done", outcome.notes
    assert (tables(source), tables(result)) == (quality, quality)
    kept = subsampling == 2 and quality < 90
    assert ("its YCbCr colours were stored as RGB" in outcome.notes) != kept
    before, after = (pyvips.Image.new_from_file(str(path)).numpy().astype(float) for path in (source, result))
    assert np.abs(before - after).mean() < 1


def test_print_colours_compressed_as_jpeg_stay_so(tmp_path: Path) -> None:
    source = tmp_path / "print.tif"
    Image.fromarray(RGB).convert("CMYK").save(source, compression="jpeg", quality=85)
    result = done(source, AS_IT_IS)
    with Image.open(source) as before, Image.open(result) as after:
        assert (after.mode, after.info["compression"]) == ("CMYK", "jpeg")
        assert np.abs(np.asarray(before).astype(float) - np.asarray(after)).mean() < 2


def test_inks_are_still_described(tmp_path: Path) -> None:
    source = tmp_path / "print.tif"
    tags = [(333, 2, None, "Cyan\0Magenta\0Yellow\0Black", True), (336, 3, 2, (0, 255), True),
            (337, 2, None, "SWOP press", True), (343, 1, 4, b"path", True)]  # fmt: skip
    tifffile.imwrite(source, RGBA, photometric="separated", extratags=tags)
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(done(source)) as after:
        for tag, *_ in tags:
            assert after.pages[0].tags[tag].value == before.pages[0].tags[tag].value


def test_text_of_exif_3_stays(tmp_path: Path) -> None:
    source = tmp_path / "camera.tif"
    text = "Café Müller".encode()
    tifffile.imwrite(source, GRAY, extratags=[(33432, 2, None, text + b"\0", True)])
    data = source.read_bytes()
    source.write_bytes(data.replace(struct.pack("<HH", 33432, 2), struct.pack("<HH", 33432, 129)))
    stored = done(source).read_bytes()
    assert struct.pack("<HHI", 33432, 129, len(text) + 1) in stored
    assert text in stored


def test_a_private_directory_is_noted(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, GRAY, extratags=[(65001, 13, 1, 8, True), (65000, 2, None, "private text", True)])
    outcome, result = denoised(source)
    assert "(65001) were dropped" in outcome.notes
    with tifffile.TiffFile(result) as after:
        assert (65000 in after.pages[0].tags, 65001 in after.pages[0].tags) == (True, False)


def test_pages_of_other_depth_say_so_and_are_no_change_of_compression(tmp_path: Path) -> None:
    source = tmp_path / "pages.tif"
    with tifffile.TiffWriter(source) as writer:
        for array in (GRAY, GRAY16):
            writer.write(array, compression="zlib")
    outcome, _ = denoised(source)
    assert [row.bit_depth for row in outcome.rows] == [8, 16]
    assert "compression" not in outcome.notes


@pytest.mark.parametrize("unit", [1, 2, 3])
@pytest.mark.parametrize("numbers", [(5, 2), (72, 1), (11811, 100), (465_116_279, 1000), (3, 100_000), (2**32 - 1, 1)])
def test_every_resolution_stays_however_fine_or_coarse(numbers: tuple[int, int], unit: int, tmp_path: Path) -> None:
    source = tmp_path / "microscope.tif"
    tifffile.imwrite(source, GRAY, resolution=(numbers, (1, 7)), resolutionunit=unit)
    outcome, result = denoised(source, AS_IT_IS)
    assert outcome.notes == ""
    with tifffile.TiffFile(result) as file:
        tags = file.pages[0].tags
        assert (tags["XResolution"].value, tags["YResolution"].value) == (numbers, (1, 7))
        assert tags["ResolutionUnit"].value == unit
