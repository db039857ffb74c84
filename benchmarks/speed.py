"""Milliseconds per megapixel of models and of their peers, measured in turns within one run.

    python benchmarks/speed.py --methods rgb-leaky,dncnn,ffdnet,opencv-nlm

``dncnn`` and ``ffdnet`` are graphs of those networks' shapes with random weights, in the same runtime as the models:
DnCNN-B (K. Zhang et al., IEEE TIP 2017, https://arxiv.org/abs/1608.03981) of 20 layers of 64 channels, and FFDNet
(K. Zhang et al., IEEE TIP 2018, https://arxiv.org/abs/1710.04026) of 12 layers of 96 channels (gray: 15 of 64) at half
resolution. Time depends on the shape alone.

Every round runs each contestant once, so that a machine whose speed drifts slows all of them alike; the ratio is the
median of the rounds' ratios. The arithmetic peak is the best that anything reaches in the same run, runtime, precision
and number of threads: matrix products, a stack of plain convolutions, and the contestants themselves. The share of it
is of processor time, in the least round of each, so that other work on the machine hardly counts; for the milliseconds,
keep the machine idle.
"""

from __future__ import annotations

import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
import cv2
import numpy as np
from graphs import GraphBuilder, build_dncnn, build_ffdnet, build_matrix_product
from numpy.typing import NDArray
from peers import PEERS, find_methods

from folderdenoise import runtime, tiles, zoo
from folderdenoise.errors import FolderDenoiseError, UsageError
from folderdenoise.zoo import ModelCard

DEFAULT_METHODS = "rgb-leaky,dncnn,ffdnet,opencv-nlm"
NETWORK_PEERS = ("dncnn", "ffdnet")
SIGMA = 25.0
PROBE_MATRICES = (512, 2048)
PROBE_LAYERS, PROBE_CHANNELS, PROBE_SIZE = 16, 64, 128

Floats = NDArray[np.float32]


@dataclass
class Contestant:
    """Something to be timed: ``run`` on ``megapixels``; one time on the clock and on the processor for each round.

    ``kmac_per_pixel`` is in thousands of multiply-accumulates, None where they are not counted; ``precision`` None for
    methods without a network.
    """

    name: str
    precision: str | None
    run: Callable[[], object]
    megapixels: float
    kmac_per_pixel: float | None = None
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)

    def milliseconds(self) -> list[float]:
        """Per megapixel, for each round."""
        return [1000 * seconds / self.megapixels for seconds in self.seconds]


class Network:
    """An ONNX graph in the tool's runtime with the tool's settings, without the checks of ``runtime.Graph``."""

    def __init__(self, graph: bytes, precision: str, threads: int, inputs: tuple[str, ...] = ("image",)) -> None:
        runtime.has_bf16()  # imports OpenVINO, with its telemetry shut off
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        self._request = core.compile_model(core.read_model(graph), "CPU", settings).create_infer_request()
        self._rest = {"strength": np.asarray(1, np.float32)} if "strength" in inputs else {}

    def __call__(self, image: Floats) -> Floats:
        self._request.infer({"image": image, **self._rest}, share_inputs=True)
        return self._request.get_tensor("denoised").data


def build_probes(precision: str, threads: int) -> list[Contestant]:
    """Work that comes close to the arithmetic peak. kMAC are for each number of the matrix, or pixel of the image."""
    rng = np.random.default_rng(0)
    probes = []
    for size in PROBE_MATRICES:
        product = Network(build_matrix_product(size), precision, threads)
        matrix = rng.normal(size=(size, size)).astype(np.float32)
        run = functools.partial(product, matrix)
        probes.append(Contestant(f"a {size}×{size} matrix product", precision, run, size**2 / 1e6, size / 1000))
    builder = GraphBuilder()
    planes = builder.add("Transpose", "image", perm=[0, 3, 1, 2])
    planes = builder.convolutions(planes, (PROBE_CHANNELS,) * (PROBE_LAYERS + 1), 1)
    builder.add("Transpose", planes, output="denoised", perm=[0, 2, 3, 1])
    wide = Network(builder.finish(PROBE_CHANNELS), precision, threads)
    image = rng.normal(size=(1, PROBE_SIZE, PROBE_SIZE, PROBE_CHANNELS)).astype(np.float32)
    name = f"a stack of 3×3 convolutions of {PROBE_CHANNELS} channels"
    run = functools.partial(wide, image)
    return [*probes, Contestant(name, precision, run, PROBE_SIZE**2 / 1e6, builder.kmac_per_pixel)]


