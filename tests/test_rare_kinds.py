"""Kinds of files that laboratories, old programs and other systems write, and what must come back of them."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from folderdenoise import images, scratch
from folderdenoise.batch import Settings
from folderdenoise.codecs.containers import chunk
from folderdenoise.errors import UnreadableImageError

from . import pictures
from .cases import FLOAT, GRAY, GRAY16, ICC, RGB, RGBA
from .cases import tiff as tiff_by_tifffile
from .processed import SHARED, denoised, done

pytestmark = pytest.mark.usefixtures("zoo_dir")

AS_IT_IS = Settings(strength=0.0)
NOISY = pictures.noisy(GRAY, 12)


# TIFF: signed integers, half floats, floats of any range

VALUES = {
    "tomograph": (NOISY.astype(np.int16) * 16 - 1024, 0),
    "signed bytes": ((NOISY.astype(np.int16) - 128).astype(np.int8), 0),
    "signed colours": (np.stack([NOISY.astype(np.int16) * 100] * 3, axis=2), 0),
    "half": ((NOISY / 255).astype(np.float16), 0),
    "half, large": (NOISY.astype(np.float16) * 100, 0),
    "counts": (NOISY.astype(np.float32) * 257, 1e-2),
    "around zero": (NOISY.astype(np.float32) - 100, 1e-4),
}


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (32, 32)}, {"byteorder": ">"}], ids=str)
@pytest.mark.parametrize("name", VALUES)
def test_values_of_any_range_and_sign_come_back(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    values, tolerance = VALUES[name]
    source = tmp_path / "values.tif"
    tiff_by_tifffile(values, **options)(source)
    stored = tifffile.imread(done(source, AS_IT_IS))
    assert (stored.dtype, stored.shape) == (values.dtype, values.shape)
    assert np.abs(stored.astype(float) - values).max() <= tolerance
    result = tifffile.imread(done(source)).astype(float)
    assert result.std(axis=0).mean() < values.astype(float).std(axis=0).mean()
    assert np.abs(np.diff(result, axis=1)).mean() < 0.8 * np.abs(np.diff(values.astype(float), axis=1)).mean()
    assert abs(result.mean() - values.mean(dtype=float)) < 0.02 * np.ptp(values.astype(float))


def test_what_stands_for_black_and_white_is_noted(tmp_path: Path) -> None:
    source = tmp_path / "values.tif"
    tiff_by_tifffile(VALUES["tomograph"][0])(source)
    outcome, _ = denoised(source)
    assert "taken from -1024 (black) to 4096 (white)" in outcome.notes
    assert outcome.rows[0].noise_before is not None
    assert 0.5 < outcome.rows[0].noise_before < 12  # 12 levels, of the range that is a fifth wider


def test_lights_beyond_white_do_not_darken_a_photograph(tmp_path: Path) -> None:
    source = tmp_path / "lights.tif"
    lights = FLOAT.copy()
    lights[3, 3] = 4000
    tiff_by_tifffile(lights)(source)
    file = images.read(source)
    assert file.pages[0].scale is None
    np.testing.assert_array_equal(file.pages[0].pixels, lights)


def test_pages_of_one_series_have_one_scale(tmp_path: Path) -> None:
    source = tmp_path / "series.tif"
    tifffile.imwrite(source, np.stack([NOISY * 11, NOISY * 12, NOISY * 13]).astype(np.int16), photometric="minisblack")
    assert len({page.scale for page in images.read(source).pages}) == 1


@pytest.mark.parametrize("name", ["tomograph", "counts"])
def test_large_images_of_such_values_are_never_in_memory_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What may be in memory, smaller: the bands and the samples that the scale is found by.
    monkeypatch.setattr(scratch, "_BLOCK", 1 << 18)
    monkeypatch.setattr("folderdenoise.codecs.scale._SAMPLES", 10_000)
    values = np.tile(VALUES[name][0], (20, 20))
    tiff_by_tifffile(values)(tmp_path / "large.tif")
    tracemalloc.start()
    file = images.read(tmp_path / "large.tif", scratch=scratch.Scratch(tmp_path, in_memory=0))
    images.write(file, tmp_path / "again.tif")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert file.pages[0].scale is not None
    assert most < values.nbytes / 2
    np.testing.assert_allclose(tifffile.imread(tmp_path / "again.tif"), values, atol=VALUES[name][1])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collection of odd files is not here")
@pytest.mark.parametrize("name", ["pillow/16bit.s.tif", "libvips/multi-channel-z-series.ome.tif"])
def test_real_signed_files_come_back(name: str, tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    source.write_bytes((SHARED / name).read_bytes())
    result = done(source, AS_IT_IS)
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(result) as after:
        assert len(after.pages) == len(before.pages)
        for old, new in zip(before.pages, after.pages, strict=True):
            np.testing.assert_array_equal(new.asarray(), old.asarray())
        assert after.pages[0].description == before.pages[0].description


# BMP

COLOURS = np.random.default_rng(0).integers(0, 256, (16, 3), np.uint8)
INDICES = (NOISY >> 4).astype(np.uint8)


def bmp(bits: int, rows: np.ndarray, compression: int = 0, *, size: int = 40, masks: tuple[int, ...] = (),
        palette: np.ndarray | None = None, height: int | None = None, tail: bytes = b"") -> bytes:  # fmt: skip
    """A BMP of rows as stored, bottom up unless ``height`` is negative."""
    body = rows.tobytes() if compression not in (1, 2) else b""
    colours = b"" if palette is None else np.insert(palette[:, ::-1], 3, 0, axis=1).astype(np.uint8).tobytes()
    info = struct.pack("<IiiHHIIiiII", size, 101, height or 97, 1, bits, compression, 0, 11811, 5906,
                       0 if palette is None else len(palette), 0)  # fmt: skip
    info = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(max(size, 40 + 4 * len(masks)), b"\0")
    start = 14 + len(info) + len(colours)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + info + colours + body + tail


def padded(rows: np.ndarray) -> np.ndarray:
    """(H, bytes) with rows of whole double words."""
    data = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    return np.pad(data, ((0, 0), (0, -data.shape[1] % 4)))


def run_lengths(indices: np.ndarray) -> bytes:
    """RLE8: runs and literal stretches in turn, and a row that ends early."""
    data = b""
    for number, row in enumerate(indices[::-1]):
        data += bytes([0, 50]) + row[:50].tobytes()
        data += b"".join(bytes([1, value]) for value in row[50:])
        data += b"\0\0" if number < len(indices) - 1 else b"\0\1"
    return data


FIELDS = (GRAY.astype(np.uint32) >> 3 << 11 | GRAY.astype(np.uint32) >> 2 << 5 | GRAY >> 3).astype("<u2")
TENS = (RGB[..., 0].astype("<u4") << 22) | (RGB[..., 1].astype("<u4") << 12) | (RGB[..., 2].astype("<u4") << 2)
BMPS = {
    "four bits": (bmp(4, padded(np.pad(INDICES, ((0, 0), (0, 1)))[::-1, ::2] << 4
                                | np.pad(INDICES, ((0, 0), (0, 1)))[::-1, 1::2]), palette=COLOURS), COLOURS[INDICES]),
    "run lengths": (bmp(8, INDICES, 1, palette=COLOURS, tail=run_lengths(INDICES)), COLOURS[INDICES]),
    "from the top": (bmp(24, padded(RGB[..., ::-1].copy()), height=-97), RGB),
    "565": (bmp(16, padded(FIELDS[::-1]), 3, masks=(0xF800, 0x7E0, 0x1F)), np.stack([GRAY] * 3, axis=2)),
    "ten bits": (bmp(32, padded(TENS[::-1]), 3, masks=(0x3FF00000, 0xFFC00, 0x3FF)), RGB),
    "alpha, version 5": (bmp(32, padded(RGBA[::-1, :, [2, 1, 0, 3]].copy()), 3, size=124,
                             masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000)), RGBA),
}  # fmt: skip


@pytest.mark.parametrize("name", BMPS)
def test_every_kind_of_bmp_is_shown_as_it_was(name: str, tmp_path: Path) -> None:
    data, shown = BMPS[name]
    source = tmp_path / "a.bmp"
    source.write_bytes(data)
    with Image.open(done(source, AS_IT_IS)) as after:
        assert after.format == "BMP"
        assert after.info["dpi"] == pytest.approx((300, 150), abs=0.1)
        assert np.abs(np.asarray(after).astype(int) - shown).max() <= (8 if name == "565" else 1)


@pytest.mark.parametrize("end", [-1, -2, -200])
def test_run_lengths_that_end_early_are_damage(end: int, tmp_path: Path) -> None:
    source = tmp_path / "a.bmp"
    source.write_bytes(BMPS["run lengths"][0][:end])
    with pytest.raises(UnreadableImageError, match="run-length data end"):
        images.read(source)


def test_the_profile_of_a_bmp_stays(tmp_path: Path) -> None:
    source = tmp_path / "a.bmp"
    data = bytearray(bmp(24, padded(RGB[::-1, :, ::-1].copy()), size=124, tail=ICC))
    data[70:74] = b"DEBM"
    struct.pack_into("<II", data, 126, len(data) - 14 - len(ICC), len(ICC))
    source.write_bytes(data)
    result = done(source, AS_IT_IS)
    assert images.read(result).pages[0].metadata.icc == ICC
    np.testing.assert_array_equal(cv2.imread(str(result))[..., ::-1], RGB)
    with Image.open(done(source, Settings(format="png"), "a.png")) as after:
        assert after.info["icc_profile"] == ICC


# PNM


def test_the_largest_value_of_a_pgm_stays(tmp_path: Path) -> None:
    source = tmp_path / "camera.pgm"
    values = (GRAY16 >> 4).astype(">u2")
    source.write_bytes(b"P5\n# a camera of 12 bits\n101 97\n4095\n" + values.tobytes())
    outcome, result = denoised(source, AS_IT_IS)
    assert outcome.rows[0].bit_depth == 12
    assert result.read_bytes() == source.read_bytes()
    text = tmp_path / "text.ppm"
    text.write_text("P3 2 1 31  0 1 2 # of the second\n 29 30 31")
    assert done(text, AS_IT_IS).read_text().split() == ["P3", "2", "1", "31", "0", "1", "2", "29", "30", "31"]


def gray_png(path: Path, bits: int) -> None:
    levels = NOISY >> (8 - bits)
    rows = np.packbits(np.unpackbits(levels[..., None], axis=2)[..., -bits:].reshape(len(levels), -1), axis=1)
    packed = zlib.compress(np.hstack([np.zeros((len(rows), 1), np.uint8), rows]).tobytes())
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], bits, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


def pnm(path: Path, top: int) -> None:
    kind = b"P3" if path.suffix == ".ppm" else b"P2"
    values = (np.dstack([NOISY] * 3) if kind == b"P3" else NOISY).astype(int) * top // 255
    path.write_bytes(b"%s\n101 97\n%d\n" % (kind, top) + b" ".join(b"%d" % value for value in values.ravel()))


@pytest.mark.parametrize(
    ("name", "top"), [("two.png", 3), ("four.png", 15), ("few.pgm", 31), ("few.ppm", 100), ("camera.pgm", 4095)]
)
def test_files_of_few_levels_are_denoised_and_hold_no_more_of_them(name: str, top: int, tmp_path: Path) -> None:
    source = tmp_path / name
    gray_png(source, top.bit_length()) if name.endswith("png") else pnm(source, top)
    outcome, result = denoised(source)
    assert (outcome.status, outcome.notes) == ("done", "")
    assert outcome.rows[0].bit_depth == top.bit_length()
    before, after = (images.read(path).pages[0].pixels.astype(float) for path in (source, result))
    assert len(np.unique(after)) <= top + 1
    assert np.abs(np.diff(after, axis=1)).mean() < 0.8 * np.abs(np.diff(before, axis=1)).mean()
    with Image.open(source) as old, Image.open(result) as new:
        assert (old.format, old.mode, old.size) == (new.format, new.mode, new.size)
        assert abs(np.asarray(new, float).mean() - np.asarray(old, float).mean()) < 0.1 * np.ptp(np.asarray(old))


def test_a_file_of_few_levels_gets_all_of_them_in_another_format(tmp_path: Path) -> None:
    source = tmp_path / "four.png"
    gray_png(source, 4)
    assert len(np.unique(tifffile.imread(done(source, Settings(format="tiff"), "four.tif")))) > 50


@pytest.mark.parametrize("content", [b"P5 2 2 90 abcd", b"P2 2 2 9 1 2 3 10", b"P2 2 2 9 1 2 3 x", b"P3 1 1 255 1 2"])
def test_impossible_values_of_a_pnm_are_damage(content: bytes, tmp_path: Path) -> None:
    source = tmp_path / "a.pnm"
    source.write_bytes(content)
    with pytest.raises(UnreadableImageError, match="damaged"):
        images.read(source)


# PNG


def test_what_else_a_png_says_of_its_pixels_stays(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    info = PngImagePlugin.PngInfo()
    parts = {b"bKGD": bytes(6), b"tIME": bytes([7, 230, 1, 2, 3, 4, 5]), b"sBIT": b"\5\6\5", b"vpAg": b"kept"}
    for name, data in parts.items():
        info.add(name, data)
    info.add(b"prVT", b"tied to the pixels")
    Image.fromarray(RGB).save(source, pnginfo=info)
    outcome, result = denoised(source)
    for name, data in parts.items():
        assert chunk(name, data) in result.read_bytes()
    assert "(prVT) were dropped" in outcome.notes
    Image.fromarray(GRAY).save(source, pnginfo=info, transparency=3)
    assert b"sBIT" not in done(source).read_bytes()  # it would have to tell of the alpha channel


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("profile", [b"no profile at all" * 20, ICC])  # of RGB
def test_a_profile_that_is_none_or_for_other_pixels_is_not_dropped_in_silence(
    profile: bytes, suffix: str, tmp_path: Path
) -> None:
    source = tmp_path / f"a.{suffix}"
    Image.fromarray(GRAY).save(source, icc_profile=profile)
    outcome, result = denoised(source, AS_IT_IS)
    assert "its colour profile (damaged, or made for other colours) could not be kept" in outcome.notes
    with Image.open(result) as image:
        assert "icc_profile" not in image.info
