"""The report: figures that are those of the table, names that cannot do harm, files that deserve a look first."""

from __future__ import annotations

import base64
import csv
import html
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.metrics
import tifffile
from PIL import Image

from folderdenoise.errors import OutputError, UsageError
from folderdenoise.ledger import Ledger
from folderdenoise.report import REPORT_NAME, crops, page, write_report
from folderdenoise.report.charts import histogram
from folderdenoise.report.gather import Page, read_pages, totals
from folderdenoise.report.rank import LOOK, judge, measure_for, pick
from folderdenoise.table import Row

from . import pictures


def _run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "folderdenoise", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=120, encoding="utf-8")


def _table(out: Path, *files: Row | list[Row]) -> Path:
    """An output folder with a metrics.csv that has these rows."""
    out.mkdir(parents=True, exist_ok=True)
    with Ledger(out / "metrics.csv") as ledger:
        for rows in files:
            ledger.append(rows if isinstance(rows, list) else [rows])
    return out


def _row(file: str, **figures: Any) -> Row:
    known = {
        "width": 640,
        "height": 480,
        "model": "rgb-leaky",
        "strength": 1.0,
        "seconds": 2.0,
        "settings": "tile=auto",
    }
    return Row(file, **(known | {"noise_before": 10.0, "noise_after": 1.0, "output": file} | figures))


def _rows_of(text: str) -> tuple[list[str], list[list[Any]]]:
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    return [column["key"] for column in data["columns"]], data["rows"]


def _plain(text: str) -> str:
    """What a reader without script sees: no tags, no scripts, no styles."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


class TestNames:
    HOSTILE = (
        "<img src=x onerror=alert(1)>.png",
        "</script><script>alert(2)</script>.png",
        "\"'><svg onload=alert(3)>.png",
        "<!--<script>.png",
        "{{ 7 * 7 }}{% include 'x' %}.png",
        "smile 😀 ünïcode.png",
        "=cmd|calc.png",
        "line\nbreak.png",
    )

    def test_hostile_names_are_text_everywhere(self, tmp_path: Path) -> None:
        failed = [replace(_row(name), status="failed", notes=f"{name}: <b>broken</b>") for name in self.HOSTILE]
        out = _table(tmp_path / "o", *failed, *[_row(f"sub/{name}", notes=name) for name in self.HOSTILE])
        text = write_report(out).read_text(encoding="utf-8")
        for tag in ("<img src=x", "<svg onload", "<b>broken", "alert(2)</script>", "<!--<script>"):
            assert tag not in text
        assert text.count("<script") == text.count("</script>") == 2
        columns, rows = _rows_of(text)
        names = {row[columns.index("file")] for row in rows}
        assert names == {f"{folder}{name}".replace("\n", r"\n") for name in self.HOSTILE for folder in ("", "sub/")}
        assert "smile 😀 ünïcode.png" in _plain(text)
        assert "{{ 7 * 7 }}" in _plain(text)

    def test_nothing_is_loaded_and_only_the_own_script_runs(self, tmp_path: Path) -> None:
        text = write_report(_table(tmp_path / "o", _row("a.png"))).read_text(encoding="utf-8")
        assert "default-src 'none'" in text
        assert "script-src 'sha256-" in text
        assert not re.findall(r"""(?:src|href)=["'](?!data:image/)""", text)
        assert "http" not in re.sub(r"http-equiv", "", text)
        assert "url(" not in text

    def test_a_table_cannot_lead_out_of_its_folders(self, tmp_path: Path) -> None:
        pictures.save(tmp_path / "secret.png", pictures.scene())
        out = _table(tmp_path / "o", _row("../secret.png"), _row(str(tmp_path / "secret.png")))
        assert "data:image" not in write_report(out, tmp_path / "o").read_text(encoding="utf-8")


