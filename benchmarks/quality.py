"""Mean PSNR and SSIM of models and classical methods over a folder of images.

With added noise, as ``train/evaluate.py`` adds it:

    python benchmarks/quality.py --clean Kodak24 --sigma 15 --sigma 25 --sigma 50 --methods noisy,opencv-nlm,rgb-leaky

On real pairs, noisy and clean versions of the same name (``--sigma`` is then what the classical methods are told;
without it they are told the wavelet estimate of each image):

    python benchmarks/quality.py --clean pairs/clean --noisy pairs/noisy --methods noisy,opencv-nlm,rgb-leaky

Prints a Markdown table. Conventions: noise for image i, counted over the images used in the order of their names, is
``numpy.random.default_rng(i).normal(size=shape) * sigma``; protocol ``files``: noisy images are clipped and rounded to
8 bits; ``raw``, the literature's: neither. Outputs are clipped and rounded to 8 bits, then compared with the 8-bit
original; PSNR over all samples, data range 1, mean over images of the PSNR of each (infinite ones left out); SSIM with
an 11 x 11 Gaussian window of 1.5, mean over channels (``folderdenoise.quality``).
"""

from __future__ import annotations

import glob
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from peers import Method, Pixels, find_methods, list_images, read_pixels

from folderdenoise import quality
from folderdenoise.engine import Precision
from folderdenoise.errors import FolderDenoiseError, SuspectResultError, UsageError
from train.evaluate import add_noise, eight_bits

DEFAULT_METHODS = "noisy,opencv-nlm,skimage-nlm,tv,bayes-shrink,auto"


@dataclass(frozen=True)
class Result:
    """One image by one method. ``sigma``: the noise added, or what the method was told of a real pair (None: nothing,
    or its own estimate). ``psnr`` in dB, ``gain`` against the noisy image; ``ssim`` None for images under 11 pixels.
    """

    method: str
    sigma: float | None
    file: str
    psnr: float
    ssim: float | None
    gain: float


def measure_added_noise(
    files: list[Path], folder: Path, methods: list[Method], sigmas: list[float], protocol: str, gray: bool
) -> Iterator[list[Result]]:
    """The results of each image in turn, with Gaussian noise added. Unreadable images are reported and left out."""
    index = 0
    for path in files:
        results = []
        try:
            clean = read_pixels(path, gray=gray)
        except FolderDenoiseError as error:
            click.echo(f"left out: {error}", err=True)
        else:
            for sigma in sigmas:
                noisy = add_noise(clean, sigma, index, protocol)
                before = quality.scores(noisy, clean)
                name = path.relative_to(folder).as_posix()
                results += [_score(name, clean, noisy, before, method, sigma, sigma) for method in methods]
            index += 1
        yield results


def measure_pairs(
    files: list[Path], noisy_folder: Path, clean_folder: Path, methods: list[Method], told: list[float], gray: bool
) -> Iterator[list[Result]]:
    """The results of each real pair in turn; without ``told``, methods that need a deviation are told an estimate.

    A pair that is not whole, or of two sizes, is reported and left out.
    """
    for path in files:
        name = path.relative_to(noisy_folder)
        results = []
        try:
            clean = read_pixels(_clean_version(clean_folder, name), gray=gray)
            noisy = read_pixels(path, gray=gray)
            before = quality.scores(noisy, clean)
        except FolderDenoiseError as error:
            click.echo(f"left out: {path}: {error}", err=True)
        else:
            estimate = quality.noise_level(noisy) or 0.0
            for method in methods:
                settings = [(None, estimate)] if method.is_blind or not told else [(sigma, sigma) for sigma in told]
                results += [
                    _score(name.as_posix(), clean, noisy, before, method, label, sigma) for label, sigma in settings
                ]
        yield results


def _clean_version(folder: Path, name: Path) -> Path:
    """The file of the same relative name, or else of another suffix."""
    exact = folder / name
    others = sorted(exact.parent.glob(f"{glob.escape(name.stem)}.*"))
    return exact if exact.exists() or not others else others[0]


def _score(
    name: str,
    clean: NDArray[np.uint8],
    noisy: Pixels,
    before: quality.Scores,
    method: Method,
    label: float | None,
    sigma: float,
) -> Result:
    # The noisy image is measured as it is: clipping alone would already remove some of the raw protocol's noise.
    after = before
    if method.name != "noisy":
        try:
            after = quality.scores(eight_bits(method.denoise(noisy, sigma)), clean)
        except SuspectResultError as error:  # leaving the image out would flatter the model
            raise SuspectResultError(f"{name}: {error}") from error
    gain = 0.0 if after.psnr == before.psnr else after.psnr - before.psnr
    return Result(method.name, label, name, after.psnr, after.ssim, gain)