def noisy_scene(width: int, height: int, channels: int) -> NDArray[np.uint8]:
    """A gradient with noise of ``SIGMA``, ``(height, width, channels)``."""
    rows, columns = np.linspace(40, 120, height), np.linspace(0, 100, width)
    scene = (rows[:, np.newaxis] + columns)[:, :, np.newaxis] * np.ones(channels)
    noise = np.random.default_rng(0).normal(size=scene.shape) * SIGMA
    return np.clip(np.rint(scene + noise), 0, 255).astype(np.uint8)


def repeated_share(card: ModelCard, width: int, height: int, tile: int | None) -> float:
    """Pixels that the network works on beyond those of the image, as a share of the image."""
    tall, rows = tiles.layout(height, tile, card.overlap, card.size_multiple)
    wide, columns = tiles.layout(width, tile, card.overlap, card.size_multiple)
    return tall * len(rows) * wide * len(columns) / (width * height) - 1


@dataclass(frozen=True)
class Setup:
    """What is measured on: image side, photograph (width, height) and tile in pixels, threads, channels, precisions."""

    size: int
    photograph: tuple[int, int]
    tile: int | None
    threads: int
    channels: int
    precisions: tuple[str, ...]


def contestants(names: list[str], setup: Setup) -> tuple[list[Contestant], list[Contestant], list[Contestant]]:
    """The untiled contestants in the order of the names, the models on the photograph, the probes."""
    whole: list[Contestant] = []
    tiled: list[Contestant] = []
    image = noisy_scene(setup.size, setup.size, setup.channels)
    floats = tiles.to_float(image)[np.newaxis]
    photograph = noisy_scene(*setup.photograph, setup.channels)
    for name in names:
        if name in PEERS:
            (method,) = find_methods(name)
            whole.append(_contestant(name, None, lambda m=method: m.denoise(image, SIGMA), image))
            continue
        card = None if name in NETWORK_PEERS else zoo.find(name)
        if card and card.channels != setup.channels:
            raise UsageError(f"{name} takes {card.channels} channels, not {setup.channels}: see --gray")
        if card:
            graph, kmac = zoo.read_graph(card), card.kmac_per_pixel
        else:
            graph, kmac = (build_dncnn if name == "dncnn" else build_ffdnet)(setup.channels)
        for precision in setup.precisions:
            network = Network(graph, precision, setup.threads, card.inputs if card else ("image",))
            whole.append(_contestant(name, precision, lambda n=network: n(floats), image, kmac))
            if card:
                tiled.append(
                    _contestant(
                        name,
                        precision,
                        lambda n=network, c=card: tiles.denoise_tiled(
                            photograph, n, tile=setup.tile, overlap=c.overlap, multiple=c.size_multiple
                        ),
                        photograph,
                    )
                )
    probes = [probe for precision in setup.precisions for probe in build_probes(precision, setup.threads)]
    return whole, tiled, probes


def _contestant(
    name: str, precision: str | None, run: Callable[[], object], image: NDArray[np.uint8], kmac: float | None = None
) -> Contestant:
    return Contestant(Path(name).name, precision, run, image.shape[0] * image.shape[1] / 1e6, kmac)


def race(runners: list[Contestant], rounds: int) -> None:
    """Time each runner once a round, after one run that is not counted."""
    for runner in runners:
        runner.run()
    with click.progressbar(range(rounds), label="rounds", file=sys.stderr) as bar:
        for _ in bar:
            for runner in runners:
                processor, start = time.process_time(), time.perf_counter()
                runner.run()
                runner.seconds.append(time.perf_counter() - start)
                runner.processor_seconds.append(time.process_time() - processor)


def gflop_per_second(contestant: Contestant) -> float:
    """For each second of one core, in the least round; a multiply-accumulate is two operations."""
    return 2 * contestant.kmac_per_pixel * contestant.megapixels / min(contestant.processor_seconds)


def peak(runners: list[Contestant], precision: str) -> Contestant:
    """The one of a precision with the most arithmetic a second."""
    return max((runner for runner in runners if runner.precision == precision), key=gflop_per_second)