class TestFigures:
    def test_totals_are_those_of_the_table(self, tmp_path: Path) -> None:
        book = [_row("book.tif", page=number, pages=3, width=1000, height=1000) for number in (1, 2, 3)]
        bad = replace(_row("bad.jpg", width=None, height=None), status="failed", notes="bad.jpg: damaged")
        out = _table(tmp_path / "o", _row("a.png"), book, bad)
        with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = totals(read_pages(out))
        assert (found.files, found.done, found.failed) == (3, 2, 1)
        assert found.pages == sum(row["status"] == "done" for row in rows) == 4
        pixels = sum(int(row["width"]) * int(row["height"]) for row in rows if row["status"] == "done")
        assert found.megapixels == pytest.approx(pixels / 1e6)
        assert found.seconds == pytest.approx(6.0)  # the time of a file is in each of its rows
        text = _plain(write_report(out).read_text(encoding="utf-8"))
        assert "2 of 3 files denoised, 1 failed." in text
        assert "bad.jpg: damaged" in text
        assert "10.0 → 1.0" in text

    def test_an_old_table_without_the_new_columns(self, tmp_path: Path) -> None:
        out = _table(tmp_path / "o", _row("a.png", flat_noise_before=3.0, structure_removed=0.9))
        lines = (out / "metrics.csv").read_text(encoding="utf-8").splitlines()
        columns = lines[0].split(",").index("pages")
        old = "\n".join(",".join(line.split(",")[:columns]) for line in lines) + "\n"
        (out / "metrics.csv").write_text(old, encoding="utf-8")
        (only,) = read_pages(out)
        assert (only.structure_removed, only.flat_noise_before, only.noise_before) == (None, None, 10.0)
        assert "1 of 1 file denoised" in _plain(write_report(out).read_text(encoding="utf-8"))

    def test_what_a_crash_left_and_what_was_done_again_count_once(self, tmp_path: Path) -> None:
        out = _table(tmp_path / "o", _row("a.png"), _row("b.png"))
        table = out / "metrics.csv"
        again = table.read_text(encoding="utf-8").splitlines()[1].replace("10.00", "20.00")
        with table.open("a", encoding="utf-8") as file:
            file.write(f"{again}\nc.png,1,do")
        assert [(one.file, one.noise_before) for one in read_pages(out)] == [("a.png", 20.0), ("b.png", 10.0)]

    @pytest.mark.parametrize("content", [None, "something,else\n1,2\n", "", "file"])
    def test_what_is_no_table_of_ours_is_refused(self, tmp_path: Path, content: str | None) -> None:
        if content is not None:
            (tmp_path / "metrics.csv").write_text(content, encoding="utf-8")
        with pytest.raises((UsageError, OutputError), match=r"metrics\.csv"):
            write_report(tmp_path)
        assert not (tmp_path / REPORT_NAME).exists()

    def test_an_infinite_psnr(self, tmp_path: Path) -> None:
        same = _row("same.png", psnr=math.inf, psnr_gain=0.0, ssim=1.0, ssim_gain=0.0, mse=0.0, mae=0.0)
        worse = _row("worse.png", psnr=40.0, psnr_gain=-math.inf, ssim=0.9, ssim_gain=-0.1, mse=1e-4, mae=1e-2)
        out = _table(tmp_path / "o", same, worse)
        text = write_report(out).read_text(encoding="utf-8")
        columns, rows = _rows_of(text)
        assert {row[columns.index("psnr")] for row in rows} == {"inf", 40.0}
        assert "which the original is equal to" in _plain(text)
        assert "1 identical, not drawn" in _plain(text)

    def test_ten_thousand_files_are_one_small_page(self, tmp_path: Path) -> None:
        out = _table(tmp_path / "o", _row("0.png"))
        lines = (out / "metrics.csv").read_text(encoding="utf-8").splitlines()
        rows = [f"box {index // 100:03}/scan {index:05}.png," + lines[1].split(",", 1)[1] for index in range(10_000)]
        (out / "metrics.csv").write_text("\n".join([lines[0], *rows]) + "\n", encoding="utf-8")
        written = write_report(out)
        assert written.stat().st_size < 3_000_000
        text = written.read_text(encoding="utf-8")
        assert len(_rows_of(text)[1]) == 10_000
        assert text.count("<tr>") < 100

    def test_of_more_rows_than_a_page_can_hold_the_doubtful_ones_are_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(page, "MOST_ROWS", 2)
        bad = replace(_row("bad.png"), status="failed")
        rows = [_row("fine.png"), _row("doubtful.png", structure_removed=0.9), _row("fine too.png"), bad]
        text = write_report(_table(tmp_path / "o", *rows)).read_text(encoding="utf-8")
        columns, kept = _rows_of(text)
        assert [row[columns.index("file")] for row in kept] == ["bad.png", "doubtful.png"]
        assert "2 more are in metrics.csv" in _plain(text)


