"""Whether a run's memory stays flat over ten thousand files of mixed sizes: what it holds, and its peak, on the way.

    python benchmarks/flat.py
    python benchmarks/flat.py --files 3000 --memory 2 --model my-model

Most files are tiny, of some two thousand sizes; one in ``--every`` is large. They are JPEG, PNG, TIFF and WebP in turn.
The run is a process of its own with ``--memory``; its resident memory, and the peak of that (Linux), are read as it
says what it has done. Exit code 1 where the peak passes ``--memory``, or where a file failed.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

SUFFIXES = (".jpg", ".png", ".tif", ".webp")


def make(folder: Path, args: argparse.Namespace) -> float:
    """Write the files; their megapixels."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    tall, wide = args.large
    rows, columns = np.mgrid[0:tall, 0:wide]
    scene = 128 + 60 * np.sin(rows / 31) * np.cos(columns / 47)
    large = np.clip(scene[..., None] + rng.normal(0, 15, (tall, wide, 3)), 0, 255).astype(np.uint8)
    pixels = 0
    for index in range(args.files):
        picture = large
        if index % args.every:
            height, width = rng.integers(16, 65, 2)
            picture = large[:height, :width]
        cv2.imwrite(str(folder / f"{index:06}{SUFFIXES[index % len(SUFFIXES)]}"), picture)
        pixels += picture.shape[0] * picture.shape[1]
    return pixels / 1e6


def memory(process: int) -> tuple[int, int]:
    """Bytes that a process has in memory: now, and at most until now."""
    status = Path(f"/proc/{process}/status").read_text()
    now, peak = (int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) << 10 for name in ("VmRSS", "VmHWM"))  # type: ignore[index]
    return now, peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=500, help="One in so many files is large.")
    parser.add_argument("--large", type=int, nargs=2, default=(1200, 1600), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--memory", type=float, default=1.0, help="GiB, as for folderdenoise run.")
    parser.add_argument("--threads", type=int, help="As for folderdenoise run.")
    parser.add_argument("--model", default="rgb-leaky")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        scans, out = Path(place, "scans"), Path(place, "out")
        megapixels = make(scans, args)
        command = [sys.executable, "-m", "folderdenoise", "run", str(scans), "--out", str(out), "--json", "-q"]
        command += ["--model", args.model, "--memory", str(args.memory)]
        command += ["--threads", str(args.threads)] if args.threads else []
        print(f"{args.files} files, {megapixels:.0f} megapixels, --memory {args.memory:g}\n")
        print("| files done | in memory | peak |\n|---|---|---|", flush=True)
        began, count, most = time.monotonic(), 0, 0
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            for line in run.stdout:
                if "file" not in json.loads(line):
                    continue
                count += 1
                # The last one: when the run has said that all is done, it may be gone.
                if count % max(1, args.files // 10) == 0 or count == args.files:
                    now, most = memory(run.pid)
                    print(f"| {count} | {now / 2**20:.0f} MiB | {most / 2**20:.0f} MiB |", flush=True)
            code = run.wait()
        seconds = time.monotonic() - began
        with (out / "metrics.csv").open(encoding="utf-8", newline="") as table:
            done = sum(row["status"] == "done" for row in csv.DictReader(table))
    print(f"\n{done} of {args.files} done in {seconds:.0f} s, exit code {code}")
    return 0 if done == args.files and most <= args.memory * 2**30 else 1


if __name__ == "__main__":
    sys.exit(main())
