"""metrics.csv: true, whole rows, whatever the names and whenever the crash."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folderdenoise import ledger
from folderdenoise.errors import OutputError
from folderdenoise.ledger import COLUMNS, Ledger, Row, from_cell, to_cell


def _cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_header_is_the_contract(tmp_path: Path) -> None:
    with Ledger(tmp_path / "metrics.csv"):
        pass
    assert (tmp_path / "metrics.csv").read_text().strip() == (
        "file,page,status,output,width,height,channels,bit_depth,model,strength,noise_before,noise_after,psnr,ssim,"
        "mse,mae,psnr_gain,ssim_gain,seconds,megapixels_per_second,source_bytes,source_mtime_ns,source_sha256,"
        "settings,finished_at,notes"
    )


def test_rows_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with Ledger(path) as table:
        table.append([Row(file="a.tif", page=1, width=3, psnr=31.25, notes='has "quotes", commas\nand lines')])
        table.append([Row(file="b.tif", status="failed", notes="b.tif: empty")])
    rows = list(ledger.read(path))
    assert [row["file"] for row in rows] == ["a.tif", "b.tif"]
    assert rows[0]["psnr"] == "31.2500"
    assert rows[0]["ssim"] == ""
    assert rows[0]["notes"] == 'has "quotes", commas\nand lines'


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0.png", "+1.png", "-1.png", "@x.png", "\tx.png", "'quoted.png"])
def test_no_name_is_run_as_a_formula(tmp_path: Path, name: str) -> None:
    with Ledger(tmp_path / "metrics.csv") as table:
        table.append([Row(file=name)])
    assert _cells(tmp_path / "metrics.csv")[1][0].startswith("'")
    assert next(ledger.read(tmp_path / "metrics.csv"))["file"] == name


@given(st.text())
def test_cells_give_their_text_back(text: str) -> None:
    assert from_cell(to_cell(text, "file")) == text.encode("utf-8", "backslashreplace").decode()


def test_names_that_are_no_unicode_do_not_break_the_table(tmp_path: Path) -> None:
    with Ledger(tmp_path / "metrics.csv") as table:
        table.append([Row(file="caf\udce9.png")])
    assert _cells(tmp_path / "metrics.csv")[1][0] == "caf\\udce9.png"


def test_a_crash_at_any_byte_leaves_whole_rows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with Ledger(path) as table:
        table.append([Row(file="first.png", notes='a "quoted"\nline')])
        before = path.read_bytes()
        table.append([Row(file="second.png", notes='another "one",\nwith a line')])
    whole = path.read_bytes()
    for cut in range(len(before), len(whole)):
        path.write_bytes(whole[:cut])
        with Ledger(path) as table:
            table.append([Row(file="third.png")])
        assert [row["file"] for row in ledger.read(path)] == ["first.png", "third.png"], cut
    for cut in range(len(",".join(COLUMNS))):
        path.write_bytes(whole[:cut])
        with Ledger(path) as table:
            table.append([Row(file="third.png")])
        assert [row["file"] for row in ledger.read(path)] == ["third.png"], cut


def test_a_file_done_again_keeps_one_set_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with Ledger(path) as table:
        table.append([Row(file="a.tif", page=page, notes="old") for page in (1, 2, 3)])
        table.append([Row(file="b.tif", notes="old")])
    with Ledger(path) as table:
        table.append([Row(file="a.tif", page=page, notes="new") for page in (1, 2)])
    assert [(row["file"], row["page"], row["notes"]) for row in ledger.read(path)] == [
        ("a.tif", "1", "new"),
        ("a.tif", "2", "new"),
        ("b.tif", "1", "old"),
    ]
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.csv"]


def test_somebody_elses_table_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("sample,dose\n1,2\n")
    with pytest.raises(OutputError, match="not a table of this tool"):
        Ledger(path)
    assert path.read_text() == "sample,dose\n1,2\n"


def test_columns_that_a_later_version_added_do_not_matter_to_this_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(",".join([*COLUMNS, "later"]) + "\n")
    with Ledger(path) as table:
        table.append([Row(file="a.png")])
    assert next(ledger.read(path))["file"] == "a.png"
