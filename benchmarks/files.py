"""Every file of a folder of odd files gives a whole result or a reason: one process a file, memory and time measured.

    python benchmarks/files.py odd-files
    python benchmarks/files.py my-odd-files --model gray-mnist

Prints a Markdown table: what became of each file, its notes or the reason, seconds and peak memory (of the whole
process, start included). A result is opened with Pillow (a TIFF with tifffile) and compared in size, mode, pages,
profile and orientation with the original as the same program opens that.
Exit code 1 if a file ended the process in another way than a row, or took more than 60 s or 2 GiB.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import tifffile
from PIL import Image

SECONDS, MEBIBYTES = 60, 2048


@dataclass(frozen=True)
class Result:
    """``status``: "done", "failed", "skipped" or "CRASHED"; ``why``: notes or reason; ``check``: by another program."""

    status: str
    why: str
    seconds: float
    mebibytes: float
    check: str = ""


def run(source: Path, out: Path, options: list[str]) -> Result:
    """`folderdenoise run` on one file, in a process of its own."""
    command = [sys.executable, "-m", "folderdenoise", "run", str(source), "--out", str(out), "--quiet", *options]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, mebibytes = time.monotonic() - started, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    if process.returncode not in (0, 1):
        return Result("CRASHED", f"exit code {process.returncode}", seconds, mebibytes)
    table = out / "metrics.csv"
    rows = list(csv.DictReader(table.open(encoding="utf-8"))) if table.exists() else []
    if not rows:
        return Result("skipped", "not an image by its name", seconds, mebibytes)
    row = rows[-1]
    why = row["notes"].replace(f"{source}: ", "").replace(f"'{source}: ", "")
    check = compare(source, out / source.name) if row["status"] == "done" else ""
    return Result(row["status"], why, seconds, mebibytes, check)


def compare(source: Path, result: Path) -> str:
    """ "same", or what another program finds different."""
    seen = [describe(path) for path in (source, result)]
    different = [f"{key}: {seen[0][key]} -> {seen[1].get(key)}" for key in seen[0] if seen[0][key] != seen[1].get(key)]
    return "; ".join(different) or "same"


def describe(path: Path) -> dict[str, object]:
    """What Pillow, or else tifffile, sees of a file."""
    if path.read_bytes()[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        with tifffile.TiffFile(path) as file:
            pages = [page for page in file.pages if not page.is_reduced]
            return {
                "pages": [
                    (page.imagewidth, page.imagelength, page.samplesperpixel, page.bitspersample) for page in pages
                ],
                "colours": [int(page.photometric) for page in pages],
                "compression": [int(page.compression) for page in pages],
                "profile": [page.tags[34675].value if 34675 in page.tags else None for page in pages],
                "orientation": [page.tags[274].value if 274 in page.tags else 1 for page in pages],
            }
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            return {
                "format": image.format,
                "size": image.size,
                "mode": image.mode,
                "pages": getattr(image, "n_frames", 1),
                "profile": image.info.get("icc_profile"),
                "orientation": image.getexif().get(0x0112, 1),
            }
    except (OSError, SyntaxError, ValueError) as error:
        return {"Pillow": type(error).__name__}


def main() -> int:
    """Run over the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="auto")
    arguments = parser.parse_args()
    bad, counts = 0, dict[str, int]()
    print("| file | result | seconds | MiB | another program | notes or reason |\n|---|---|---|---|---|---|")
    for source in sorted(path for path in arguments.folder.rglob("*") if path.is_file()):
        with tempfile.TemporaryDirectory() as temporary:
            result = run(source, Path(temporary) / "out", ["--model", arguments.model])
        counts[result.status] = counts.get(result.status, 0) + 1
        bad += result.status == "CRASHED" or result.seconds > SECONDS or result.mebibytes > MEBIBYTES
        cells = [str(source.relative_to(arguments.folder)), result.status, f"{result.seconds:.1f}",
                 f"{result.mebibytes:.0f}", result.check, result.why]  # fmt: skip
        print("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |", flush=True)
    print("\n" + ", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
