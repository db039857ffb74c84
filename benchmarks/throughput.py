"""Whether the network is the only cost: `folderdenoise run` over a folder beside the bare network on the same tiles.

    python benchmarks/throughput.py             the table: folders × models × precisions
    python benchmarks/throughput.py --stages    where the time of one file goes, on one thread

Needs nothing but this package. The folders are made of the pictures in examples/scans (or of --images): 12-megapixel
JPEGs, 300-dpi A4 pages as LZW TIFF, and small JPEGs. "Bare network" is the time for the same tiles through the same
graph, compiled before, as many at once as the run has streams, without reading or writing anything; "share" is that by
the time of the run, its start and its compilation of the graph included. "Twice" is how many of the pixels that the
network computes are overlap or padding. All figures of a table are of one run of this script.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bare import BareNetwork
from numpy.typing import NDArray

from folderdenoise import images, job, pages, resources, zoo
from folderdenoise.batch import Outcome, Report
from folderdenoise.engine import Denoiser
from folderdenoise.folder import Plan, Selection
from folderdenoise.order import Order
from folderdenoise.pages import Settings
from folderdenoise.resume import sha256_of
from folderdenoise.scratch import Scratch
from folderdenoise.table import Row
from folderdenoise.tiles import layout

EXAMPLES = Path(__file__).parent.parent / "examples" / "scans"
KINDS = {
    "12-megapixel JPEG": (".jpg", 3000, 4000, 3),
    "A4 300 dpi TIFF": (".tif", 3508, 2480, 1),
    "0.3-megapixel JPEG": (".jpg", 480, 640, 3),
}
MODELS = {1: "gray-leaky", 3: "rgb-leaky"}
STAGES = ("read", "hash", "network", "measure", "write", "read back")


class Silent:
    """A listener that tells of warnings alone."""

    def started(self, plan: Plan) -> None: ...

    def skipped(self, path: Path, reason: str) -> None: ...

    def noted(self, message: str) -> None: ...

    def warned(self, message: str) -> None:
        print(f"Warning: {message}", file=sys.stderr)

    def finished_file(self, outcome: Outcome) -> None: ...

    def finished(self, report: Report, interrupted: bool) -> None: ...


def scene(height: int, width: int, channels: int, seed: int, sources: Sequence[Path]) -> NDArray[np.uint8]:
    """A noisy picture of that size, put together from a real one: (H, W, 3) BGR or (H, W)."""
    source = sources[seed % len(sources)]
    picture = cv2.imread(str(source), cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise SystemExit(f"{source}: cannot be read. Give a folder of photographs with --images.")
    times = (-(height // -picture.shape[0]), -(width // -picture.shape[1]), 1)[: picture.ndim]
    whole = np.tile(picture, times)[:height, :width]
    noise = np.random.default_rng(seed).standard_normal(whole.shape, np.float32) * 12
    return np.clip(np.rint(whole + noise), 0, 255).astype(np.uint8)


def size_of(kind: str, scale: float) -> tuple[int, int]:
    """Height and width in pixels."""
    _, height, width, _ = KINDS[kind]
    return round(scale * height), round(scale * width)


def make(folder: Path, kind: str, count: int, args: argparse.Namespace) -> list[Path]:
    suffix, _, _, channels = KINDS[kind]
    height, width = size_of(kind, args.scale)
    sources = sorted(path for path in args.images.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not sources:
        raise SystemExit(f"{args.images}: holds no PNG or JPEG files. Give a folder of photographs with --images.")
    folder.mkdir(parents=True)
    made = [folder / f"{index:05}{suffix}" for index in range(count)]
    options = [cv2.IMWRITE_TIFF_COMPRESSION, 5] if suffix == ".tif" else [cv2.IMWRITE_JPEG_QUALITY, 92]
    for index, path in enumerate(made):
        cv2.imwrite(str(path), scene(height, width, channels, index, sources), options)
    return made


def tiles_of(height: int, width: int, model: str, tile: int | None) -> tuple[int, int, int]:
    """Height, width and number of the tiles of an image."""
    card = zoo.find(model)
    tall, rows = layout(height, tile, card.overlap, card.size_multiple)
    wide, columns = layout(width, tile, card.overlap, card.size_multiple)
    return tall, wide, len(rows) * len(columns)


def bare(model: str, precision: str, tall: int, wide: int, count: int, threads: int | None, streams: int) -> float:
    """Seconds of the network alone for so many tiles."""
    network = BareNetwork(zoo.find(model), precision, tall, wide, threads, streams)
    network.seconds(streams)
    return network.seconds(count)


def table(folder: Path, args: argparse.Namespace) -> None:
    print("| folder | model | precision | streams | bare network | `run` | share | megapixels/s | twice |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind, (_, _, _, channels) in KINDS.items():
        height, width = size_of(kind, args.scale)
        count = args.small if kind.startswith("0.3") else args.files
        made = make(folder / kind, kind, count, args)
        for precision in args.precision:
            model = MODELS[channels]
            out = folder / f"{kind} {precision}"
            order = Order(made[0].parent, out, model, precision=precision, threads=args.threads, metrics=args.metrics)
            given = job.resources_for(order, count)
            tall, wide, number = tiles_of(height, width, model, given.tile)
            alone = bare(model, precision, tall, wide, count * number, given.threads, given.streams)
            began = time.perf_counter()
            if code := job.run(order, Selection(), Silent()):
                raise SystemExit(f"the run over {kind} ended with exit code {code}: see {out / 'metrics.csv'}")
            whole = time.perf_counter() - began
            print(
                f"| {count} × {kind} | {model} | {precision} | {given.streams} | {alone:.1f} s | {whole:.1f} s | "
                f"{alone / whole:.0%} | {count * height * width / whole / 1e6:.2f} | "
                f"{1 - height * width / (tall * wide * number):.0%} |",
                flush=True,
            )


def stages(folder: Path, args: argparse.Namespace) -> None:
    """One file alone, stage by stage."""
    print(f"| file | precision | {' | '.join(STAGES)} |\n|---|---|{'---|' * len(STAGES)}")
    resources.bound_pools(resources.choose(threads=1, jobs=1))
    for kind, (_, _, _, channels) in KINDS.items():
        (source,) = make(folder / kind, kind, 1, args)
        for precision in args.precision:
            denoiser = Denoiser(MODELS[channels], precision=precision, threads=1)
            process(source, folder, denoiser, Settings(metrics=args.metrics))  # the first time sets things up
            spent = process(source, folder, denoiser, Settings(metrics=args.metrics))
            cells = [f"{1000 * spent[name]:.0f} ms, {spent[name] / sum(spent.values()):.1%}" for name in STAGES]
            print(f"| {kind} | {precision} | {' | '.join(cells)} |", flush=True)


def process(source: Path, out: Path, denoiser: Denoiser, settings: Settings) -> dict[str, float]:
    """Seconds of each stage that ``pages.process`` has for a file of one page."""
    spent: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        spent[stage] = time.perf_counter() - began
        return result

    scratch = Scratch(out)
    file = timed("read", lambda: images.read(source, scratch=scratch))
    timed("hash", lambda: sha256_of(source))
    pixels = file.pages[0].pixels
    denoised = scratch.empty(pixels.shape, pixels.dtype)
    timed("network", lambda: denoiser.denoise(pixels, into=denoised))
    timed("measure", lambda: pages.measured(Row(source.name), pixels, denoised, settings))
    result = replace(file, pages=(replace(file.pages[0], pixels=denoised),))
    target = out / f"result{source.suffix}"
    timed("write", lambda: images.write(result, target))
    timed("read back", lambda: images.verify(result, target, scratch))
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", action="store_true", help="Where the time of one file goes.")
    parser.add_argument("--files", type=int, default=8, help="Large files in a folder.")
    parser.add_argument("--small", type=int, default=300, help="Small files in a folder.")
    parser.add_argument("--precision", nargs="+", default=["bf16", "f32"], choices=["bf16", "f32"])
    parser.add_argument("--threads", type=int, help="As for folderdenoise run.")
    parser.add_argument("--metrics", default="fast", choices=["none", "fast", "full"], help="As for folderdenoise run.")
    parser.add_argument("--images", type=Path, default=EXAMPLES, help="Photographs that the files are made of.")
    parser.add_argument("--scale", type=float, default=1.0, help="Of the files' sides: a small one to try the script.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (stages if args.stages else table)(Path(folder), args)


if __name__ == "__main__":
    main()
