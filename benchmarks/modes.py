"""How the bare network does with so many streams and threads, and in tiles of another size: rate, and peak memory.

    python benchmarks/modes.py                   streams × threads at the default tile, then tile sizes on all cores
    python benchmarks/modes.py --model gray-leaky --precision f32

Each row is of a process of its own: how long one tile takes, megapixels of picture a second (overlap and padding are
computed, but do not count), and the peak of its memory less what it had before the first inference, by pixel of a tile
and stream. One stream on all threads is what runtimes call the latency mode, a stream for each thread the throughput
mode. On two cores that do 0.7 megapixels a second each, all of it takes three minutes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

from bare import BareNetwork

from folderdenoise import machine, zoo
from folderdenoise.runtime import prefers_bf16
from folderdenoise.tiles import DEFAULT_CORE, layout

HEIGHT, WIDTH = 3000, 4000


def measure(args: argparse.Namespace, threads: int, streams: int, core: int | None) -> dict[str, float]:
    """``core`` is the side of the part of a tile that counts; None for strips as wide as the image."""
    card = zoo.find(args.model)
    height, width = round(args.scale * HEIGHT), round(args.scale * WIDTH)
    side = None if core is None else core + 2 * card.overlap + 24
    tall, rows = layout(height, 1024 if core is None else side, card.overlap, card.size_multiple)
    wide, columns = layout(width, width if core is None else side, card.overlap, card.size_multiple)
    network = BareNetwork(card, args.precision, tall, wide, threads, streams)
    before = _peak()
    network.seconds(streams)
    spent, count = 0.0, 0
    while spent < args.seconds:
        spent += network.seconds(2 * streams)
        count += 2 * streams
    each = spent / count
    computed = tall * wide * len(rows) * len(columns)
    return {
        "seconds": each * streams,
        "rate": height * width / 1e6 / (each * len(rows) * len(columns)),
        "waste": 1 - height * width / computed,
        "bytes": (_peak() - before) / (tall * wide * streams),
    }


def _peak() -> int:
    scale = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def apart(args: argparse.Namespace, threads: int, streams: int, core: int | None) -> dict[str, float]:
    """:func:`measure` in a process of its own."""
    command = [sys.executable, __file__, "--one", json.dumps([threads, streams, core])]
    command += ["--model", args.model, "--precision", args.precision, "--seconds", str(args.seconds)]
    command += ["--scale", str(args.scale)]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="rgb-leaky")
    parser.add_argument("--precision", choices=["bf16", "f32"], help="Default: the faster one.")
    parser.add_argument("--seconds", type=float, default=10.0, help="At the least, for each row.")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="Of the picture's sides: a small one to try the script."
    )
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.precision = args.precision or ("bf16" if prefers_bf16() else "f32")
    if args.one:
        print(json.dumps(measure(args, *args.one)))
        return
    cores = machine.cores()
    print(f"{args.model}, {args.precision}, {cores} cores, a picture of {WIDTH} × {HEIGHT} pixels\n")
    print("| threads | streams | one tile | megapixels/s | bytes for each pixel of a tile and stream |")
    print("|---|---|---|---|---|")
    for threads in sorted({1, cores // 2 or 1, cores}):
        for streams in sorted({1, threads // 2 or 1, threads}):
            found = apart(args, threads, streams, DEFAULT_CORE)
            cells = f"{found['seconds']:.2f} s | {found['rate']:.2f} | {found['bytes']:.0f}"
            print(f"| {threads} | {streams} | {cells} |", flush=True)
    print("\n| tiles, a stream for each core | one tile | megapixels/s | overlap and padding | bytes for each pixel |")
    print("|---|---|---|---|---|")
    for core in (256, 512, 1024, DEFAULT_CORE, 2048, None):
        found = apart(args, cores, cores, core)
        name = "strips 1024 high, full width" if core is None else f"core of {core}"
        cells = f"{found['seconds']:.2f} s | {found['rate']:.2f} | {found['waste']:.0%} | {found['bytes']:.0f}"
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
