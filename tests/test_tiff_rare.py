"""TIFF files of compositors, microscopes and ImageJ: colours multiplied by alpha, byte orders, places, units."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from folderdenoise import images
from folderdenoise.batch import Settings
from folderdenoise.errors import SuspectResultError

from .cases import ALPHA, GRAY, RGB, RGBA
from .processed import denoised, done

pytestmark = pytest.mark.usefixtures("zoo_dir")

AS_IT_IS = Settings(strength=0.0)


# Colours multiplied by alpha

SEEN = ALPHA / 255  # from nothing to all
INKS = np.dstack([RGB, GRAY]) / 255


def multiplied(colours: np.ndarray, dtype: str, seen: np.ndarray = SEEN) -> np.ndarray:
    """Colours from 0 to 1, multiplied by alpha and with it, as samples of a type."""
    white = 1 if dtype == "float32" else np.iinfo(dtype).max
    samples = white * np.dstack([colours * seen[..., None], seen])
    return (samples if dtype == "float32" else np.rint(samples)).astype(dtype)


def compositor(path: Path, samples: np.ndarray, kind: str, **options: Any) -> None:
    """A file whose colours are multiplied by its alpha."""
    layout = "separate" if "tile" in options else "contig"
    samples = np.ascontiguousarray(np.moveaxis(samples, 2, 0)) if layout == "separate" else samples
    tifffile.imwrite(path, samples, photometric=kind, extrasamples=["assocalpha"], planarconfig=layout, **options)


TILES = {"tile": (32, 48)}
MULTIPLIED: dict[str, tuple[np.ndarray, str, str, dict[str, Any]]] = {
    "float colours": (RGB / 255, "float32", "rgb", {}),
    "float gray": (GRAY[..., None] / 255, "float32", "minisblack", {"compression": "zlib"}),
    "float gray, 0 for white": (GRAY[..., None] / 255, "float32", "miniswhite", {}),
    "float inks": (INKS, "float32", "separated", {}),
    "inks": (INKS, "uint8", "separated", {}),
    "inks, 16 bits": (INKS, "uint16", "separated", {"byteorder": ">"}),
    "colours": (RGB / 255, "uint8", "rgb", {}),
    "colours, 16 bits": (RGB / 255, "uint16", "rgb", {}),
    "planes": (RGB / 255, "uint8", "rgb", TILES),
    "planes, 16 bits": (RGB / 255, "uint16", "rgb", TILES | {"byteorder": ">"}),
    "planes, floats": (RGB / 255, "float32", "rgb", TILES),
    "planes, gray": (GRAY[..., None] / 255, "uint8", "minisblack", TILES),
}


@pytest.mark.parametrize("name", MULTIPLIED)
def test_colours_multiplied_by_alpha_come_back_as_bright(name: str, tmp_path: Path) -> None:
    colours, dtype, kind, options = MULTIPLIED[name]
    samples = multiplied(colours, dtype)
    source = tmp_path / "layer.tif"
    compositor(source, samples, kind, **options)
    outcome, result = denoised(source, AS_IT_IS)
    assert outcome.status == "done", outcome.notes
    assert outcome.notes == ("its separate colour planes were stored interleaved" if "tile" in options else "")
    with tifffile.TiffFile(result) as file:
        page, stored = file.pages[0], file.asarray()
    assert (page.extrasamples, page.photometric.name, stored.dtype) == ((1,), kind.upper(), dtype)
    np.testing.assert_array_equal(stored[..., -1], samples[..., -1])
    # Below 0.01 of alpha libvips takes floats for unseen: they are black.
    assert np.abs(stored.astype(float) - samples).max() <= (0.01 if dtype == "float32" else 1)
    seen = samples[..., -1] > 0.01
    assert np.abs(stored.astype(float) - samples)[seen].max() <= (1e-6 if dtype == "float32" else 1)
    smooth = tifffile.imread(done(source)).astype(float)
    assert np.abs(smooth - samples).mean() < 0.04 * samples.max()


@pytest.mark.parametrize("name", ["planes", "planes, 16 bits", "inks, 16 bits"])
def test_what_is_divided_here_comes_back_to_the_number(name: str, tmp_path: Path) -> None:
    colours, dtype, kind, options = MULTIPLIED[name]
    samples = multiplied(colours, dtype)
    compositor(tmp_path / "layer.tif", samples, kind, **options)
    np.testing.assert_array_equal(tifffile.imread(done(tmp_path / "layer.tif", AS_IT_IS)), samples)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_small_layer_that_was_stored_dark_is_found(dtype: str, tmp_path: Path) -> None:
    seen = np.zeros(GRAY.shape)
    seen[40:44, 50:54] = 0.5
    source, result = tmp_path / "layer.tif", tmp_path / "result.tif"
    compositor(source, multiplied(RGB / 255, dtype, seen), "rgb")
    file = images.read(source)
    images.write(file, result)
    assert images.verify(file, result) == ()
    compositor(result, multiplied(RGB / 255 / 2, dtype, seen), "rgb")
    with pytest.raises(SuspectResultError, match="stored wrong"):
        images.verify(file, result)


def pages(path: Path, *kinds: tuple[np.ndarray, int | None]) -> None:
    with tifffile.TiffWriter(path) as writer:
        for samples, extra in kinds:
            extras = None if extra is None else [extra]
            writer.write(samples, photometric="rgb", extrasamples=extras, planarconfig="contig", metadata=None)


def test_infrared_behind_a_page_with_alpha_changes_no_colour(tmp_path: Path) -> None:
    source = tmp_path / "pages.tif"
    pages(source, (multiplied(RGB / 255, "uint8"), 1), (RGBA, 0), (RGB, None))
    outcome, result = denoised(source, AS_IT_IS)
    assert (outcome.status, outcome.notes) == ("done", "")
    with tifffile.TiffFile(result) as file:
        assert [page.extrasamples for page in file.pages] == [(1,), (0,), ()]
        np.testing.assert_array_equal(file.pages[1].asarray(), RGBA)
        np.testing.assert_array_equal(file.pages[2].asarray(), RGB)


@pytest.mark.parametrize("first", [1, 2])
def test_alpha_of_both_kinds_in_one_file_is_noted(first: int, tmp_path: Path) -> None:
    kinds = [(multiplied(RGB / 255, "uint8"), 1), (RGBA, 2)]
    source = tmp_path / "pages.tif"
    pages(source, *(kinds if first == 1 else kinds[::-1]))
    outcome, result = denoised(source, AS_IT_IS)
    assert outcome.status == "done"
    assert "multiplied by the alpha, or not, as those of the first" in outcome.notes
    assert "compression" not in outcome.notes
    with tifffile.TiffFile(result) as file:
        assert [page.extrasamples for page in file.pages] == [(first,), (first,)]


def test_alpha_said_of_a_bilevel_page_does_not_matter(tmp_path: Path) -> None:
    source = tmp_path / "fax.tif"
    Image.fromarray(GRAY > 128).save(source, tiffinfo={338: 2})
    with tifffile.TiffFile(source) as file:
        assert file.pages[0].extrasamples == (2,)
    result = done(source)
    assert result.read_bytes() == source.read_bytes()


# Tags of microscopes


@pytest.mark.parametrize("tags", [(33628, 33629, 33630, 33631), (33560,), (34412,)], ids=["MetaMorph", "SIS", "LSM"])
def test_places_in_the_old_file_are_not_taken_for_places_in_the_new(tags: tuple[int, ...], tmp_path: Path) -> None:
    source = tmp_path / "microscope.tif"
    extratags = [(tag, 4, 2, (8, 200), True) for tag in tags] + [(65000, 2, None, "private text", True)]
    tifffile.imwrite(source, GRAY, metadata=None, extratags=extratags)
    outcome, result = denoised(source)
    assert outcome.notes == f"tags that point into the file ({', '.join(map(str, tags))}) were dropped"
    with tifffile.TiffFile(result) as file:
        assert not set(tags) & {tag.code for tag in file.pages[0].tags}
        assert file.pages[0].tags[65000].value == "private text"


IMAGEJ: dict[str, Any] = {
    "axes": "ZYX",
    "Labels": ["first", "second", "third"],
    "Info": "held at 4 °C, λ = 488 nm",
    "Ranges": (0.5, 254.25),
    "LUTs": [np.arange(768, dtype=np.uint8).reshape(3, 256)],
    "ROI": b"Iout" + bytes(range(64)),
    "Overlays": [b"Iout" + bytes(range(60)), b"Iout" + bytes(range(9))],
    "Properties": {"Objective": "63×", "NA": "1.4"},
}


@pytest.mark.parametrize("order", ["<", ">"])
def test_what_imagej_keeps_in_a_stack_is_read_again(order: str, tmp_path: Path) -> None:
    source = tmp_path / "stack.tif"
    tifffile.imwrite(source, np.stack([GRAY] * 3), imagej=True, byteorder=order, metadata=IMAGEJ)
    outcome, result = denoised(source)
    assert (outcome.status, outcome.notes) == ("done", "")
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(result) as after:
        kept = after.imagej_metadata
        assert after.byteorder == "<"
        assert kept["Labels"] == IMAGEJ["Labels"]
        assert kept["Info"] == IMAGEJ["Info"]
        assert repr(kept) == repr(before.imagej_metadata)
        assert after.pages[0].tags[50839].count == before.pages[0].tags[50839].count


def one_missing(data: bytes) -> bytes:
    """Without the length of the last label."""
    return data.replace(struct.pack(">HHI", 50838, 4, 4), struct.pack(">HHI", 50838, 4, 3))


def too_long(data: bytes) -> bytes:
    """With a label of more bytes than there are."""
    return data.replace(struct.pack(">III", 20, 10, 10), struct.pack(">III", 20, 10, 4000))


def odd(data: bytes) -> bytes:
    """With half a letter in the first text."""
    return data.replace(struct.pack(">III", 20, 10, 10), struct.pack(">III", 20, 9, 11))


def many(data: bytes) -> bytes:
    """With more labels than lengths."""
    return data.replace(b"labl" + struct.pack(">I", 2), b"labl" + struct.pack(">I", 2**31))


@pytest.mark.parametrize("damage", [one_missing, too_long, odd, many])
def test_damaged_metadata_of_imagej_is_dropped_with_a_note(damage: Any, tmp_path: Path) -> None:
    source = tmp_path / "stack.tif"
    metadata = {"Info": "hello", "Labels": ["label", "other"], "axes": "ZYX"}
    tifffile.imwrite(source, np.stack([GRAY] * 2), imagej=True, byteorder=">", metadata=metadata)
    whole = source.read_bytes()
    source.write_bytes(damage(whole))
    assert source.read_bytes() != whole
    outcome, result = denoised(source)
    assert outcome.status == "done"
    assert "ImageJ metadata" in outcome.notes
    with tifffile.TiffFile(result) as file:
        assert not {50838, 50839} & {tag.code for tag in file.pages[0].tags}
        assert file.is_imagej


# Resolution


@pytest.mark.parametrize("unit", [1, 2, 3])
@pytest.mark.parametrize(
    ("given", "kind", "kept"),
    [
        ({282: 300, 283: 150}, 3, (300, 150)),
        ({282: 70000, 283: 35000}, 4, (70000, 35000)),
        ({282: 72.5, 283: 36.25}, 11, (72.5, 36.25)),
        ({282: 11811.25, 283: 11811.25}, 12, (11811.25, 11811.25)),
        ({282: (300, 1)}, 5, (300, 300)),
        ({283: 96}, 3, (96, 96)),
    ],
)
def test_a_resolution_of_any_type_or_for_one_direction_stays(
    given: dict[int, float], kind: int, kept: tuple[float, float], unit: int, tmp_path: Path
) -> None:
    source = tmp_path / "scan.tif"
    write_tags(source, given | {296: unit}, kind)
    outcome, result = denoised(source, AS_IT_IS)
    assert (outcome.status, outcome.notes) == ("done", "")
    with Image.open(result) as image:
        assert (image.tag_v2[282], image.tag_v2[283], image.tag_v2[296]) == (*kept, unit)


@pytest.mark.parametrize(
    ("given", "kind"),
    [({282: 0, 283: 72}, 3), ({282: float("inf")}, 12), ({282: (0, 0), 283: (72, 1)}, 5), ({282: "300"}, 2)],
)
def test_a_resolution_that_is_none_is_left_out(given: dict[int, Any], kind: int, tmp_path: Path) -> None:
    source = tmp_path / "scan.tif"
    write_tags(source, given, kind)
    with Image.open(done(source)) as image:
        assert not {282, 283} & set(image.tag_v2)


def write_tags(path: Path, tags: dict[int, Any], kind: int) -> None:
    """A file with these tags, the resolution of the field type ``kind``."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory.update({tag: 1 for tag in tags})
    Image.fromarray(RGB).save(path, tiffinfo=directory)
    with tifffile.TiffFile(path, mode="r+") as file:
        for tag, value in tags.items():
            file.pages[0].tags[tag].overwrite(value, dtype=3 if tag == 296 else kind)
