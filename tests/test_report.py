"""The report: figures that are those of the table, names that cannot do harm, commands."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from folderdenoise.errors import OutputError, UsageError
from folderdenoise.report import REPORT_NAME, page, write_report
from folderdenoise.report.charts import histogram
from folderdenoise.report.gather import read_pages, totals

from . import pictures
from .reports import pictures_in, plain, row_of, rows_of, run, table_of


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
        failed = [replace(row_of(name), status="failed", notes=f"{name}: <b>broken</b>") for name in self.HOSTILE]
        out = table_of(tmp_path / "o", *failed, *[row_of(f"sub/{name}", notes=name) for name in self.HOSTILE])
        text = write_report(out).read_text(encoding="utf-8")
        for tag in ("<img src=x", "<svg onload", "<b>broken", "alert(2)</script>", "<!--<script>"):
            assert tag not in text
        assert text.count("<script") == text.count("</script>") == 2
        columns, rows = rows_of(text)
        names = {row[columns.index("file")] for row in rows}
        assert names == {f"{folder}{name}".replace("\n", r"\n") for name in self.HOSTILE for folder in ("", "sub/")}
        assert "smile 😀 ünïcode.png" in plain(text)
        assert "{{ 7 * 7 }}" in plain(text)

    def test_a_persian_name_is_written_as_it_is(self, tmp_path: Path) -> None:
        name = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
        failed = replace(row_of(f"{name}.png", notes=f"{name}\u202e: damaged"), status="failed")
        text = write_report(table_of(tmp_path / name, row_of(f"{name}.tif"), failed)).read_text(encoding="utf-8")
        columns, rows = rows_of(text)
        assert {row[columns.index("file")] for row in rows} == {f"{name}.png", f"{name}.tif"}
        # What turns the order of letters around is not let through.
        assert f"{name}\\u202e: damaged" in plain(text)
        assert f"<h1>{name}</h1>" in text

    def test_nothing_is_loaded_and_only_the_own_script_runs(self, tmp_path: Path) -> None:
        text = write_report(table_of(tmp_path / "o", row_of("a.png"))).read_text(encoding="utf-8")
        assert "default-src 'none'" in text
        assert "script-src 'sha256-" in text
        assert not re.findall(r"""(?:src|href)=["'](?!data:image/)""", text)
        assert "http" not in re.sub(r"http-equiv", "", text)
        assert "url(" not in text

    def test_a_table_cannot_lead_out_of_its_folders(self, tmp_path: Path) -> None:
        pictures.save(tmp_path / "secret.png", pictures.scene())
        out = table_of(tmp_path / "o", row_of("../secret.png"), row_of(str(tmp_path / "secret.png")))
        assert "data:image" not in write_report(out, tmp_path / "o").read_text(encoding="utf-8")


class TestFigures:
    def test_totals_are_those_of_the_table(self, tmp_path: Path) -> None:
        book = [row_of("book.tif", page=number, pages=3, width=1000, height=1000) for number in (1, 2, 3)]
        bad = replace(row_of("bad.jpg", width=None, height=None), status="failed", notes="bad.jpg: damaged")
        out = table_of(tmp_path / "o", row_of("a.png"), book, bad)
        with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = totals(read_pages(out))
        assert (found.files, found.done, found.failed) == (3, 2, 1)
        assert found.pages == sum(row["status"] == "done" for row in rows) == 4
        pixels = sum(int(row["width"]) * int(row["height"]) for row in rows if row["status"] == "done")
        assert found.megapixels == pytest.approx(pixels / 1e6)
        assert found.seconds == pytest.approx(6.0)  # the time of a file is in each of its rows
        text = plain(write_report(out).read_text(encoding="utf-8"))
        assert "2 of 3 files denoised, 1 failed." in text
        assert "bad.jpg: damaged" in text
        assert "10.0 → 1.0" in text

    def test_an_old_table_without_the_new_columns(self, tmp_path: Path) -> None:
        out = table_of(tmp_path / "o", row_of("a.png", flat_noise_before=3.0, structure_removed=0.9))
        lines = (out / "metrics.csv").read_text(encoding="utf-8").splitlines()
        columns = lines[0].split(",").index("pages")
        old = "\n".join(",".join(line.split(",")[:columns]) for line in lines) + "\n"
        (out / "metrics.csv").write_text(old, encoding="utf-8")
        (only,) = read_pages(out)
        assert (only.structure_removed, only.flat_noise_before, only.noise_before) == (None, None, 10.0)
        assert "1 of 1 file denoised" in plain(write_report(out).read_text(encoding="utf-8"))

    def test_what_a_crash_left_and_what_was_done_again_count_once(self, tmp_path: Path) -> None:
        out = table_of(tmp_path / "o", row_of("a.png"), row_of("b.png"))
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
        same = row_of("same.png", psnr=math.inf, psnr_gain=0.0, ssim=1.0, ssim_gain=0.0, mse=0.0, mae=0.0)
        worse = row_of("worse.png", psnr=40.0, psnr_gain=-math.inf, ssim=0.9, ssim_gain=-0.1, mse=1e-4, mae=1e-2)
        out = table_of(tmp_path / "o", same, worse)
        text = write_report(out).read_text(encoding="utf-8")
        columns, rows = rows_of(text)
        assert {row[columns.index("psnr")] for row in rows} == {"inf", 40.0}
        assert "which the original is equal to" in plain(text)
        assert "1 identical, not drawn" in plain(text)
        assert "mean PSNR gain, without 1 infinite" in plain(text)

    def test_figures_that_are_all_0_are_in_the_table(self, tmp_path: Path) -> None:
        out = table_of(tmp_path / "o", row_of("a.png", structure_removed=0.0), row_of("b.png", structure_removed=0.0))
        columns, rows = rows_of(write_report(out).read_text(encoding="utf-8"))
        assert [row[columns.index("structure_removed")] for row in rows] == [0.0, 0.0]
        assert "score" not in columns

    def test_table_and_headline_agree_on_what_deserves_a_look(self, tmp_path: Path) -> None:
        # It scores 0.2475: under the mark of 0.25, and 0.25 when it is rounded.
        almost = row_of("almost.png", structure_removed=0.199)
        text = write_report(table_of(tmp_path / "o", almost)).read_text(encoding="utf-8")
        columns, [row] = rows_of(text)
        assert "None stands out as doubtful." in plain(text)
        assert row[columns.index("score")] == 0.24

    def test_ten_thousand_files_are_one_small_page(self, tmp_path: Path) -> None:
        out = table_of(tmp_path / "o", row_of("0.png"))
        lines = (out / "metrics.csv").read_text(encoding="utf-8").splitlines()
        rows = [f"box {index // 100:03}/scan {index:05}.png," + lines[1].split(",", 1)[1] for index in range(10_000)]
        (out / "metrics.csv").write_text("\n".join([lines[0], *rows]) + "\n", encoding="utf-8")
        written = write_report(out)
        assert written.stat().st_size < 3_000_000
        text = written.read_text(encoding="utf-8")
        assert len(rows_of(text)[1]) == 10_000
        assert text.count("<tr>") < 100

    def test_of_more_rows_than_a_page_can_hold_the_doubtful_ones_are_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(page, "MOST_ROWS", 2)
        bad = replace(row_of("bad.png"), status="failed")
        rows = [row_of("fine.png"), row_of("doubtful.png", structure_removed=0.9), row_of("fine too.png"), bad]
        text = write_report(table_of(tmp_path / "o", *rows)).read_text(encoding="utf-8")
        columns, kept = rows_of(text)
        assert [row[columns.index("file")] for row in kept] == ["bad.png", "doubtful.png"]
        assert "2 more are in metrics.csv" in plain(text)