def added_noise_table(results: list[Result], methods: list[Method], sigmas: list[float]) -> str:
    """Markdown: a row for each method, a column for each sigma."""
    lines = ["| method |" + "".join(f" sigma {sigma:g} |" for sigma in sigmas), "|---|" + "---|" * len(sigmas)]
    for method in methods:
        cells = [_means([r for r in results if (r.method, r.sigma) == (method.name, sigma)]) for sigma in sigmas]
        lines.append(f"| {method.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def pairs_table(results: list[Result]) -> str:
    """Markdown: a row for each method and told sigma, with the pair that gained least against its noisy version."""
    lines = ["| method | PSNR (SSIM) | worst pair, against noisy |", "|---|---|---|"]
    for method, sigma in dict.fromkeys((r.method, r.sigma) for r in results):
        rows = [r for r in results if (r.method, r.sigma) == (method, sigma)]
        worst = min(rows, key=lambda row: row.gain)
        told = "" if sigma is None else f", told {sigma:g}"
        last = "" if method == "noisy" else f"{worst.gain:+.2f} dB ({worst.file})"
        lines.append(f"| {method}{told} | {_means(rows)} | {last} |")
    return "\n".join(lines)


def _means(rows: list[Result]) -> str:
    psnr = mean_of([row.psnr for row in rows])
    ssim = mean_of([row.ssim for row in rows])
    return f"{psnr:.2f}" + (f" ({ssim:.3f})" if np.isfinite(ssim) else "")


def mean_of(values: list[float | None]) -> float:
    """The mean of the finite ones, infinite if there are none: an exact image says nothing of the others."""
    finite = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("inf")


def _heading(clean: Path, images: int, every: int, protocol: str | None, gray: bool) -> str:
    words = [clean.resolve().name if protocol else f"{clean.resolve().parent.name}, real pairs", f"{images} images"]
    words += [f"1 in {every}"] if every > 1 else []
    words += ["as luma"] if gray else []
    if protocol:
        is_file = protocol == "files"
        words.append("noisy images " + ("clipped and rounded to 8 bits" if is_file else "neither clipped nor rounded"))
    return ", ".join(words) + ": mean PSNR in dB (SSIM)"


@click.command()
@click.option("--clean", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--noisy", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Real pairs: noisy side.")
@click.option("--sigma", "sigmas", type=click.FloatRange(0, 255), multiple=True, help="Deviation of the noise, 0-255.")
@click.option("--protocol", type=click.Choice(["files", "raw"]), default="files", show_default=True)
@click.option("--every", type=click.IntRange(1), default=1, help="Use every N-th image only.")
@click.option("--methods", default=DEFAULT_METHODS, show_default=True, help="noisy, peers, names or paths of models.")
@click.option("--gray", is_flag=True, help="Colour images as luma (BT.601).")
@click.option("--precision", type=click.Choice(["auto", "f32", "bf16"]), default="f32", show_default=True)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Every image's figures too.")
def main(
    clean: Path,
    noisy: Path | None,
    sigmas: tuple[float, ...],
    protocol: str,
    every: int,
    methods: str,
    gray: bool,
    precision: Precision,
    json_path: Path | None,
) -> None:
    """Mean PSNR and SSIM of models and peers over the images in --clean."""
    try:
        chosen = find_methods(methods, precision)
        files = list_images(noisy or clean)[::every]
        if noisy:
            measured = measure_pairs(files, noisy, clean, chosen, list(sigmas), gray)
        elif sigmas:
            measured = measure_added_noise(files, clean, chosen, list(sigmas), protocol, gray)
        else:
            raise UsageError("give --sigma, the noise to be added, or --noisy, the noisy versions")
        with click.progressbar(measured, length=len(files), label="images", file=sys.stderr) as bar:
            results = [result for image in bar for result in image]
    except FolderDenoiseError as error:
        raise click.ClickException(str(error)) from error
    if not results:
        raise click.ClickException("no image could be measured")
    count = len({result.file for result in results})
    heading = _heading(clean, count, every, None if noisy else protocol, gray)
    table = pairs_table(results) if noisy else added_noise_table(results, chosen, list(sigmas))
    click.echo(f"{heading}\n\n{table}\n")
    for method in chosen:
        click.echo(f"- {method.name}: {method.settings}")
    if json_path:
        record = {
            "heading": heading,
            "methods": {method.name: method.settings for method in chosen},
            "results": [asdict(result) for result in results],
        }
        json_path.write_text(json.dumps(record, indent=1), "utf-8")


if __name__ == "__main__":
    main()