class TestRanking:
    @pytest.mark.parametrize(
        ("figures", "words"),
        [
            ({"structure_removed": 0.7}, "follows the picture"),
            (
                {"flat_noise_before": 0.5, "flat_noise_after": 0.4, "noise_before": 6.0, "noise_after": 1.0},
                "hardly any",
            ),
            ({"noise_before": 12.0, "noise_after": 8.0}, "still noisy"),
            ({"flat_noise_before": 12.0, "flat_noise_after": 8.0}, "still noisy"),
            ({"estimated_gain": -2.0}, "worse than the original by the estimate"),
            ({"psnr": 30.0, "psnr_gain": -1.2}, "worse than the original by the reference (-1.2 dB)"),
        ],
    )
    def test_each_doubt_has_its_words(self, figures: dict[str, float], words: str) -> None:
        judged = judge(Page("a.png", **({"noise_before": 10.0, "noise_after": 1.0} | figures)))
        assert judged.score >= LOOK
        assert words in judged.reasons[0]

    @pytest.mark.parametrize(
        "figures",
        [
            {},
            {"structure_removed": 0.1, "flat_noise_before": 10.0, "flat_noise_after": 0.5, "estimated_gain": 8.0},
            # Next to nothing was removed: what it looked like does not matter.
            {"structure_removed": 0.9, "noise_before": 1.0, "noise_after": 0.9},
            # Texture is left, not noise: the flat parts say so.
            {"noise_before": 14.0, "noise_after": 6.0, "flat_noise_before": 10.0, "flat_noise_after": 0.8},
            # Noise was left on purpose.
            {"strength": 0.5, "noise_before": 10.0, "noise_after": 5.5},
            {"psnr": 32.0, "psnr_gain": 6.0, "structure_removed": 0.9},
            # Nobody sees this: it is next to equal to the reference.
            {"psnr": 50.0, "psnr_gain": -4.0},
            {"psnr": 30.0, "psnr_gain": -0.01},
            {"notes": "its palette was replaced by plain RGB values"},
            {"status": "failed", "noise_before": None, "noise_after": None, "notes": "damaged"},
            {"noise_before": None, "noise_after": None},  # a 1-bit page
        ],
    )
    def test_what_is_well_is_left_alone(self, figures: dict[str, Any]) -> None:
        assert judge(Page("a.png", **({"noise_before": 10.0, "noise_after": 1.0} | figures))).score < LOOK

    def test_a_graver_fault_has_a_higher_score(self) -> None:
        gains = [judge(Page("a", psnr=30.0, psnr_gain=gain)).score for gain in (3.0, 0.2, -0.1, -1.0, -2.0)]
        assert gains == sorted(gains)
        assert len(set(gains)) == len(gains)
        assert judge(Page("a", psnr=30.0, psnr_gain=-math.inf)).score == 1.0

    def test_with_notes_alone_a_file_comes_before_one_without(self) -> None:
        plain, noted = (judge(Page("a", noise_before=9.0, noise_after=1.0, notes=notes)) for notes in ("", "odd"))
        assert plain.score < noted.score < LOOK
        assert noted.reasons == ("notes: odd",)

    def test_each_file_is_picked_once_the_worst_page_first(self) -> None:
        book = [Page("book", number, 9, psnr=30.0, psnr_gain=-number / 10) for number in range(1, 10)]
        others = [Page(f"{index:02}", psnr=30.0, psnr_gain=float(index)) for index in range(1, 31)]
        pages = [*book, *others]
        measure = measure_for(pages)
        picks = pick(pages, [judge(one) for one in pages], measure)
        assert [(one.file, one.page) for one in picks.look] == [("book", 9)]
        assert picks.others["book"] == 8
        assert [one.file for one in picks.worst] == ["01", "02", "03", "04", "05", "06"]
        assert [one.file for one in picks.best] == ["30", "29", "28", "27", "26", "25"]
        assert measure.title == "PSNR gain"

    def test_never_more_than_24_are_picked(self) -> None:
        pages = [Page(str(index), psnr=30.0, psnr_gain=index - 50.0) for index in range(100)]
        picks = pick(pages, [judge(one) for one in pages], measure_for(pages))
        assert len({one.file for one in (*picks.look, *picks.worst, *picks.best)}) == 24
        assert picks.look_files == 50

    def test_without_a_reference_the_estimate_then_the_noise_is_the_measure(self) -> None:
        noisy = Page("a", noise_before=10.0, noise_after=1.0)
        assert measure_for([noisy]).value(noisy) == pytest.approx(90.0)
        assert measure_for([noisy, replace(noisy, estimated_gain=3.0)]).title == "estimated PSNR gain"


