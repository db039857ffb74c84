"""A watch over many small files: all done once, and what it takes in memory while it goes on.

    python benchmarks/soak.py --files 5000 --drop 5000                 all at once
    python benchmarks/soak.py --files 100000 --drop 200 --minutes 10   200 at a time, each lot when the last one is done

Prints how many there were in what time and how many of them were lost or done twice, and the watch's resident memory
(Linux) against the files done: its slope by least squares over the second half, in kilobytes for each thousand files.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TextIO

import click
import cv2
import numpy as np


@click.command(help=__doc__, context_settings={"max_content_width": 120})
@click.option("--files", default=5000, show_default=True, help="Files at most.")
@click.option("--drop", default=5000, show_default=True, help="Files that are dropped at once.")
@click.option("--minutes", type=float, help="Drop no more after so long.")
@click.option("--side", default=32, show_default=True, help="Of the images, in pixels.")
@click.option("--model", default="rgb-leaky", show_default=True)
@click.option("--move-done", is_flag=True, help="Let the watch move the originals away.")
def main(files: int, drop: int, minutes: float | None, side: int, model: str, move_done: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        inbox, out = place / "inbox", place / "inbox-denoised"
        inbox.mkdir()
        command = [sys.executable, "-m", "folderdenoise", "watch", str(inbox), "--model", model, "--settle", "0.5"]
        command += ["--json", "-q", *(["--move-done", str(place / "done")] if move_done else [])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
            began = time.monotonic()
            samples = _feed(watch, inbox, files, drop, side, None if minutes is None else began + 60 * minutes)
            seconds = time.monotonic() - began
            watch.send_signal(signal.SIGTERM)
            assert watch.stdout is not None
            late = len(watch.stdout.readlines())
            code = watch.wait()
        done = samples[-1][0]
        with (out / "metrics.csv").open(encoding="utf-8", newline="") as table:
            rows = Counter(row[0] for row in list(csv.reader(table))[1:])
        names = {file.name for file in out.rglob("*.png")}
        lost = done - len(names & rows.keys())
        doubled = late + sum(rows.values()) - len(rows)
        print(f"{done} files in {seconds:.0f} s, {lost} lost, {doubled} doubled, exit code {code}")
        half = np.array(samples[len(samples) // 2 :], float)
        slope = np.polyfit(half[:, 0], half[:, 1], 1)[0] * 1000 if len(half) > 1 else float("nan")
        at = {done: kilobytes / 1024 for done, kilobytes in samples}
        shown = [count for count in (100, done // 4, done // 2, 3 * done // 4, done) if count in at]
        print("memory: " + ", ".join(f"{at[count]:.0f} MB at {count} files" for count in shown))
        print(f"slope over the second half: {slope:.0f} kB for each 1000 files")


def _feed(
    watch: subprocess.Popen[str], inbox: Path, files: int, drop: int, side: int, until: float | None
) -> list[tuple[int, int]]:
    """Drop files, wait for word of each; (files done, kB resident) at every hundredth."""
    rng = np.random.default_rng(1)
    done = 0
    samples = []
    while done < files and (until is None or time.monotonic() < until):
        lot = min(drop, files - done)
        names = {f"{index:06}.png" for index in range(done, done + lot)}
        for name in sorted(names):
            image = np.clip(rng.normal(128, 25, (side, side, 3)), 0, 255).astype(np.uint8)
            encoded = cv2.imencode(".png", image)[1].tobytes()
            (inbox / name).write_bytes(encoded)
        assert watch.stdout is not None
        for _ in range(lot):
            names.remove(_done(watch.stdout))
            done += 1
            if done % 100 == 0 or (done == files):
                samples.append((done, _resident(watch.pid)))
    return samples


def _done(said: TextIO) -> str:
    outcome = json.loads(said.readline())
    assert outcome["status"] == "done", outcome
    return str(outcome["file"])


def _resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


if __name__ == "__main__":
    main()