def table(whole: list[Contestant], tiled: list[Contestant], probes: list[Contestant], width: int) -> str:
    """Markdown; ``width`` is the side of the image that the untiled contestants saw."""
    photographs = {(runner.name, runner.precision): runner for runner in tiled}
    lines = [
        f"| method | precision | kMAC/px | ms/MP, median (least), {width}×{width} | times the first | share of peak "
        "| ms/MP, photograph in tiles |",
        "|---|---|---|---|---|---|---|",
    ]
    for runner in whole:
        times = runner.milliseconds()
        share = ""
        if runner.precision:
            share = f"{gflop_per_second(runner) / gflop_per_second(peak([*probes, *whole], runner.precision)):.0%}"
        photograph = photographs.get((runner.name, runner.precision))
        cells = [
            runner.name,
            runner.precision or "",
            f"{runner.kmac_per_pixel:.1f}" if runner.kmac_per_pixel else "",
            f"{statistics.median(times):,.0f} ({min(times):,.0f})",
            f"{_ratio(runner, _first(whole, runner.precision)):.2f}",
            share,
            f"{statistics.median(photograph.milliseconds()):,.0f}" if photograph else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _first(whole: list[Contestant], precision: str | None) -> Contestant:
    """What a row is compared with: the first row of its precision; for methods without a network, the first row."""
    return next((runner for runner in whole if precision and runner.precision == precision), whole[0])


def _ratio(runner: Contestant, first: Contestant) -> float:
    return statistics.median(a / b for a, b in zip(runner.milliseconds(), first.milliseconds(), strict=True))


def _notes(whole: list[Contestant], probes: list[Contestant], names: list[str], setup: Setup, rounds: int) -> str:
    wide, tall = setup.photograph
    lines = [
        f"- {setup.threads} thread(s), {rounds} rounds in turns. Times the first: median of the rounds' ratios, to the "
        f"first row of the same precision (methods without a network: to {whole[0].name} {whole[0].precision or ''})."
    ]
    for precision in setup.precisions:
        best = peak([*probes, *whole], precision)
        lines.append(f"- peak {precision}: {gflop_per_second(best):,.0f} GFLOP/s a core, reached by: {best.name}")
    for name in names:
        if name in PEERS:
            lines.append(f"- {name}: {PEERS[name].settings}, sigma {SIGMA:g}")
        elif name not in NETWORK_PEERS:
            card = zoo.find(name)
            lines.append(
                f"- {card.name}: overlap {card.overlap}, a {wide}×{tall} photograph in tiles takes "
                f"{repeated_share(card, wide, tall, setup.tile):.1%} more pixels through the network than it has"
            )
    return "\n".join(lines)


def _read_size(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in value.lower().replace("×", "x").split("x"))
    except ValueError:
        raise click.BadParameter(f"must be WIDTHxHEIGHT. Received: {value!r}") from None
    return width, height


@click.command()
@click.option("--methods", default=DEFAULT_METHODS, show_default=True, help="Models, dncnn, ffdnet, and peers.")
@click.option("--size", type=click.IntRange(16), default=1024, show_default=True, help="Side of the image.")
@click.option("--photograph", default="4000x3000", show_default=True, callback=_read_size, help="What is tiled.")
@click.option("--tile", type=click.IntRange(1), help="Side of a tile; the tool's own choice if not given.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--precision", type=click.Choice(["f32", "bf16"]), help="One of them only.")
@click.option("--gray", is_flag=True, help="Images and network peers of one channel.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Every time measured.")
def main(
    methods: str,
    size: int,
    photograph: tuple[int, int],
    tile: int | None,
    threads: int,
    rounds: int,
    precision: str | None,
    gray: bool,
    json_path: Path | None,
) -> None:
    """Milliseconds per megapixel of models and peers, measured in turns."""
    cv2.setNumThreads(threads)
    names = [name.strip() for name in methods.split(",") if name.strip()]
    try:
        if precision == "bf16" and not runtime.has_bf16():
            raise UsageError("this processor has no bf16 arithmetic")
        both = ("f32", "bf16") if runtime.has_bf16() else ("f32",)
        setup = Setup(size, photograph, tile, threads, 1 if gray else 3, (precision,) if precision else both)
        whole, tiled, probes = contestants(names, setup)
    except FolderDenoiseError as error:
        raise click.ClickException(str(error)) from error
    if not whole:
        raise click.ClickException("no methods given")
    race([*whole, *tiled, *probes], rounds)
    click.echo(f"{table(whole, tiled, probes, size)}\n\n{_notes(whole, probes, names, setup, rounds)}")
    if json_path:
        runners = [("whole", r) for r in whole] + [("tiled", r) for r in tiled] + [("probe", r) for r in probes]
        record = [
            {
                "kind": kind,
                "name": r.name,
                "precision": r.precision,
                "kmac_per_pixel": r.kmac_per_pixel,
                "ms_per_megapixel": r.milliseconds(),
                "processor_ms_per_megapixel": [1000 * seconds / r.megapixels for seconds in r.processor_seconds],
            }
            for kind, r in runners
        ]
        json_path.write_text(json.dumps(record, indent=1), "utf-8")


if __name__ == "__main__":
    main()
