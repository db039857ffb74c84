"""Damaged files, names that break things, folders that lead astray: no crash, no half output, nothing outside."""

from __future__ import annotations

import csv
import os
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

from folderdenoise.batch import Outcome, Settings, process_file, run_batch
from folderdenoise.cli import main
from folderdenoise.engine import Denoiser
from folderdenoise.errors import OutputError
from folderdenoise.folder import Task
from folderdenoise.scratch import Scratch, bands, release, root

from . import pictures
from .cases import WRITTEN
from .test_animations import STEPS, png_frames
from .test_jp2_avif import jpeg_2000
from .test_jpeg import VIEW, multi_picture
from .test_rare_kinds import BMPS, VALUES

pytestmark = pytest.mark.usefixtures("zoo_dir")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
try:
    import fuzz
finally:
    sys.path.pop(0)


KINDS = WRITTEN | {
    "stereo.mpo": lambda path: multi_picture(path, VIEW, VIEW),
    "moving.png": lambda path: png_frames(path, STEPS),
    "runs.bmp": lambda path: path.write_bytes(BMPS["run lengths"][0]),
    "masks.bmp": lambda path: path.write_bytes(BMPS["ten bits"][0]),
    "signed.tif": lambda path: tifffile.imwrite(path, VALUES["tomograph"][0]),
    "half.tif": lambda path: tifffile.imwrite(path, VALUES["half"][0], compression="zlib"),
    "camera.pgm": lambda path: path.write_bytes(b"P5 64 48 4095\n" + bytes(2 * 64 * 48)),
    "text.ppm": lambda path: path.write_text("P3 4 2 31 " + "1 2 3 " * 8),
    "scan.jp2": jpeg_2000,
}


def run(source: Path, *options: str) -> tuple[int, list[dict[str, str]]]:
    """Exit code of a run over a folder, and the rows of its table."""
    out = source.with_name("results")
    result = CliRunner().invoke(main, ["run", str(source), "--out", str(out), "--strength", "0", "--quiet", *options])
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return result.exit_code, list(csv.DictReader(file))