class TestCommands:
    def test_a_run_writes_its_report_and_does_not_mind_an_old_one(self, tmp_path: Path, zoo_dir: Path) -> None:
        pictures.save(tmp_path / "in" / "a.png", pictures.noisy(pictures.scene(), 20))
        (tmp_path / "in" / "bad.jpg").write_bytes(b"no image")
        result = run("run", tmp_path / "in", "--report")
        written = tmp_path / "in-denoised" / REPORT_NAME
        assert result.returncode == 1
        assert str(written) in result.stdout
        text = written.read_text(encoding="utf-8")
        assert "1 of 2 files denoised, 1 failed." in plain(text)
        assert len(pictures_in(text)) == 2
        (tmp_path / "in" / "bad.jpg").unlink()
        again = run("run", tmp_path / "in", "--report", "--json")
        assert again.returncode == 0
        assert again.stdout == ""
        assert "Report: " in again.stderr
        # Neither the report nor what it lies among is an input.
        assert "0 to do" in run("run", tmp_path / "in-denoised", "--dry-run", "--include", "*.html").stdout

    def test_a_report_that_cannot_be_written_is_4(self, tmp_path: Path, zoo_dir: Path) -> None:
        pictures.save(tmp_path / "in" / "a.png", pictures.scene())
        (tmp_path / "in-denoised" / REPORT_NAME / "in the way").mkdir(parents=True)
        result = run("run", tmp_path / "in", "--report")
        assert result.returncode == 4
        assert REPORT_NAME in result.stderr
        assert "Traceback" not in result.stderr
        assert (tmp_path / "in-denoised" / "a.png").exists()
        assert not list((tmp_path / "in-denoised").glob(".*"))

    def test_nothing_to_do_and_no_table_is_no_fault(self, tmp_path: Path, zoo_dir: Path) -> None:
        (tmp_path / "in").mkdir()
        assert run("run", tmp_path / "in", "--report").returncode == 0

    def test_the_command_alone(self, tmp_path: Path, zoo_dir: Path) -> None:
        pictures.save(tmp_path / "photo.png", pictures.noisy(pictures.scene(), 20))
        assert run("run", tmp_path / "photo.png").returncode == 0
        result = run("report", "photo-denoised", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        text = (tmp_path / "photo-denoised" / REPORT_NAME).read_text(encoding="utf-8")
        assert len(pictures_in(text)) == 2
        assert "A model for tests." in plain(text)
        missing = run("report", tmp_path)
        assert missing.returncode == 2
        assert "metrics.csv" in missing.stderr
        page = tmp_path / "photo-denoised" / REPORT_NAME
        file = run("report", page)
        assert file.returncode == 2
        assert f"{page}: is a file. Give the output folder of a run." in file.stderr


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
    assert chart.series[0].bars[-1][-1].partition(":")[0] == "9.5 and more"
    assert chart.series[0].bars[0][-1].partition(":")[0] == "0.0 to 0.5"


def test_a_bar_that_is_narrow_has_words_that_are_exact_enough() -> None:
    chart = histogram("noise", "levels", 1, [("after", "after", [index / 1000 for index in range(100)])])
    assert chart is not None
    words = [words.partition(" levels")[0] for *_, words in chart.series[0].bars]
    assert words[:2] == ["0.000 to 0.005", "0.005 to 0.010"]
    assert len(set(words)) == len(words)
