"""Runs on a Dask cluster of this machine: how much more workers bring, what the scheduler costs, what faults cost.

    python benchmarks/scale.py efficiency --workers 1 --workers 2 --workers 4
    python benchmarks/scale.py overhead
    python benchmarks/scale.py faults --kills 50

``efficiency``: one folder done by 1, 2 and more workers of one core each, from the plan to the last row, on a cluster
that is up; the rate against that of one worker times their number. ``overhead``: files that take no time, in chunks of
several sizes; with and without their rows in metrics.csv, and the client's memory for a plan. ``faults``: runs whose
workers are killed at random moments, held against one that nothing happened to, without running again:

- lost: files without a result that equals the other one's bit for bit, or without a row that says done;
- doubled: pages with more than one row;
- torn: results that are not whole, rows that are not whole, temporary files that are left.

Each prints a Markdown table.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import psutil
from faults import Bench, Fault

from folderdenoise.batch import Outcome, Report
from folderdenoise.cluster import chunks, connect
from folderdenoise.cluster import run as room
from folderdenoise.cluster.dispatch import Dispatch
from folderdenoise.cluster.errand import Done, Piece
from folderdenoise.cluster.places import url_path
from folderdenoise.engine import Denoiser
from folderdenoise.folder import Plan, Selection, Task
from folderdenoise.job import denoiser_for
from folderdenoise.ledger import Ledger
from folderdenoise.order import Order
from folderdenoise.pages import Settings
from folderdenoise.table import Row


class Quiet:
    """A listener that says nothing, and knows when the first file was done."""

    def started(self, plan: Plan) -> None:
        pass

    def skipped(self, path: Path, reason: str) -> None:
        pass

    def noted(self, message: str) -> None:
        pass

    def warned(self, message: str) -> None:
        print(message, file=sys.stderr)

    def finished_file(self, outcome: Outcome) -> None:
        assert outcome.status == "done", outcome.notes

    def finished(self, report: Report, interrupted: bool) -> None:
        pass


@dataclass(frozen=True)
class Nothing:
    """A file that takes no time."""

    name: str
    size: int = 1

    def do(self, denoiser: Denoiser, settings: Settings, scratch: Path) -> Done:
        return Done((Row(self.name, output=self.name, width=1, height=1, channels=3, model="none"),))


@click.group(help=__doc__, context_settings={"max_content_width": 120})
def main() -> None:
    pass


@main.command()
@click.option("--workers", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--files", default=48, show_default=True)
@click.option("--side", default=1500, show_default=True, help="Of the images, in pixels.")
@click.option("--model", default="rgb-leaky", show_default=True)
def efficiency(workers: Sequence[int], files: int, side: int, model: str) -> None:
    """One folder, more and more workers."""
    with tempfile.TemporaryDirectory() as place:
        scans = Path(place) / "scans"
        write_scans(scans, files, side)
        megapixels = files * side * side / 1e6
        print("| workers | cluster up in s | run in s | megapixels/s | of workers × one worker's |")
        print("|---|---|---|---|---|")
        first = 0.0
        for count in workers:
            begin = time.perf_counter()
            with connect.connected(connect.LOCAL, count, Quiet()) as client:
                up = time.perf_counter() - begin
                # Once before, so that files are in the system's cache and libraries are loaded.
                for out, selection in (("warm", Selection(include=["00?.jpg"])), (f"out{count}", Selection())):
                    order = Order(scans, Path(place) / out, model)
                    begin = time.perf_counter()
                    room.run(order, selection, Quiet(), client.scheduler.address)
                    taken = time.perf_counter() - begin
                    shutil.rmtree(order.out)
            rate = megapixels / taken
            first = first or rate / workers[0]
            print(f"| {count} | {up:.1f} | {taken:.1f} | {rate:.2f} | {rate / (first * count):.0%} |", flush=True)


def write_scans(folder: Path, files: int, side: int) -> None:
    """JPEGs of a scene with noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[0:side, 0:side]
    scene = 128 + 60 * np.sin(rows / 31) * np.cos(columns / 47)
    for index in range(files):
        image = np.clip(scene[..., None] + rng.normal(0, 15, (side, side, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index:03}.jpg"), image)


@main.command()
@click.option("--workers", default=2, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="About how long each measurement takes.")
def overhead(workers: int, seconds: float) -> None:
    """Files that take no time."""
    with tempfile.TemporaryDirectory() as place, connect.connected(connect.LOCAL, workers, Quiet()) as client:
        order = Order(Path(place), Path(place))
        errand = room.errand_for(order, denoiser_for(order), [], None)

        def rate(size: int, files: int, ledger: Ledger | None) -> float:
            chunks.MOST_FILES = size
            pieces = [Piece(task_of(name), Nothing(name)) for name in map(str, range(files))]

            def record(*outcomes: Outcome) -> None:
                if ledger is not None:
                    ledger.append(*(outcome.rows for outcome in outcomes))

            dispatch = Dispatch(client, errand, record, print, threading.Event())
            begin = time.perf_counter()
            dispatch.run(pieces, files)
            return files / (time.perf_counter() - begin)

        def task_of(name: str) -> Task:
            return Task(Path(place, name), name, Path(place, "out", name))

        print("| files in a chunk | chunks/s | files/s | files/s with their rows in metrics.csv |")
        print("|---|---|---|---|")
        for size in (1, 4, 16, 32, 128):
            # Enough that chunks are as large as asked for.
            least = 4 * workers * size * 2
            probe = rate(size, least, None)
            files = max(least, int(probe * seconds))
            bare = rate(size, files, None)
            with Ledger(Path(place) / f"metrics{size}.csv") as ledger:
                kept = rate(size, files, ledger)
            print(f"| {size} | {bare / size:.0f} | {bare:.0f} | {kept:.0f} |", flush=True)
        print()
        for name, make in (("paths", Path), ("URLs", lambda text: url_path(f"s3://bucket{text}"))):
            print(f"The client's memory for a plan of {name}: {plan_bytes(make):.0f} bytes a file.")


def plan_bytes(make: Callable[[str], Path]) -> float:
    """What a task takes whose paths are made by ``make``, mean of many."""
    tracemalloc.start()
    names = [f"box{index // 100}/scan-{index:09}.tif" for index in range(20_000)]
    tasks = [Task(make(f"/archive/{name}"), name, make(f"/results/{name}")) for name in names]
    size = tracemalloc.get_traced_memory()[0] / len(tasks)
    tracemalloc.stop()
    return size


class ClusterBench(Bench):
    """As for runs without a cluster; those after the first are on one of this machine, ``by_url`` with ``file://``."""

    def __init__(self, place: Path, count: int, side: int, model: str, workers: int) -> None:
        self._workers: int | None = None
        self.by_url = False
        super().__init__(place, count, side, model)
        self._workers = workers

    def run(self, out: Path, *prefix: str, watch: bool = False) -> subprocess.Popen[str]:
        if self._workers is None:
            return super().run(out, *prefix, watch=watch)
        kind = "file://" if self.by_url else ""
        command = [sys.executable, "-m", "folderdenoise", "run", f"{kind}{self.scans}", "--out", f"{kind}{out}"]
        command += ["--model", self._model, "--precision", "f32", "--json"]
        command += ["--cluster", "local", "--threads", str(self._workers)]
        environment = os.environ | {"TMPDIR": str(self.place / "tmp")}
        (self.place / "tmp").mkdir(exist_ok=True)
        with (self.place / "said").open("w") as said:
            return subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL, text=True, env=environment)


@main.command()
@click.option("--kills", default=20, show_default=True, help="Workers that are killed.")
@click.option("--workers", default=2, show_default=True)
@click.option("--files", default=40, show_default=True)
@click.option("--side", default=500, show_default=True, help="Of the images, in pixels.")
@click.option("--model", default="rgb-leaky", show_default=True)
def faults(kills: int, workers: int, files: int, side: int, model: str) -> None:
    """Runs whose workers are killed."""
    with tempfile.TemporaryDirectory() as place:
        bench = ClusterBench(Path(place), files, side, model, workers)
        print("| fault | runs | workers killed | lost | doubled | torn |")
        print("|---|---|---|---|---|---|")
        for name, by_url in (("kill -9 of workers", False), ("the same, file:// to file://", True)):
            bench.by_url = by_url
            fault, killed = kill_workers(bench, name, kills)
            print(f"| {name} | {fault.runs} | {killed} | {fault.lost} | {fault.doubled} | {fault.torn} |", flush=True)


def kill_workers(bench: ClusterBench, name: str, kills: int) -> tuple[Fault, int]:
    """Kill a worker now and then until so many were; what was wrong after each run, and how many were killed."""
    fault, killed = Fault(name, ""), 0
    chance = random.Random(7)
    out = bench.place / "killed"
    while killed < kills:
        shutil.rmtree(out, ignore_errors=True)
        process = bench.run(out)
        bench.wait_for_results(process, 1)
        left = _KILLS_A_RUN
        while process.poll() is None:
            try:
                process.wait(chance.uniform(0, _LONGEST) if left else None)
            except subprocess.TimeoutExpired:
                struck = kill_one(process.pid, chance)
                killed, left = killed + struck, left - struck
        fault.torn += len([path for path in (bench.place / "tmp").iterdir() if not path.name.startswith(".")])
        bench.judge(fault, out)
        fault.runs += 1
    return fault, killed


def kill_one(client: int, chance: random.Random) -> int:
    """Kill one of the client's workers; whether there was one."""
    try:
        children = psutil.Process(client).children()
        workers = [child for child in children if any("spawn_main" in word for word in child.cmdline())]
        if not workers:
            return 0
        chance.choice(workers).kill()
    except psutil.NoSuchProcess:
        return 0
    return 1


_LONGEST = 3.0
# Four could all strike the same file, which would then be blamed: that is what it looks like.
_KILLS_A_RUN = 3


if __name__ == "__main__":
    main()