def _pictures_in(text: str) -> list[Image.Image]:
    found = re.findall(r'<img (?!class="thumb")src="data:image/jpeg;base64,([^"]+)"', text)
    return [Image.open(BytesIO(base64.b64decode(data))) for data in found]


class TestPictures:
    @pytest.fixture
    def scans(self, tmp_path: Path) -> Path:
        """A folder and its results beside it, as a run with default names leaves them."""
        for name in ("a.png", "sub/b.png"):
            clean = pictures.scene(500, 700)
            pictures.save(tmp_path / "in" / name, pictures.noisy(clean, 30))
            pictures.save(tmp_path / "in-denoised" / name, clean)
        size = {name: (tmp_path / "in" / name).stat().st_size for name in ("a.png", "sub/b.png")}
        rows = [_row(name, width=700, height=500, source_bytes=bytes_) for name, bytes_ in size.items()]
        _table(tmp_path / "in-denoised", *rows)
        return tmp_path / "in"

    def test_originals_are_found_beside_the_results(self, scans: Path) -> None:
        text = write_report(scans.with_name("in-denoised")).read_text(encoding="utf-8")
        shown = _pictures_in(text)
        assert [image.size for image in shown] == [crops.CROP] * 4
        before, after = (np.asarray(image, np.float64) for image in shown[:2])
        assert np.std(before - after) == pytest.approx(30, abs=6)  # the noise is there to be seen, and in one place

    def test_a_folder_that_was_moved_is_found_by_name_or_said_to_be_missing(self, scans: Path) -> None:
        out = scans.with_name("in-denoised")
        elsewhere = scans.rename(scans.with_name("elsewhere"))
        text = write_report(out).read_text(encoding="utf-8")
        assert len(_pictures_in(text)) == 2
        assert "--originals" in _plain(text)
        assert len(_pictures_in(write_report(out, elsewhere).read_text(encoding="utf-8"))) == 4

    def test_an_original_that_has_changed_is_not_shown(self, scans: Path) -> None:
        pictures.save(scans / "a.png", pictures.scene(500, 700, seed=9))
        text = write_report(scans.with_name("in-denoised")).read_text(encoding="utf-8")
        assert "has changed since" in _plain(text)
        assert len(_pictures_in(text)) == 3

    def test_a_result_that_is_gone_is_said_and_the_rest_shown(self, scans: Path) -> None:
        (scans.with_name("in-denoised") / "a.png").unlink()
        text = write_report(scans.with_name("in-denoised")).read_text(encoding="utf-8")
        assert "The result cannot be shown" in _plain(text)
        assert len(_pictures_in(text)) == 2

    def test_at_most_24_pages_are_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = []
        monkeypatch.setattr(crops, "take", lambda *places: opened.append(places) or "not opened")
        out = _table(tmp_path / "o", *[_row(f"{index}.png", structure_removed=index / 100) for index in range(100)])
        write_report(out)
        assert len(opened) == 24

    @pytest.mark.parametrize("kind", ["gray", "alpha", "16 bits", "float", "cmyk", "tiny", "narrow"])
    def test_every_kind_of_picture_is_shown_as_8_bit_rgb(self, tmp_path: Path, kind: str) -> None:
        rgb = pictures.scene(*{"tiny": (28, 28), "narrow": (9, 900)}.get(kind, (90, 120)))
        gray = rgb[..., 0]
        name = {"float": "a.tif", "16 bits": "a.tif", "cmyk": "a.jpg"}.get(kind, "a.png")
        path = tmp_path / "in" / name
        path.parent.mkdir()
        if kind == "16 bits":
            tifffile.imwrite(path, rgb.astype(np.uint16) * 257, photometric="rgb")
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


