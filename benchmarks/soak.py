"""A watch over many small files: all done once, and what it takes in memory while it goes on.

    python benchmarks/soak.py --files 5000 --drop 5000          all at once
    python benchmarks/soak.py --files 20000 --drop 200          200 at a time, each lot when the last one is done

Prints how long it took, and the watch's resident memory (Linux) against the files done: its slope by least squares over
the second half, in kilobytes for each thousand files.
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

import click
import cv2
import numpy as np


@click.command(help=__doc__, context_settings={"max_content_width": 120})
@click.option("--files", default=5000, show_default=True)
@click.option("--drop", default=5000, show_default=True, help="Files that are dropped at once.")
@click.option("--side", default=32, show_default=True, help="Of the images, in pixels.")
@click.option("--model", default="rgb-leaky", show_default=True)
@click.option("--move-done", is_flag=True, help="Let the watch move the originals away.")
def main(files: int, drop: int, side: int, model: str, move_done: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        inbox = place / "inbox"
        inbox.mkdir()
        command = [sys.executable, "-m", "folderdenoise", "watch", str(inbox), "--model", model, "--settle", "0.5"]
        command += ["--json", "-q", *(["--move-done", str(place / "done")] if move_done else [])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
            began = time.monotonic()
            samples = _feed(watch, inbox, files, drop, side)
            seconds = time.monotonic() - began
            watch.send_signal(signal.SIGTERM)
            code = watch.wait()
        with (place / "inbox-denoised" / "metrics.csv").open(encoding="utf-8", newline="") as table:
            rows = Counter(row[0] for row in list(csv.reader(table))[1:])
        results = sum(1 for _ in (place / "inbox-denoised").rglob("*.png"))
        print(f"{len(rows)} files in {seconds:.0f} s, {results} results, {sum(rows.values())} rows, exit code {code}")
        half = np.array(samples[len(samples) // 2 :], float)
        slope = np.polyfit(half[:, 0], half[:, 1], 1)[0] * 1000 if len(half) > 1 else float("nan")
        print(f"memory {samples[0][1] / 1024:.0f} MB at first, {samples[-1][1] / 1024:.0f} MB at last")
        print(f"slope over the second half {slope:.0f} kB for each 1000 files")


def _feed(watch: subprocess.Popen[str], inbox: Path, files: int, drop: int, side: int) -> list[tuple[int, int]]:
    """Drop files, wait for word of each; (files done, kB resident) now and then."""
    rng = np.random.default_rng(1)
    done = 0
    samples = []
    assert watch.stdout is not None
    while done < files:
        lot = min(drop, files - done)
        for index in range(done, done + lot):
            image = np.clip(rng.normal(128, 25, (side, side, 3)), 0, 255).astype(np.uint8)
            encoded = cv2.imencode(".png", image)[1].tobytes()
            (inbox / f"{index:06}.png").write_bytes(encoded)
        for _ in range(lot):
            assert json.loads(watch.stdout.readline())["status"] == "done"
            done += 1
            if done % 100 == 0:
                samples.append((done, _resident(watch.pid)))
    return samples


def _resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


if __name__ == "__main__":
    main()
