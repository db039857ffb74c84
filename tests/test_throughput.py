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
        assert list(shares) == ["read", "hash", "network", "measure", "write", "read back"]
        assert shares["network"] > 0


def test_modes_measures_each_mode_in_a_process_of_its_own() -> None:
    tables = rows("modes.py", "--precision", "f32", "--seconds", "0.01", "--scale", "0.1")
    assert [row[:2] for row in tables if row[0] == row[1] == "1"]
    modes = [row for row in tables if row[0].isdigit()]
    sizes = {row[0]: row for row in tables if row[0].startswith(("core", "strips"))}
    sides = [f"core of {side}" for side in (256, 512, 1024, 1536, 2048)]
    assert list(sizes) == [*sides, "strips 1024 high, full width"]
    assert all(number(row[-1]) > 0 for row in [*modes, *sizes.values()])
    for _, streams, seconds, rate, _ in modes:
        # The picture of 300 × 400 pixels is one tile.
        assert number(rate) == pytest.approx(0.12 * int(streams) / number(seconds), rel=0.1, abs=0.01)


def test_flat_reads_the_memory_of_a_run_and_says_that_it_stays() -> None:
    head, *table = rows("flat.py", "--files", "20", "--every", "7", "--large", "64", "64", "--threads", "1")
    assert head == ["files done", "in memory", "peak"]
    assert [row[0] for row in table] == [str(count) for count in range(2, 21, 2)]
    peaks = [number(row[2]) for row in table]
    assert peaks == sorted(peaks)
    assert all(0 < number(row[1]) <= number(row[2]) for row in table)


def test_startup_times_command_door_and_help() -> None:
    _, *table = rows("startup.py", "--times", "2")
    assert [row[0].split("`")[1] for row in table] == [
        "folderdenoise run",
        "folderdenoise.denoise",
        "folderdenoise --help",
    ]
    assert number(table[2][1]) < number(table[0][1])