def everything_below(folder: Path) -> set[tuple[bytes, int, int]]:
    """All files with size and time."""
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return {(os.fsencode(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in found}


@pytest.mark.parametrize("name", KINDS)
def test_mutations_give_whole_results_or_clear_failures(name: str, tmp_path: Path) -> None:
    if name.endswith("avif"):
        pytest.skip("too slow to write; benchmarks/fuzz.py does it")
    intact, damaged, out = tmp_path / name, tmp_path / "damaged" / name, tmp_path / "out"
    damaged.parent.mkdir()
    out.mkdir()
    KINDS[name](intact)
    denoiser = Denoiser()
    verdicts = []
    for seed in range(13):
        damaged.write_bytes(fuzz.mutated(intact.read_bytes(), np.random.default_rng(1000 + seed)))
        verdicts.append(fuzz.judge(damaged, out, denoiser))
    assert {verdict for verdict, _ in verdicts} <= {"done", "failed"}, verdicts


NAMES = [
    "😀 emoji.png",
    "new\nline.png",
    "tab\there.png",
    "-rf.png",
    "--out.png",
    "=cmd|' /C calc'!A0.png",
    "+1.png",
    "@sum.png",
    "con.png",
    "aux.PNG",
    "nul.tar.png",
    "a[page=1].png",
    "100%s.png",
    "$(touch x).png",
    "`x`.png",
    "quote'\".png",
    "back\\slash.png",
    "trailing dot..png",
    " leading space.png",
    "x" * 251 + ".png",
    "é" * 125 + ".png",
    "é.png",
    "é.png",
    "İ.png",
    "right‮to left.png",
    b"\xff\xfe\x80.png",
    "semi;colon,.png",
]


def test_every_name_comes_back_under_the_same_name(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in NAMES:
        try:
            pictures.save(folder / os.fsdecode(name), pictures.scene(16, 16))
        except OSError:  # this disk cannot hold the name
            continue
    before = everything_below(folder)
    code, rows = run(folder)
    assert (code, len(rows)) == (0, len(before))
    results = {path.name for path in (tmp_path / "results").iterdir()} - {"metrics.csv"}
    assert results == {path.name for path in folder.iterdir()}
    assert everything_below(folder) == before
    assert {path.name for path in tmp_path.iterdir()} == {"in", "results", "zoo"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_pipes_sockets_and_links_neither_hang_nor_lead_outside(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "outside"
    for path in (folder / "good.png", folder / "sub" / "good.png", outside / "secret.png"):
        pictures.save(path, pictures.scene(16, 16))
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # a socket's path has little room
        try:
            server.bind("socket.png")
        finally:
            os.chdir(here)
        (folder / "sub" / "loop").symlink_to(folder, target_is_directory=True)
        (folder / "self.png").symlink_to("self.png")
        (folder / "gone.png").symlink_to("nowhere.png")
        (folder / "leak.png").symlink_to(outside / "secret.png")
        (folder / "elsewhere").symlink_to(outside, target_is_directory=True)
        before = everything_below(tmp_path)
        code, rows = run(folder)
    good = {"good.png", "sub/good.png"}
    assert code in (0, 1)
    assert {row["file"] for row in rows if row["status"] == "done"} == good
    assert all(len(row["notes"]) > 20 for row in rows if row["status"] == "failed")
    results = tmp_path / "results"
    found = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()}
    assert {name for name in found if name != "metrics.csv"} == good
    assert {entry for entry in everything_below(tmp_path) if b"/results/" not in entry[0]} == before


def test_a_folder_in_the_place_of_a_file_is_a_failed_row(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "out").mkdir()
    task = Task(tmp_path / "folder.png", "folder.png", tmp_path / "out" / "folder.png")
    outcome = process_file(task, Denoiser(), Settings())
    assert outcome.status == "failed"
    assert "folder.png" in outcome.notes


def test_files_that_vanish_while_the_run_goes_on_do_not_stop_it(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    tasks = []
    for index in range(6):
        source = pictures.save(tmp_path / "in" / f"{index}.png", pictures.scene(16, 16))
        tasks.append(Task(source, source.name, tmp_path / "out" / source.name))
    seen: dict[str, str] = {}

    def listen(outcome: Outcome) -> None:
        seen[outcome.task.relative] = outcome.status
        tasks[5].source.unlink(missing_ok=True)

    run_batch(tasks, Denoiser(), Settings(strength=0.0), listen, jobs=1)
    assert seen == {f"{index}.png": "failed" if index == 5 else "done" for index in range(6)}


def test_a_file_that_is_cut_short_while_it_is_read_ends_in_a_row(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    source = tmp_path / "growing.webp"
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8))
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            image.save(source, lossless=True)
            os.truncate(source, 5000)

    image.save(source, lossless=True)
    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        task = Task(source, source.name, tmp_path / "out" / source.name)
        outcomes = [process_file(task, Denoiser(), Settings(strength=0.0)) for _ in range(8)]
    finally:
        stop.set()
        thread.join()
    for outcome in outcomes:
        assert outcome.status == "done" or "growing.webp" in outcome.notes
    assert {path.name for path in task.out.iterdir()} <= {"growing.webp"}


class TestScratch:
    def test_what_is_beyond_the_memory_is_on_the_disk_and_holds_the_same(self, tmp_path: Path) -> None:
        scratch = Scratch(tmp_path, in_memory=1000)
        small, large = scratch.empty((10, 10, 3), np.uint8), scratch.empty((500, 40, 3), np.uint16)
        assert root(small) is None
        assert root(large[..., :2]) is large
        values = np.arange(60_000, dtype=np.uint16).reshape(large.shape)
        for rows in bands(large):
            large[rows] = values[rows]
        release(small, large, large[..., 0])
        np.testing.assert_array_equal(large, values)

    def test_nothing_is_left_behind(self, tmp_path: Path) -> None:
        folder = tmp_path / "out"
        folder.mkdir()
        array = Scratch(folder, in_memory=0).empty((100, 100), np.float32)
        array[:] = 1
        del array
        assert list(folder.iterdir()) == []

    def test_a_full_disk_is_an_output_error_and_not_the_end_of_the_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        folder = tmp_path / "out"
        folder.mkdir()
        scratch = Scratch(folder, in_memory=0)
        for room, function in ((os, "posix_fallocate"), (np, "memmap")):
            with monkeypatch.context() as patch:
                patch.setattr(room, function, full, raising=False)
                with pytest.raises(OutputError, match=r"no room.*--out"):
                    scratch.empty((100, 100), np.uint8)
        assert list(folder.iterdir()) == []

    def test_systems_without_reservation_write_the_file_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
        assert not Scratch(tmp_path, in_memory=0).empty((300, 100), np.uint8).any()