class TestCommands:
    def test_a_run_writes_its_report_and_does_not_mind_an_old_one(self, tmp_path: Path, zoo_dir: Path) -> None:
        pictures.save(tmp_path / "in" / "a.png", pictures.noisy(pictures.scene(), 20))
        (tmp_path / "in" / "bad.jpg").write_bytes(b"no image")
        result = _run("run", tmp_path / "in", "--report")
        written = tmp_path / "in-denoised" / REPORT_NAME
        assert result.returncode == 1
        assert str(written) in result.stdout
        text = written.read_text(encoding="utf-8")
        assert "1 of 2 files denoised, 1 failed." in _plain(text)
        assert len(_pictures_in(text)) == 2
        (tmp_path / "in" / "bad.jpg").unlink()
        again = _run("run", tmp_path / "in", "--report", "--json")
        assert again.returncode == 0
        assert again.stdout == ""
        assert "Report: " in again.stderr
        # Neither the report nor what it lies among is an input.
        assert "0 to do" in _run("run", tmp_path / "in-denoised", "--dry-run", "--include", "*.html").stdout

    def test_a_report_that_cannot_be_written_is_4(self, tmp_path: Path, zoo_dir: Path) -> None:
        pictures.save(tmp_path / "in" / "a.png", pictures.scene())
        (tmp_path / "in-denoised" / REPORT_NAME / "in the way").mkdir(parents=True)
        result = _run("run", tmp_path / "in", "--report")
        assert result.returncode == 4
        assert REPORT_NAME in result.stderr
        assert "Traceback" not in result.stderr
        assert (tmp_path / "in-denoised" / "a.png").exists()
        assert not list((tmp_path / "in-denoised").glob(".*"))

    def test_nothing_to_do_and_no_table_is_no_fault(self, tmp_path: Path, zoo_dir: Path) -> None:
        (tmp_path / "in").mkdir()
        assert _run("run", tmp_path / "in", "--report").returncode == 0

    def test_the_command_alone(self, tmp_path: Path, zoo_dir: Path) -> None:
        pictures.save(tmp_path / "photo.png", pictures.noisy(pictures.scene(), 20))
        assert _run("run", tmp_path / "photo.png").returncode == 0
        result = _run("report", "photo-denoised", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        text = (tmp_path / "photo-denoised" / REPORT_NAME).read_text(encoding="utf-8")
        assert len(_pictures_in(text)) == 2
        assert "A model for tests." in _plain(text)
        missing = _run("report", tmp_path)
        assert missing.returncode == 2
        assert "metrics.csv" in missing.stderr


class TestCompare:
    def test_the_figures_are_those_of_scikit_image(self, tmp_path: Path) -> None:
        clean = pictures.scene(90, 120)
        noisy = pictures.noisy(clean, 20)
        pictures.save(tmp_path / "a" / "x.png", noisy)
        pictures.save(tmp_path / "b" / "x.tif", clean)
        result = _run("compare", tmp_path / "a", tmp_path / "b", "--json")
        assert result.returncode == 0, result.stderr
        (found,) = json.loads(result.stdout)["pages"]
        one, other = clean / 255.0, noisy / 255.0
        assert found["psnr"] == pytest.approx(skimage.metrics.peak_signal_noise_ratio(one, other, data_range=1))
        assert found["mse"] == pytest.approx(skimage.metrics.mean_squared_error(one, other))
        assert found["mae"] == pytest.approx(np.abs(one - other).mean())
        window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        ssim = skimage.metrics.structural_similarity(one, other, data_range=1, channel_axis=2, **window)
        assert found["ssim"] == pytest.approx(ssim, abs=1e-6)

    def test_folders_missing_partners_and_other_sizes(self, tmp_path: Path) -> None:
        clean = pictures.scene()
        for name in ("same.png", "sub/wide.png", "only a.png", "twin.png", "twin.jpg"):
            pictures.save(tmp_path / "a" / name, clean)
        for name in ("same.png", "only b.png", "twin.tif"):
            pictures.save(tmp_path / "b" / name, clean)
        pictures.save(tmp_path / "b" / "sub" / "wide.png", pictures.scene(48, 65))
        (tmp_path / "a" / "list.txt").write_text("a list")
        result = _run("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "page.html")
        assert result.returncode == 1
        assert "inf" in result.stdout
        assert "mean of 1 page (1 identical, not in the mean PSNR); 6 failed" in result.stdout
        for words in ("wide.png: The image is 64 × 48", "only a.png: has no partner", "only b.png: has no partner"):
            assert words in result.stderr
        assert result.stderr.count("partner is not clear") == 3
        text = _plain((tmp_path / "page.html").read_text(encoding="utf-8"))
        assert "1 pair compared, 6 failed." in text
        assert "only b.png: has no partner" in text

    def test_each_page_of_a_file(self, tmp_path: Path) -> None:
        clean = np.stack([pictures.scene(channels=1, seed=seed) for seed in range(3)])
        noisy = np.stack([pictures.noisy(plane, 10 * (number + 1)) for number, plane in enumerate(clean)])
        for name, stack in (("a.tif", noisy), ("b.tif", clean), ("short.tif", clean[:2])):
            tifffile.imwrite(tmp_path / name, stack, photometric="minisblack")
        result = _run("compare", tmp_path / "a.tif", tmp_path / "b.tif", "--out", tmp_path / "page.html", "--json")
        found = [page["psnr"] for page in json.loads(result.stdout)["pages"]]
        assert found == sorted(found, reverse=True)
        assert len(found) == 3
        assert "page 3 of 3" in _plain((tmp_path / "page.html").read_text(encoding="utf-8"))
        short = _run("compare", tmp_path / "a.tif", tmp_path / "short.tif")
        assert short.returncode == 1
        assert "has 3 pages, its reference 2" in short.stderr

    def test_wrong_usage(self, tmp_path: Path) -> None:
        image = pictures.save(tmp_path / "a" / "a.png", pictures.scene())
        (tmp_path / "empty").mkdir()
        for first, second, *options in (
            (tmp_path / "gone", image),
            (tmp_path / "a", image),
            (tmp_path / "empty", tmp_path / "empty"),
            (image, image, "--out", image),
        ):
            result = _run("compare", first, second, *options)
            assert result.returncode == 2
            assert "Traceback" not in result.stderr
        assert (pictures.load(image) == pictures.scene()).all()


def test_a_histogram_counts_every_finite_value_once() -> None:
    chart = histogram("PSNR", "dB", 1, [("before", "before", [1.0, 2.5, None, 30.0]), ("after", "after", [math.inf])])
    assert chart is not None
    before, after = chart.series
    assert sum(int(words.rpartition(": ")[2]) for *_, words in before.bars) == before.count == 3
    assert before.mean == pytest.approx(33.5 / 3)
    assert (after.bars, after.mean, after.infinite) == ((), None, 1)
    assert histogram("PSNR", "dB", 1, [("before", "before", [None, math.inf])]) is None


def test_one_odd_value_does_not_squeeze_a_histogram() -> None:
    chart = histogram("noise", "", 1, [("before", "before", [*(index / 100 for index in range(1000)), 5000.0])])
    assert chart is not None
    assert len(chart.series[0].bars) >= 20
    assert sum(int(words.rpartition(": ")[2].replace(",", "")) for *_, words in chart.series[0].bars) == 1001
