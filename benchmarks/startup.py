"""From the start of the program to its first result: the command, and the library's door.

    python benchmarks/startup.py

Each is a process of its own on one small image (640 × 480 pixels, JPEG), several times; the first, which may have to
bring files from the disk, is shown apart. Without a graphical card in the machine nothing else is looked for.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
from throughput import EXAMPLES, scene

DOOR = "import sys, cv2, folderdenoise; cv2.imwrite(sys.argv[2], folderdenoise.denoise(cv2.imread(sys.argv[1])))"


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = folder / "small.jpg"
        sources = sorted(EXAMPLES.rglob("*.png"))
        cv2.imwrite(str(source), scene(480, 640, 3, 0, sources))
        print("| what | first | median of the others | least |\n|---|---|---|---|")
        tool = [sys.executable, "-m", "folderdenoise"]
        for name, command in {
            "`folderdenoise run`, one image": [*tool, "run", str(source), "--out", str(folder / "out"), "--overwrite"],
            "`folderdenoise.denoise`, one image": [sys.executable, "-c", DOOR, str(source), str(folder / "door.png")],
            "`folderdenoise --help`": [*tool, "--help"],
        }.items():
            first, *others = (seconds(command) for _ in range(args.times))
            print(f"| {name} | {first:.2f} s | {sorted(others)[len(others) // 2]:.2f} s | {min(others):.2f} s |")


if __name__ == "__main__":
    main()
