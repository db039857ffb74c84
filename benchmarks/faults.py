"""The fault table: what is lost, doubled or torn when a run is killed, or loses its disk.

    sudo python benchmarks/faults.py --kills 50

Real processes and real faults; mounting a small disk and dropping capabilities need root on Linux, and what cannot be
provoked is left out with a word. Prints a Markdown table. A run with a fault is held against one that nothing happened
to, when the same command has been run again until it ends well:

- lost: files without a result that equals the other one's bit for bit, or without a row in metrics.csv;
- doubled: pages with more than one row, and files that were done again although they were in metrics.csv;
- torn: results under their names that were not whole right after the fault, rows that are not whole and temporary files
  that are left in the end.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np

from folderdenoise.table import COLUMNS


@dataclass
class Fault:
    """One line of the table."""

    name: str
    how: str
    runs: int = 0
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    codes: str = ""


class Bench:
    """A folder of ``count`` images of ``side`` × ``side`` pixels, and what an undisturbed run makes of it."""

    def __init__(self, place: Path, count: int, side: int, model: str) -> None:
        self.place = place
        self.scans = place / "scans"
        self._model = model
        rng = np.random.default_rng(1)
        for index in range(count):
            image = np.clip(rng.normal(128, 25, (side, side, 3)), 0, 255).astype(np.uint8)
            file = self.scans / str(index % 3) / f"{index:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), image)
        self.run(place / "good").wait()
        self.good = {file.relative_to(place / "good"): file.read_bytes() for file in (place / "good").rglob("*.png")}
        assert len(self.good) == count

    def run(self, out: Path, *prefix: str, watch: bool = False) -> subprocess.Popen[str]:
        """Start a run, or a watch with ``--once``; its standard output has a line of JSON for each file."""
        command = [*prefix, sys.executable, "-m", "folderdenoise", "watch" if watch else "run", str(self.scans)]
        command += ["--out", str(out), "--model", self._model, "--precision", "f32", "--jobs", "2", "--json"]
        command += ["--once", "--settle", "0.1"] if watch else []
        with (self.place / "said").open("w") as said:
            return subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL, text=True)

    def done(self) -> list[str]:
        """The files that the last run said were done."""
        lines = (self.place / "said").read_text().splitlines(keepends=True)
        return [json.loads(line)["file"] for line in lines if line.endswith("\n")]

    def torn_results(self, out: Path) -> int:
        """Results under their names that are not what they should be."""
        return sum(file.read_bytes() != self.good[file.relative_to(out)] for file in out.rglob("*.png"))

    def recorded(self, out: Path) -> set[str]:
        """The files that have whole rows right now."""
        return {row[0] for row in _rows(out) if len(row) == len(COLUMNS)}

    def wait_for_results(self, process: subprocess.Popen[str], count: int) -> None:
        """Return when so many files are done, or the run has ended."""
        while process.poll() is None and len(self.done()) < count:
            pass

    def go_on(self, fault: Fault, out: Path) -> None:
        """Run again after a fault, and count what it did twice and what is wrong in the end."""
        before = self.recorded(out)
        assert self.run(out).wait() == 0
        fault.doubled += sum(file in before for file in self.done())
        self.judge(fault, out)
        fault.runs += 1

    def judge(self, fault: Fault, out: Path) -> None:
        """Count what is wrong in the end."""
        rows = _rows(out)
        fault.torn += sum(len(row) != len(COLUMNS) for row in rows) + self.torn_results(out)
        fault.torn += sum(file.name.startswith(".") for file in out.rglob("*"))
        pages = Counter((row[0], row[1]) for row in rows)
        fault.doubled += sum(count - 1 for count in pages.values())
        with_rows = {row[0] for row in rows if row[2] == "done"}
        fault.lost += sum(not (out / name).is_file() or name.as_posix() not in with_rows for name in self.good)


def _rows(out: Path) -> list[list[str]]:
    table = out / "metrics.csv"
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def kill_at_random(bench: Bench, kills: int, again: bool = False, watch: bool = False) -> Fault:
    """kill -9 at random moments, and run again: with ``again`` over results that are all to be done anew; with
    ``watch``, watches instead of runs."""
    fault = Fault(
        "kill -9" + (", doing all again" if again else "") + (" of a watch" if watch else ""),
        f"SIGKILL after 0 to {_LONGEST:g} s, run again; {len(bench.good)} files",
    )
    chance = random.Random(7)
    out = bench.place / "killed"
    while fault.runs < kills:
        shutil.rmtree(out, ignore_errors=True)
        if again:
            command = [sys.executable, "-m", "folderdenoise", "run", str(bench.scans), "--out", str(out), "-q"]
            subprocess.run([*command, "--model", bench._model, "--strength", "0.5"], check=True)
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            before = bench.recorded(out) if not again else set()
            process = bench.run(out, watch=watch)
            try:
                code = process.wait(chance.uniform(0, _LONGEST) if fault.runs < kills else None)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
                fault.runs += 1
            fault.doubled += sum(name in before for name in bench.done())
            if not again:
                fault.torn += bench.torn_results(out)
        bench.judge(fault, out)
    return fault


def with_a_fault(
    bench: Bench, runs: int, name: str, how: str, strike: Callable[[Path], Callable[[], None]], *prefix: str
) -> Fault:
    """``strike`` while a run is under way, which must end with 4; undo it, and run again."""
    fault = Fault(name, how)
    codes: Counter[int] = Counter()
    for turn in range(runs):
        out = bench.place / "struck" / "out"
        shutil.rmtree(out.parent, ignore_errors=True)
        out.parent.mkdir()
        process = bench.run(out, *prefix)
        bench.wait_for_results(process, 1 + turn % 5)
        undo = strike(out)
        codes[process.wait()] += 1
        undo()
        fault.torn += bench.torn_results(out) if out.exists() else 0
        bench.go_on(fault, out)
    fault.codes = ", ".join(f"{code} ({count}×)" for code, count in sorted(codes.items()))
    return fault


def full_disk(bench: Bench, runs: int) -> Fault:
    """A small tmpfs that fills up, and is made larger."""
    fault = Fault("disk full", "tmpfs with room for a part of the results, made larger, run again")
    codes: Counter[int] = Counter()
    size = sum(map(len, bench.good.values()))
    disk = bench.place / "disk"
    disk.mkdir()
    for turn in range(runs):
        room = int(size * (turn + 1) / (runs + 2))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(disk)], check=True)
        try:
            out = disk / "out"
            codes[bench.run(out).wait()] += 1
            fault.torn += bench.torn_results(out)
            before = bench.recorded(out)
            subprocess.run(["mount", "-o", f"remount,size={size * 3}", str(disk)], check=True)
            assert bench.run(out).wait() == 0
            fault.doubled += sum(file in before for file in bench.done())
            bench.judge(fault, out)
            fault.runs += 1
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    fault.codes = ", ".join(f"{code} ({count}×)" for code, count in sorted(codes.items()))
    return fault


def move_away(out: Path) -> Callable[[], None]:
    """As when a drive is unplugged, and comes back."""
    aside = out.with_name("aside")
    out.rename(aside)
    return lambda: aside.rename(out) and None


def remove(out: Path) -> Callable[[], None]:
    """As when somebody deletes the folder."""
    # What is written while it is being removed keeps rmtree from removing the folder.
    aside = out.with_name("aside")
    out.rename(aside)
    shutil.rmtree(aside)
    return lambda: None


def forbid(out: Path) -> Callable[[], None]:
    """As when somebody changes the permissions."""
    folders = [out, *(path for path in out.iterdir() if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    return lambda: [folder.chmod(0o755) for folder in folders] and None


def make_read_only(out: Path) -> Callable[[], None]:
    """As when a file system is mounted anew to be read only, after an error on its disk."""
    subprocess.run(["mount", "--bind", str(out), str(out)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(out)], check=True)

    def undo() -> None:
        subprocess.run(["umount", "-l", str(out)], check=True)

    return undo


def interrupt(bench: Bench, runs: int) -> Fault:
    """Ctrl-C, once."""
    fault = Fault("Ctrl-C", "SIGINT while files are under way, run again")
    codes: Counter[int] = Counter()
    out = bench.place / "interrupted"
    for turn in range(runs):
        shutil.rmtree(out, ignore_errors=True)
        process = bench.run(out)
        bench.wait_for_results(process, 1 + turn % 5)
        process.send_signal(signal.SIGINT)
        codes[process.wait()] += 1
        fault.torn += bench.torn_results(out) + sum(file.name.startswith(".") for file in out.rglob("*"))
        bench.go_on(fault, out)
    fault.codes = ", ".join(f"{code} ({count}×)" for code, count in sorted(codes.items()))
    return fault


def faults(bench: Bench, kills: int, runs: int) -> Iterator[Fault]:
    """The table, line by line."""
    yield kill_at_random(bench, kills)
    yield kill_at_random(bench, max(1, kills // 5), again=True)
    yield kill_at_random(bench, max(1, kills // 2), watch=True)
    yield interrupt(bench, runs)
    yield with_a_fault(bench, runs, "output folder moved away", "rename, back again, run again", move_away)
    yield with_a_fault(bench, runs, "output folder removed", "rm -r, run again", remove)
    if os.geteuid() == 0 and shutil.which("setpriv"):
        without = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
        yield with_a_fault(bench, runs, "permission lost", "chmod 555, then 755, run again", forbid, *without)
        how = "bind mount, remounted read-only, unmounted, run again"
        yield with_a_fault(bench, runs, "read-only file system", how, make_read_only)
        yield full_disk(bench, runs)
    else:
        print("Permission lost, read-only file system and disk full need root and setpriv: left out.", file=sys.stderr)


_LONGEST = 4.0


@click.command(help=__doc__, context_settings={"max_content_width": 120})
@click.option("--kills", default=50, show_default=True, help="Runs that are killed.")
@click.option("--runs", default=5, show_default=True, help="Runs with each other fault.")
@click.option("--files", default=40, show_default=True)
@click.option("--side", default=500, show_default=True, help="Of the images, in pixels.")
@click.option("--model", default="rgb-leaky", show_default=True)
def main(kills: int, runs: int, files: int, side: int, model: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(Path(place), files, side, model)
        print("| fault | how provoked | runs | exit code | lost | doubled | torn |")
        print("|---|---|---|---|---|---|---|")
        for fault in faults(bench, kills, runs):
            print(
                f"| {fault.name} | {fault.how} | {fault.runs} | {fault.codes or '-'} "
                f"| {fault.lost} | {fault.doubled} | {fault.torn} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
