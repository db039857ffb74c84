"""metrics.csv: true, whole rows, whatever the names and whenever the crash."""

from __future__ import annotations

import csv
import errno
import math
import os
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folderdenoise.errors import OutputError
from folderdenoise.ledger import Ledger, read_records
from folderdenoise.table import COLUMNS, Row, encode, from_cell, key_of, parse, read, to_cell


def _cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_header_is_the_contract(tmp_path: Path) -> None:
    with Ledger(tmp_path / "metrics.csv"):
        pass
    assert (tmp_path / "metrics.csv").read_text().strip() == (
        "file,page,status,output,width,height,channels,bit_depth,model,strength,noise_before,noise_after,psnr,ssim,"
        "mse,mae,psnr_gain,ssim_gain,seconds,megapixels_per_second,source_bytes,source_mtime_ns,source_sha256,"
        "settings,finished_at,notes,pages,model_sha256,flat_noise_before,flat_noise_after,structure_removed,"
        "estimated_psnr_gain,source_folder"
    )


def test_rows_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with Ledger(path) as table:
        table.append([Row(file="a.tif", page=1, width=3, psnr=31.25, notes='has "quotes", commas\nand lines')])
        table.append([Row(file="b.tif", status="failed", notes="b.tif: empty")])
    rows = list(read(path))
    assert [row["file"] for row in rows] == ["a.tif", "b.tif"]
    assert rows[0]["psnr"] == "31.2500"
    assert rows[0]["ssim"] == ""
    assert rows[0]["notes"] == 'has "quotes", commas\nand lines'


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0.png", "+1.png", "-1.png", "@x.png", "\tx.png", "'quoted.png"])
def test_no_name_is_run_as_a_formula(tmp_path: Path, name: str) -> None:
    with Ledger(tmp_path / "metrics.csv") as table:
        table.append([Row(file=name)])
    assert _cells(tmp_path / "metrics.csv")[1][0].startswith("'")
    assert next(read(tmp_path / "metrics.csv"))["file"] == name


@given(st.text())
def test_cells_give_their_text_back(text: str) -> None:
    assert from_cell(to_cell(text, "file")) == text.encode("utf-8", "backslashreplace").decode()


@pytest.mark.parametrize("name", ["a\r2.png", "a\r\n2.png", "a\n2.png", 'a"2.png', "a, 2.png", "\ra.png"])
@pytest.mark.parametrize("notes", ["", "with, a comma"])
def test_no_name_tears_the_table(tmp_path: Path, name: str, notes: str) -> None:
    for _ in range(2):
        with Ledger(tmp_path / "metrics.csv") as ledger:
            ledger.append([Row(file=name, notes=notes, pages=2), Row(file=name, page=2, pages=2)])
            ledger.append([Row(file="b.png")])
    assert [(row["file"], row["page"]) for row in read(tmp_path / "metrics.csv")] == [
        (name, "1"),
        (name, "2"),
        ("b.png", "1"),
    ]
    assert read_records(tmp_path / "metrics.csv").keys() == {key_of(name), "b.png"}


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
        assert [row["file"] for row in read(path)] == ["first.png", "third.png"], cut
    for cut in range(len(",".join(COLUMNS))):
        path.write_bytes(whole[:cut])
        with Ledger(path) as table:
            table.append([Row(file="third.png")])
        assert [row["file"] for row in read(path)] == ["third.png"], cut


def test_rows_are_on_the_disk_when_they_are_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.csv"
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    with Ledger(path) as table:
        for name in ("a.png", "b.png"):
            table.append([Row(file=name)])
            assert sizes[-1] == path.stat().st_size


