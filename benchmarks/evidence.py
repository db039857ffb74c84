"""How far the evidence without a clean original can be trusted: held against images whose clean version is known.

    python benchmarks/evidence.py --images Kodak24 --real nam

Prints Markdown tables for ``docs/evidence.md``. Conventions: noise for image i, counted over the images used in the
order of their names, is ``numpy.random.default_rng(i).normal(size=shape) * sigma``, clipped and rounded to 8 bits.
``--real`` has pairs of the same names in ``noisy`` and ``clean``. Grayscale models get the luma (BT.601).

True gain: the PSNR of the result less that of the noisy image, both against the clean one. Beside
``estimated_psnr_gain`` stands Stein's estimate by Monte Carlo, with the noise taken as white and as strong as the
network saw it. True noise: the deviation of the noisy image from the clean one, clipped and rounded as it is.

Detail removed: the share of the energy of the removed layer, input minus result, that does not follow the noise. In
each frequency of blocks of 16 × 16 pixels the layer is regressed on the true noise; what that leaves is signal. For a
linear filter this is exactly its effect on the clean image. A strength below 1 does not change it. Besides the models,
methods that eat detail are measured: blurs, and OpenCV's non-local means, told the noise and twice the noise. Told
apart: of two results of one noisy image, how often the one with more ``structure_removed`` has lost more detail.

Times are those of the processor, on one thread, in the precision that the tool chooses for 8-bit images: the images as
they are, and a mosaic of them of the size of a photograph.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import click
import cv2
import numpy as np
from evidence_tables import REAL, Gain, Removed, gains_table, noise_table, removed_table
from numpy.typing import NDArray
from peers import PEERS, list_images, read_pixels

from folderdenoise import evidence, quality
from folderdenoise.engine import Denoiser
from folderdenoise.errors import FolderDenoiseError
from train.evaluate import add_noise, eight_bits

Image = NDArray[np.uint8]


def measure(
    model: str, denoiser: Denoiser, strengths: Sequence[float], name: str, noise: str, clean: Image, noisy: Image
) -> tuple[list[Gain], Removed]:
    """An image by a model at strength 1 and at ``strengths``, and what it removed at 1."""
    gains = []
    full = denoiser.denoise(noisy)
    before = quality.scores(noisy, clean)
    for strength in (1.0, *strengths):
        result = full if strength == 1 else denoiser.denoise(noisy, strength)
        gains.append(
            Gain(
                model,
                noise,
                name,
                strength,
                quality.scores(result.pixels, clean).psnr - before.psnr,
                evidence.estimated_gain(noisy, denoiser, strength),
                stein(noisy, full.pixels, denoiser, full.noise_level) if strength == 1 else None,
                255 * math.sqrt(before.mse),
                quality.noise_level(noisy),
                evidence.flat_noise(noisy),
                None if full.noise_level is None else 255 * full.noise_level,
            )
        )
    return gains, removed(model, name, noise, clean, noisy, full.pixels)


def removed(method: str, name: str, noise: str, clean: Image, noisy: Image, result: Image) -> Removed:
    """What a method removed."""
    layer = quality.to_unit(noisy) - quality.to_unit(result)
    true_noise = quality.to_unit(noisy) - quality.to_unit(clean)
    detail = detail_share(layer, true_noise)
    return Removed(method, noise, name, clean.shape[2] == 1, detail, evidence.residual_structure(noisy, result))


def detail_share(layer: NDArray[np.float64], noise: NDArray[np.float64]) -> float:
    """The share of the energy of (H, W, C) ``layer`` that does not follow ``noise``, see above; 0 of nothing."""
    spectra, cause = (evidence.block_spectra(plane.astype(np.float32)) for plane in (layer, noise))
    energy = np.square(np.abs(spectra)).sum(axis=0)
    follows = np.square(np.abs((cause.conj() * spectra).sum(axis=0))) / np.square(np.abs(cause)).sum(axis=0)
    return float(1.0 - follows.sum() / energy.sum()) if energy.sum() > 0 else 0.0


def stein(noisy: Image, denoised: Image, denoise: Denoiser, sigma: float | None) -> float | None:
    """The gain in dB by Monte-Carlo SURE (Ramani, Blu, Unser 2008, doi:10.1109/TIP.2008.2001404) for white noise of
    deviation ``sigma`` in [0, 1], between −10 and 40; None without ``sigma``.
    """
    if not sigma:
        return None
    before, after = quality.to_unit(noisy), quality.to_unit(denoised)
    probe = np.random.default_rng((2008, 17, 9, 0)).integers(0, 2, before.shape) * 2.0 - 1.0
    epsilon = max(sigma / 4, 1 / 255)
    answer = denoise((before + epsilon * probe).astype(np.float32)) - after
    error = np.mean(np.square(after - before)) - sigma**2 + 2 * sigma**2 * np.mean(probe * answer) / epsilon
    return min(max(10 * math.log10(sigma**2 / error), -10.0), 40.0) if error > 0 else 40.0


def eaters(sigma: float) -> dict[str, Callable[[Image], Image]]:
    """Methods that take detail away, told the deviation of the noise."""
    nlm = PEERS["opencv-nlm"].denoise
    return {
        "Gaussian blur 0.7 px": lambda image: _blurred(image, 0.7),
        "Gaussian blur 1.5 px": lambda image: _blurred(image, 1.5),
        "opencv-nlm": lambda image: eight_bits(nlm(image, sigma)),
        "opencv-nlm, told twice the noise": lambda image: eight_bits(nlm(image, 2 * sigma)),
    }


def _blurred(image: Image, radius: float) -> Image:
    return np.reshape(cv2.GaussianBlur(image, (0, 0), radius), image.shape)


def times_table(models: list[str], files: list[Path], photograph: tuple[int, int]) -> str:
    """Markdown: processor time of each estimate beside that of the network, for the first image and for a mosaic."""
    lines = ["| model | image | network | noise_before, _after | flat_noise, both | structure_removed | --estimate |"]
    lines.append("|---|---|---|---|---|---|---|")
    for model in models:
        denoiser = Denoiser(model, threads=1)
        gray = denoiser.card_for(3).channels == 1
        images = [eight_bits(add_noise(read_pixels(file, gray=gray), 25, 0, "files")) for file in files[:6]]
        for noisy in (images[0], mosaic(images, *photograph)):
            network, *others = seconds(denoiser, noisy)
            cells = " | ".join(f"{1000 * other:.0f} ms, {100 * other / network:.1f} %" for other in others)
            lines.append(f"| `{model}` | {noisy.shape[1]}×{noisy.shape[0]} | {1000 * network:.0f} ms | {cells} |")
    return "\n".join(lines)


def seconds(denoiser: Denoiser, noisy: Image) -> list[float]:
    """Processor time, in which other work on the machine does not count, of the network and of the table's columns: the
    best of three.
    """
    denoised = denoiser(noisy)
    denoiser(noisy[:64, :64].astype(np.float32) / 255)  # compiles it for floats, about which the estimate asks
    work: list[Callable[[], object]] = [
        lambda: denoiser(noisy),
        lambda: (quality.noise_level(noisy), quality.noise_level(denoised)),
        lambda: (evidence.flat_noise(noisy), evidence.flat_noise(denoised)),
        lambda: evidence.residual_structure(noisy, denoised),
        lambda: evidence.estimated_gain(noisy, denoiser),
    ]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    taken = []
    for one in work:
        times = []
        for _ in range(3):
            began = time.process_time()
            one()
            times.append(time.process_time() - began)
        taken.append(min(times))
    cv2.setNumThreads(threads)
    return taken


def mosaic(images: list[Image], width: int, height: int) -> Image:
    """The images, cut to the size of the smallest, next to each other until (height, width) is full."""
    high, wide = min(image.shape[0] for image in images), min(image.shape[1] for image in images)
    across, down = -(-width // wide), -(-height // high)
    rows = [[images[(row + place) % len(images)][:high, :wide] for place in range(across)] for row in range(down)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])[:height, :width]


def _size(context: click.Context, option: click.Parameter, value: str) -> tuple[int, int]:
    try:
        width, height = map(int, value.split("x"))
    except ValueError:
        raise click.BadParameter(f"{value}: give it as 4000x3000") from None
    return width, height


@click.command()
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="Clean.")
@click.option("--real", type=click.Path(exists=True, file_okay=False, path_type=Path), help="noisy/ and clean/ in it.")
@click.option("--count", type=click.IntRange(1), help="So many images (and pairs), evenly spread. Default: all.")
@click.option(
    "--sigma", "sigmas", type=click.FloatRange(1, 255), multiple=True, default=(10, 25, 50), show_default=True
)
@click.option(
    "--strength", "strengths", type=float, multiple=True, default=(0.5,), show_default=True, help="Besides 1."
)
@click.option("--models", default="rgb-leaky,gray-leaky", show_default=True)
@click.option("--photograph", default="4000x3000", show_default=True, callback=_size, help="Size of the mosaic.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Every image's figures too.")
def main(
    images: Path,
    real: Path | None,
    count: int | None,
    sigmas: tuple[float, ...],
    strengths: tuple[float, ...],
    models: str,
    photograph: tuple[int, int],
    json_path: Path | None,
) -> None:
    """Hold the evidence without a clean original against the truth."""
    names = [name.strip() for name in models.split(",")]
    files = _spread(list_images(images), count)
    pairs = _spread(list_images(real / "noisy"), count) if real else []
    gains: list[Gain] = []
    layers: list[Removed] = []
    try:
        for model in names:
            denoiser = Denoiser(model, precision="f32", threads=1)
            gray = denoiser.card_for(3).channels == 1
            with click.progressbar(files, label=model, file=sys.stderr) as bar:
                for index, file in enumerate(bar):
                    clean = read_pixels(file, gray=gray)
                    for sigma in sigmas:
                        noisy = eight_bits(add_noise(clean, sigma, index, "files"))
                        found, layer = measure(model, denoiser, strengths, file.name, f"{sigma:g}", clean, noisy)
                        gains += found
                        layers.append(layer)
                        if model == names[0]:
                            layers += [
                                removed(method, file.name, f"{sigma:g}", clean, noisy, work(noisy))
                                for method, work in eaters(sigma).items()
                            ]
            for file in pairs:
                clean, noisy = (read_pixels(path, gray=gray) for path in (real / "clean" / file.name, file))
                found, layer = measure(model, denoiser, strengths, file.name, REAL, clean, noisy)
                gains += found
                layers.append(layer)
        times = times_table(names, files, photograph)
    except FolderDenoiseError as error:
        raise click.ClickException(str(error)) from error
    heading = f"{images.resolve().name}, {len(files)} images" + (
        f"; {real.resolve().name}, {len(pairs)}" if real else ""
    )
    click.echo(
        f"{heading}\n\n## Gain, in dB\n\n{gains_table(gains)}\n\n## Noise, 8-bit levels\n\n{noise_table(gains)}\n"
    )
    click.echo(f"## What was removed\n\n{removed_table(layers, names)}\n\n## Processor time\n\n{times}")
    if json_path:
        record = {"gains": [asdict(row) for row in gains], "removed": [asdict(row) for row in layers]}
        json_path.write_text(json.dumps(record, indent=1), "utf-8")


def _spread(files: list[Path], count: int | None) -> list[Path]:
    return files if count is None else files[:: max(1, len(files) // count)][:count]


if __name__ == "__main__":
    main()
