"""How long a run takes that has nothing to do: every file is done already.

    python benchmarks/resume.py --files 100000

The files and the rows of metrics.csv are made up, as an earlier run would have left them; the run is real. Prints its
time from start to end, the start of Python and its libraries included: as the clock has it, of the processor alone, and
as a multiple of what it takes to list the originals and the results and to ask the system for the state of each. The
same for a run with one file touched, which is hashed once and then not again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from folderdenoise import job
from folderdenoise.order import Order
from folderdenoise.resume import sha256_of
from folderdenoise.table import COLUMNS, Row, encode, to_cell


@click.command(help=__doc__, context_settings={"max_content_width": 120})
@click.option("--files", default=100_000, show_default=True)
@click.option("--model", default="rgb-leaky", show_default=True)
def main(files: int, model: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scans, out = Path(folder) / "scans", Path(folder) / "out"
        order = Order(scans, out, model=model)
        sha256 = job.denoiser_for(order).card_for(3).sha256
        rows = [list(COLUMNS)]
        for index in range(files):
            name = f"{index // 1000:03}/{index:06}.png"
            for place in (scans, out):
                if index % 1000 == 0:
                    (place / name).parent.mkdir(parents=True)
                (place / name).write_bytes(b"x")
            row = Row(
                name,
                channels=3,
                model=model,
                strength=1.0,
                source_bytes=1,
                source_mtime_ns=(scans / name).stat().st_mtime_ns,
                source_sha256=sha256_of(scans / name) if index == 0 else "0" * 64,
                settings=order.settings.text,
                model_sha256=sha256,
                source_folder=str(scans),
            )
            rows.append([to_cell(getattr(row, column), column) for column in COLUMNS])
        (out / "metrics.csv").write_bytes(encode(rows))
        _time("nothing to do", scans, out, model)
        os.utime(scans / "000" / "000000.png")
        _time("one file touched", scans, out, model)
        _time("once more", scans, out, model)


def _walk(*folders: Path) -> tuple[float, float]:
    """Seconds, and seconds of the processor, to list folders of folders and to look at each file."""
    began, worked = time.monotonic(), time.process_time()
    for folder in folders:
        for below in folder.iterdir():
            if below.is_dir():
                with os.scandir(below) as entries:
                    for entry in entries:
                        entry.stat()
    return time.monotonic() - began, time.process_time() - worked


def _time(what: str, scans: Path, out: Path, model: str) -> None:
    command = [sys.executable, "-m", "folderdenoise", "run", str(scans), "--out", str(out), "--model", model]
    least, least_work = _walk(scans, out)
    began, before = time.monotonic(), os.times()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, after = time.monotonic() - began, os.times()
    work = after.children_user + after.children_system - before.children_user - before.children_system
    print(
        f"{what}: {seconds:.1f} s, {seconds / least:.1f} times the walk; {work:.1f} s of the processor, "
        f"{work / least_work:.1f} times. {result.stdout.strip()}",
        flush=True,
    )


if __name__ == "__main__":
    main()
