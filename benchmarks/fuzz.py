"""Damaged files: thousands of seeded mutations of small image files, each a whole result or a clear failed row.

    python benchmarks/fuzz.py tests/data/images odd-files --count 5000

Mutations: cut off, bytes changed, bits flipped, zeros written over, parts left out, repeated or swapped, numbers of the
header made huge or zero. They run in child processes of `--batch` files each, whose end (a crash), a file over
`--seconds` (a hang) and memory over 2 GiB are found. Every output that is published is read again. Prints what came of
them; exit code 1 if anything but "done" and "failed with a reason" came up; the file is then kept in `--keep`.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from folderdenoise import images
from folderdenoise.batch import Settings, process_file
from folderdenoise.engine import Denoiser
from folderdenoise.folder import Task

MEMORY = 2048


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """One damaged copy of a file."""
    changed = bytearray(data)
    size = len(changed)
    head = min(size, 256)
    where = int(random.integers(size))
    length = int(min(size - where, random.integers(1, 64)))
    match int(random.integers(8)):
        case 0:
            del changed[where:]
        case 1:
            for place in random.integers(0, size, 4):
                changed[place] = random.integers(256)
        case 2:
            for place in random.integers(0, head, 2):
                changed[place] ^= 1 << int(random.integers(8))
        case 3:
            changed[where : where + length] = bytes(length)
        case 4:
            del changed[where : where + length]
        case 5:
            changed[where:where] = changed[where : where + length]
        case 6:
            other = int(random.integers(size))
            changed[where : where + length], changed[other : other + length] = (
                changed[other : other + length],
                changed[where : where + length],
            )
        case _:
            place = int(random.integers(head))
            number = (b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff", b"\0\1\0\0")[int(random.integers(4))]
            changed[place : place + 4] = number
    return bytes(changed)


def judge(path: Path, out: Path, denoiser: Denoiser) -> tuple[str, str]:
    """What became of a file: "done", "failed", or what should not be; and the notes."""
    task = Task(path, path.name, out / path.name)
    outcome = process_file(task, denoiser, Settings(strength=0.0, max_megapixels=16))
    leftovers = [other.name for other in out.iterdir() if other != task.output]
    if leftovers:
        return f"leftovers {leftovers}", outcome.notes
    if outcome.status == "failed":
        if task.output.exists() or path.name not in outcome.notes or "unexpected" in outcome.notes:
            return "unclear failure", outcome.notes
        return "failed", outcome.notes
    images.read(task.output)
    task.output.unlink()
    return "done", outcome.notes


def _work(jobs: Sequence[tuple[int, str]], folder: str, results: multiprocessing.SimpleQueue) -> None:
    denoiser, out = Denoiser(), Path(folder) / "out"
    out.mkdir(exist_ok=True)
    for seed, name in jobs:
        source = Path(name)
        path = Path(folder) / source.name
        path.write_bytes(mutated(source.read_bytes(), np.random.default_rng(seed)))
        results.put((seed, "started", ""))
        verdict, notes = judge(path, out, denoiser)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        results.put((seed, "over 2 GiB" if peak > MEMORY else verdict, notes))
        path.unlink()


def run(jobs: list[tuple[int, str]], seconds: float) -> list[tuple[int, str, str]]:
    """The verdicts (seed, verdict, notes) of (seed, file) pairs, worked off in child processes."""
    verdicts: list[tuple[int, str, str]] = []
    context = multiprocessing.get_context("spawn")
    while jobs:
        with tempfile.TemporaryDirectory() as folder:
            results = context.SimpleQueue()
            process = context.Process(target=_work, args=(jobs, folder, results))
            process.start()
            finished, since, why = 0, time.monotonic(), "crash"
            while process.is_alive() or not results.empty():
                if results.empty():
                    process.join(0.02)
                    if finished and time.monotonic() - since > seconds:
                        why = "hang"
                        process.kill()
                        process.join()
                    continue
                seed, verdict, notes = results.get()
                since = time.monotonic()
                if verdict != "started":
                    verdicts.append((seed, verdict, notes))
                    finished += 1
            if finished < len(jobs):
                verdicts.append((jobs[finished][0], why, f"exit code {process.exitcode}"))
                finished += 1
            jobs = jobs[finished:]
    return verdicts


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0, help="of the first mutation; the next has the next")
    parser.add_argument("--largest", type=int, default=60_000, help="bytes; larger files are left out")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--keep", type=Path, help="folder for the files that found something")
    arguments = parser.parse_args()
    files = [path for folder in arguments.folders for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in files if path.suffix.lower() in images.EXTENSIONS]
    files = [path for path in files if 0 < path.stat().st_size <= arguments.largest]
    jobs = [(arguments.seed + i, str(files[i % len(files)])) for i in range(arguments.count)]
    counts = collections.Counter[str]()
    for first in range(0, len(jobs), arguments.batch):
        for seed, verdict, notes in run(jobs[first : first + arguments.batch], arguments.seconds):
            counts[verdict] += 1
            if verdict not in ("done", "failed"):
                name = jobs[seed - arguments.seed][1]
                print(f"seed {seed}, {name}: {verdict}: {notes}", flush=True)
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    data = mutated(Path(name).read_bytes(), np.random.default_rng(seed))
                    (arguments.keep / f"{seed}-{Path(name).name}").write_bytes(data)
    print(
        f"{sum(counts.values())} mutations of {len(files)} files: " + ", ".join(f"{n} {v}" for v, n in counts.items())
    )
    return 0 if set(counts) <= {"done", "failed"} else 1


if __name__ == "__main__":
    sys.exit(main())
