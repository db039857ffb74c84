"""The pictures in a report: before and after, where most is to be seen, at 100%, and not too many bytes."""

from __future__ import annotations

import base64
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from folderdenoise.report import crops, write_report

from . import pictures
from .reports import pictures_in, plain, row_of, table_of


class TestPictures:
    @pytest.fixture
    def scans(self, tmp_path: Path) -> Path:
        """A folder and its results beside it, as a run with default names leaves them."""
        for name in ("a.png", "sub/b.png"):
            clean = pictures.scene(500, 700)
            pictures.save(tmp_path / "in" / name, pictures.noisy(clean, 30))
            pictures.save(tmp_path / "in-denoised" / name, clean)
        size = {name: (tmp_path / "in" / name).stat().st_size for name in ("a.png", "sub/b.png")}
        rows = [row_of(name, width=700, height=500, source_bytes=bytes_) for name, bytes_ in size.items()]
        table_of(tmp_path / "in-denoised", *rows)
        return tmp_path / "in"

    def test_originals_are_found_beside_the_results(self, scans: Path) -> None:
        text = write_report(scans.with_name("in-denoised")).read_text(encoding="utf-8")
        shown = pictures_in(text)
        assert [image.size for image in shown] == [crops.CROP] * 4
        before, after = (np.asarray(image, np.float64) for image in shown[:2])
        assert np.std(before - after) == pytest.approx(30, abs=6)  # the noise is there to be seen, and in one place

    def test_a_folder_that_was_moved_is_found_by_name_or_said_to_be_missing(self, scans: Path) -> None:
        out = scans.with_name("in-denoised")
        elsewhere = scans.rename(scans.with_name("elsewhere"))
        text = write_report(out).read_text(encoding="utf-8")
        assert len(pictures_in(text)) == 2
        assert "--originals" in plain(text)
        assert len(pictures_in(write_report(out, elsewhere).read_text(encoding="utf-8"))) == 4

    def test_an_original_that_has_changed_is_not_shown(self, scans: Path) -> None:
        pictures.save(scans / "a.png", pictures.scene(500, 700, seed=9))
        text = write_report(scans.with_name("in-denoised")).read_text(encoding="utf-8")
        assert "has changed since" in plain(text)
        assert len(pictures_in(text)) == 3

    def test_a_result_that_is_gone_is_said_and_the_rest_shown(self, scans: Path) -> None:
        (scans.with_name("in-denoised") / "a.png").unlink()
        text = write_report(scans.with_name("in-denoised")).read_text(encoding="utf-8")
        assert "The result cannot be shown" in plain(text)
        assert len(pictures_in(text)) == 2

    def test_at_most_24_pages_are_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = []
        monkeypatch.setattr(crops, "take", lambda *places: opened.append(places) or "not opened")
        out = table_of(tmp_path / "o", *[row_of(f"{index}.png", structure_removed=index / 100) for index in range(100)])
        write_report(out)
        assert len(opened) == 24

    @pytest.mark.parametrize("kind", ["gray", "alpha", "16 bits", "signed", "float", "cmyk", "tiny", "narrow"])
    def test_every_kind_of_picture_is_shown_as_8_bit_rgb(self, tmp_path: Path, kind: str) -> None:
        rgb = pictures.scene(*{"tiny": (28, 28), "narrow": (9, 900)}.get(kind, (90, 120)))
        gray = rgb[..., 0]
        name = {"float": "a.tif", "16 bits": "a.tif", "signed": "a.tif", "cmyk": "a.jpg"}.get(kind, "a.png")
        path = tmp_path / "in" / name
        path.parent.mkdir()
        if kind == "16 bits":
            tifffile.imwrite(path, rgb.astype(np.uint16) * 257, photometric="rgb")
        elif kind == "signed":
            tifffile.imwrite(path, rgb.astype(np.int16) * 128, photometric="rgb")
        elif kind == "float":
            tifffile.imwrite(path, rgb.astype(np.float32) / 255, photometric="rgb")
        elif kind == "cmyk":
            Image.fromarray(rgb).convert("CMYK").save(path, quality=95)
        elif kind == "alpha":
            Image.fromarray(np.dstack([rgb, np.where(gray > 128, 0, 255).astype(np.uint8)])).save(path)
        else:
            Image.fromarray(gray if kind == "gray" else rgb).save(path)
        shot = crops.take(path, path, 1, tmp_path)
        assert isinstance(shot, crops.Shot)
        image = Image.open(BytesIO(base64.b64decode(shot.after.partition(",")[2])))
        height, width = rgb.shape[:2]
        assert image.mode == "RGB"
        assert image.size == (min(width, crops.CROP[0]), min(height, crops.CROP[1]))
        assert (shot.width, shot.height) == (image.width * shot.zoom, image.height * shot.zoom)
        assert shot.zoom == (6 if kind == "tiny" else 1)
        left, top = crops.choose(rgb, rgb)
        expected = np.repeat(gray[..., None], 3, axis=2) if kind == "gray" else rgb[top:, left:]
        if kind == "alpha":
            expected = np.where(gray[..., None] > 128, 204, rgb)
        difference = np.abs(np.asarray(image, np.float64) - expected[: image.height, : image.width])
        assert np.median(difference) < (12 if kind == "cmyk" else 4)

    def test_of_noise_smaller_parts_are_shown_so_that_the_page_stays_small(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(1).integers(0, 256, (500, 700, 3), np.uint8)
        before = pictures.save(tmp_path / "in" / "0.png", noise)
        after = pictures.save(tmp_path / "in-denoised" / "0.png", 255 - noise)
        for index in range(1, 24):
            shutil.copy(before, before.with_name(f"{index}.png"))
            shutil.copy(after, after.with_name(f"{index}.png"))
        rows = [row_of(f"{index}.png", psnr=20.0, psnr_gain=index - 12.0) for index in range(24)]
        written = write_report(table_of(tmp_path / "in-denoised", *rows))
        assert written.stat().st_size < crops.MOST_BYTES + 100_000
        shown = pictures_in(written.read_text(encoding="utf-8"))
        assert len(shown) == 48
        first, second = (np.asarray(image, np.float64) for image in shown[:2])
        assert 200 < first.shape[1] < crops.CROP[0]
        # One place in both, and as it is.
        assert np.abs(first + second - 255).mean() < 10

    def test_a_picture_that_lies_on_its_side_is_shown_upright(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(pictures.scene(60, 90)).save(tmp_path / "a.jpg", exif=exif, quality=95)
        shot = crops.take(tmp_path / "a.jpg", tmp_path / "a.jpg", 1, tmp_path)
        assert isinstance(shot, crops.Shot)
        assert Image.open(BytesIO(base64.b64decode(shot.after.partition(",")[2]))).size == (60, 90)

    def test_the_crop_is_where_most_was_changed(self) -> None:
        before = np.full((2000, 3000, 3), 120, np.uint8)
        after = before.copy()
        before[1500:1600, 2200:2400] = 200
        left, top = crops.choose(before, after)
        assert left <= 2200 < 2400 <= left + crops.CROP[0]
        assert top <= 1500 < 1600 <= top + crops.CROP[1]
        assert crops.choose(before, after) == (left, top)

    def test_the_page_of_a_file_with_several(self, tmp_path: Path) -> None:
        stack = np.stack([np.full((64, 64), level, np.uint8) for level in (40, 120, 200)])
        tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
        shot = crops.take(tmp_path / "a.tif", tmp_path / "a.tif", 2, tmp_path)
        assert isinstance(shot, crops.Shot)
        image = Image.open(BytesIO(base64.b64decode(shot.after.partition(",")[2])))
        assert np.asarray(image).mean() == pytest.approx(120, abs=2)