def test_a_disk_that_takes_half_a_row_leaves_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.csv"
    with Ledger(path) as table:
        table.append([Row(file="a.png")])
        before = path.read_bytes()
        write = os.write

        def fill_up(descriptor: int, data: memoryview) -> int:
            if len(data) < 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(descriptor, data[: len(data) // 2])

        monkeypatch.setattr(os, "write", fill_up)
        with pytest.raises(OutputError, match="disk is full"):
            table.append([Row(file="b.png")])
        assert path.read_bytes() == before


def test_a_file_done_again_keeps_one_set_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with Ledger(path) as table:
        table.append([Row(file="a.tif", page=page, pages=3, notes="old") for page in (1, 2, 3)])
        table.append([Row(file="b.tif", notes="old")])
    with Ledger(path) as table:
        table.append([Row(file="a.tif", page=page, pages=2, notes="new") for page in (1, 2)])
    assert [(row["file"], row["page"], row["notes"]) for row in read(path)] == [
        ("a.tif", "1", "new"),
        ("a.tif", "2", "new"),
        ("b.tif", "1", "old"),
    ]
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize(
    "row",
    [
        Row("a.tif"),
        Row("=sum(1).png", 2, "failed", notes="'quoted', and\nbroken", pages=3, source_folder="/in"),
        Row("x", width=3, height=2, strength=0.5, psnr=math.inf, psnr_gain=-math.inf, source_mtime_ns=2**60),
    ],
    ids=["plain", "odd text", "figures"],
)
def test_a_row_is_read_back_as_it_was(row: Row) -> None:
    cells = [to_cell(getattr(row, column), column) for column in COLUMNS]
    assert parse(COLUMNS, cells) == row
    # Of a version to come, and of one before some columns.
    assert parse((*COLUMNS, "mood"), [*cells, "good"]) == row
    assert parse(COLUMNS[:3], cells[:3]) == Row(row.file, row.page, row.status)
    with pytest.raises(ValueError, match="wide"):
        parse(["file", "width"], ["a", "wide"])


def test_a_crash_that_leaves_the_rows_of_some_pages_leaves_the_older_ones_or_none(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with Ledger(path) as table:
        table.append([Row(file="b.tif", notes="old")])
        table.append([Row(file="a.tif", page=page, pages=2, notes="old") for page in (1, 2)])
    older = path.read_bytes()
    lines = [encode([[to_cell(getattr(row, name), name) for name in COLUMNS]]) for row in _pages("a.tif", 3)]
    path.write_bytes(older + lines[0] + lines[1])
    with Ledger(path) as table:
        assert table.records["a.tif"].is_whole
    assert [(row["file"], row["notes"]) for row in read(path)] == [("b.tif", "old"), ("a.tif", "old"), ("a.tif", "old")]
    path.write_bytes(older + b"".join(lines))
    with Ledger(path):
        pass  # whole rows, but the older ones are still there
    assert [(row["file"], row["notes"]) for row in read(path)] == [("b.tif", "old"), *[("a.tif", "new")] * 3]


def _pages(name: str, count: int) -> list[Row]:
    return [Row(file=name, page=page, pages=count, notes="new") for page in range(1, count + 1)]


def test_the_table_is_never_gone_nor_torn_for_one_who_looks_while_files_are_done_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    names = [f"{index}.png" for index in range(10)]
    with Ledger(path) as table:
        for name in names:
            table.append([Row(file=name, notes="old")])
        for done, name in enumerate(names, 1):
            table.append([Row(file=name, notes="new")])
            seen = [(row["file"], row["notes"]) for row in read(path)]
            assert seen == [(each, "new" if index < done else "old") for index, each in enumerate(names)]


def test_a_large_table_is_not_written_anew_for_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrites = []
    with Ledger(tmp_path / "metrics.csv") as table:
        for index in range(200):
            table.append([Row(file=f"{index}.png")])
        monkeypatch.setattr(Ledger, "tidy", lambda self, tidy=Ledger.tidy: rewrites.append(tidy(self)))
        for index in range(200):
            table.append([Row(file=f"{index}.png", notes="new")])
    assert [row["notes"] for row in read(tmp_path / "metrics.csv")] == ["new"] * 200
    assert 1 < len(rewrites) <= 51


@pytest.mark.skipif(os.name == "nt", reason="removes a file that is open")
@pytest.mark.parametrize("what", ["table", "folder"])
def test_rows_do_not_go_into_a_table_that_was_removed(tmp_path: Path, what: str) -> None:
    path = tmp_path / "out" / "metrics.csv"
    path.parent.mkdir()
    with Ledger(path) as table:
        table.append([Row(file="a.png")])
        path.unlink()
        if what == "folder":
            path.parent.rmdir()
        with pytest.raises(OutputError, match=r"metrics\.csv: was removed" if what == "table" else "folder is gone"):
            table.append([Row(file="b.png")])


@pytest.mark.skipif(os.name == "nt", reason="removes a file that is open")
def test_a_table_that_was_removed_is_not_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    table = Ledger(path)
    for _ in range(2):
        table.append([Row(file="a.png"), Row(file="a.png", page=2)])
    path.unlink()
    with pytest.raises(OutputError, match=r"metrics\.csv: was removed"):
        table.touch({"a.png": 1})
    table.close()


def test_no_table_is_renamed_over_one_that_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows does not do that."""
    path = tmp_path / "metrics.csv"
    replace = Path.replace
    replaced = []

    def rename(self: Path, target: Path) -> Path:
        assert str(target) not in {file.path for file in psutil.Process().open_files()}
        replaced.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", rename)
    with Ledger(path) as table:
        table.append([Row(file="a.png", notes="old")])
        table.append([Row(file="a.png", notes="new")])
        table.append([Row(file="b.png")])
    assert replaced == [path]
    assert [(row["file"], row["notes"]) for row in read(path)] == [("a.png", "new"), ("b.png", "")]


def test_rows_go_on_where_the_table_could_not_be_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "another program looks at it")

    path = tmp_path / "metrics.csv"
    with Ledger(path) as table:
        table.append([Row(file="a.png", notes="old")])
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", refuse)
            with pytest.raises(OutputError, match="another program"):
                table.append([Row(file="a.png", notes="new")])
        table.append([Row(file="b.png")])
    assert [(row["file"], row["notes"]) for row in read(path)] == [("a.png", "new"), ("b.png", "")]


@pytest.mark.parametrize("line", ["a.png,1,done\n", "a.png,one\n", "\n", f'a.png,1,done,{"x" * 200_000},""\n'])
def test_a_table_that_was_damaged_by_hand_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.csv"
    with Ledger(path) as table:
        table.append([Row(file="b.png")])
    with path.open("a") as file:
        file.write(line)
    with pytest.raises(OutputError, match=r"metrics\.csv: is damaged.*Move it away"):
        read_records(path)


def test_a_new_modification_time_of_the_same_content_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with Ledger(path) as table:
        table.append(
            [Row(file="a,b.png", page=page, pages=2, source_mtime_ns=5, notes="two\nlines") for page in (1, 2)]
        )
        table.append([Row(file="c.png", source_mtime_ns=6)])
        table.touch({"a,b.png": 7})
        table.append([Row(file="d.png", source_mtime_ns=8)])
    assert [(row["file"], row["source_mtime_ns"]) for row in read(path)] == [
        ("a,b.png", "7"),
        ("a,b.png", "7"),
        ("c.png", "6"),
        ("d.png", "8"),
    ]
    assert read_records(path)["a,b.png"].source_mtime_ns == 7


def test_a_table_from_before_a_column_was_added_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    older = COLUMNS[: COLUMNS.index("notes") + 1]
    path.write_bytes(encode([older, ["a.png", "1", "done", *[""] * (len(older) - 3)]]))
    with Ledger(path) as table:
        table.append([Row(file="b.png", model_sha256="ab")])
    assert [(row["file"], row["model_sha256"]) for row in read(path)] == [("a.png", ""), ("b.png", "ab")]


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
    assert next(read(path))["file"] == "a.png"
