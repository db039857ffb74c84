"""The scripts that measure what the tool takes beside its network: they run, and their figures fit together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def rows(script: str, *options: str) -> list[list[str]]:
    """The cells of the tables that a script prints, without heads."""
    command = [sys.executable, "-W", "error", str(BENCHMARKS / script), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def number(cell: str) -> float:
    return float(cell.split()[0].rstrip("%"))


def test_throughput_sets_the_run_beside_the_bare_network() -> None:
    head, *table = rows("throughput.py", "--scale", "0.1", "--files", "2", "--small", "3", "--precision", "f32")
    assert [row[0] for row in table] == ["2 × 12-megapixel JPEG", "2 × A4 300 dpi TIFF", "3 × 0.3-megapixel JPEG"]
    for row in table:
        cells = dict(zip(head, row, strict=True))
        bare, whole = number(cells["bare network"]), number(cells["`run`"])
        assert number(cells["share"]) == pytest.approx(100 * bare / whole, abs=100 * 0.06 / whole + 1)
        assert 0 <= number(cells["twice"]) < 100


def test_throughput_tells_where_the_time_of_a_file_goes() -> None:
    head, *table = rows("throughput.py", "--stages", "--scale", "0.1", "--precision", "f32")
    assert len(table) == 3
    for row in table:
        shares = {stage: float(cell.split(", ")[1].rstrip("%")) for stage, cell in zip(head[2:], row[2:], strict=True)}
        assert sum(shares.values()) == pytest.approx(100, abs=0.5)
        assert max(shares, key=shares.__getitem__) == "network"


def test_modes_measures_each_mode_in_a_process_of_its_own() -> None:
    tables = rows("modes.py", "--precision", "f32", "--seconds", "0.01", "--scale", "0.1")
    assert [row[:2] for row in tables if row[0] == row[1] == "1"]
    assert all(number(row[-1]) > 0 for row in tables if row[0][0].isdigit())


def test_startup_times_command_door_and_help() -> None:
    _, *table = rows("startup.py", "--times", "2")
    assert [row[0].split("`")[1] for row in table] == [
        "folderdenoise run",
        "folderdenoise.denoise",
        "folderdenoise --help",
    ]
    assert number(table[2][1]) < number(table[0][1])
