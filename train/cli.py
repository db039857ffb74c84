"""``python -m train fit | study | evaluate | export``: parses, calls one room, prints."""

from __future__ import annotations

import functools
import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from folderdenoise.errors import FolderDenoiseError, UsageError

if TYPE_CHECKING:
    from train.workshop import Places

_FOLDER = click.Path(file_okay=False, path_type=Path)


class _Group(click.Group):
    """Turns the project's errors into their message and exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except FolderDenoiseError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=_Group)
def main() -> None:
    """Train, measure and export denoising models."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("pyvips").setLevel(logging.WARNING)  # a line for every file read


def _data_options(command):  # type: ignore[no-untyped-def]
    """The options that say where pixels come from and models go, shared by ``fit`` and ``export``: as ``places``."""

    @functools.wraps(command)
    def placed(data: Path | None, noisy: Path | None, clean: Path | None, out: Path, runs: Path, **own: object) -> None:
        from train.workshop import Places

        command(places=Places(data, noisy, clean, out, runs), **own)

    for option in (
        click.option("--clean", type=_FOLDER, help="With --noisy: the clean versions, by the same relative path."),
        click.option("--noisy", type=_FOLDER, help="Train on real pairs: the noisy versions of the images in --clean."),
        click.option(
            "--data",
            type=click.Path(path_type=Path),
            help="A folder of images, or an .npz of MNIST, Fashion-MNIST or CIFAR-10 (or a folder with it). "
            "Without it Keras downloads those.",
        ),
        click.option(
            "--out",
            type=_FOLDER,
            default=Path("models"),
            show_default=True,
            help="Where NAME/ is written to.",
        ),
        click.option(
            "--runs",
            type=_FOLDER,
            default=Path("runs"),
            show_default=True,
            help="Where checkpoints and history.csv of the run are kept, in NAME/.",
        ),
    ):
        placed = option(placed)
    return placed


@main.command()
@click.argument("recipe")
@_data_options
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Train for so long, schedule fitted to it."
)
@click.option("--epochs", type=click.IntRange(min=1), help="Train for so many epochs.  [default: as the recipe says]")
@click.option("--resume", is_flag=True, help="Go on with the run that --runs holds.")
@click.option(
    "--float32", is_flag=True, help="Compute in 32 bits, not mixed bfloat16: faster on processors without AMX."
)
@click.option(
    "--start",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Fine-tune an exported U-Net: the model.keras to start from. A gray recipe takes a colour one, too.",
)
def fit(
    recipe: str,
    places: Places,
    minutes: float | None,
    epochs: int | None,
    resume: bool,
    float32: bool,
    start: Path | None,
) -> None:
    """Train RECIPE, then export it to OUT/NAME: model.keras, model.onnx, card.json."""
    from train import recipes, workshop

    if minutes is not None and epochs is not None:
        raise UsageError("--minutes and --epochs are two ways to say the same: give one of them")
    chosen = recipes.find(recipe)
    folder = workshop.fit_and_export(chosen, places, minutes, epochs, resume, _command(), start, not float32)
    click.echo(f"wrote {folder}")


@main.command()
@click.argument("recipe")
@_data_options
@click.option(
    "--average",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Export the mean of the run's weights and those of this exported U-Net: the model.keras it was started from.",
)
def export(recipe: str, places: Places, average: Path | None) -> None:
    """Export the latest checkpoint of a run of RECIPE, finished or not, to OUT/NAME."""
    from train import recipes, workshop

    chosen = recipes.find(recipe)
    folder = workshop.export_checkpoint(chosen, places, average, _command() if average else "")
    click.echo(f"wrote {folder}")


@main.command()
@click.option("--only", "parts", multiple=True, metavar="NAME", help="Only this part; may be given several times.")
@click.option("--quick", is_flag=True, help="One pass over a few images each, nothing exported: a smoke test.")
@click.option(
    "--data",
    type=_FOLDER,
    help="Folder that holds mnist/, fashion-mnist/, cifar10/ and photos/. What is not there comes from Keras; "
    "without photos/ the third study is left out.",
)
@click.option("--out", type=_FOLDER, help="Where STUDY.md and the models go.  [default: models; --quick: RUNS/quick]")
@click.option(
    "--runs", type=_FOLDER, default=Path("runs/study"), show_default=True, help="Where finished runs are kept."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Training runs at a time.")
@click.option("--minutes", type=click.FloatRange(min=0), help="Begin no training run after so long.")
def study(
    parts: tuple[str, ...],
    quick: bool,
    data: Path | None,
    out: Path | None,
    runs: Path,
    jobs: int,
    minutes: float | None,
) -> None:
    """Reproduce the three studies: train and measure what is not done yet, and write STUDY.md.

    Finished runs are kept in --runs and not done again, so the same command goes on where it was stopped. Parts: the
    models' names, grid-2 and grid-3 (the settings to choose from), and report (train nothing).
    """
    from train import study as room
    from train.studies import PARTS
    from train.units import Places

    if unknown := [part for part in parts if part not in PARTS]:
        raise UsageError(f"--only {unknown[0]}: no such part: choose from {', '.join(PARTS)}")
    if quick:
        runs = runs / "quick"
    places = Places(data, runs, out or (runs if quick else Path("models")))
    click.echo(f"wrote {room.study(places, parts, quick, room.Sitting(jobs, minutes))}")


@main.command()
@click.argument("model")
@click.option("--clean", type=_FOLDER, required=True, help="Clean images; noise is added to them.")
@click.option(
    "--sigma", type=click.FloatRange(0, 255), required=True, help="Standard deviation of the noise, 0 to 255."
)
@click.option(
    "--protocol",
    type=click.Choice(["files", "raw"]),
    default="files",
    show_default=True,
    help="files: noisy images clipped and rounded to 8 bits. raw: neither, as in the literature.",
)
@click.option("--record", is_flag=True, help="Write the figures into the model's card.")
def evaluate(model: str, clean: Path, sigma: float, protocol: str, record: bool) -> None:
    """Mean PSNR and SSIM of MODEL (a name or a folder) over the images in --clean with Gaussian noise."""
    from folderdenoise import zoo
    from train import evaluate as room

    result = room.evaluate(model, clean, sigma, protocol)
    click.echo(
        f"{result.test_set}, {result.images} images, sigma {sigma:g}, {protocol}: "
        f"noisy {result.psnr_noisy:.2f} dB ({result.ssim_noisy:.4f}), {model} {result.psnr:.2f} dB ({result.ssim:.4f})"
    )
    if record:
        from train import cards

        # The folder's name alone: where it lies on this machine means nothing to a reader of the card.
        command = f"python -m train evaluate {zoo.find(model).name} --clean {clean.name} --sigma {sigma:g}"
        command += " --protocol raw" if protocol == "raw" else ""
        cards.record_metric(zoo.find(model).folder, result.as_metric(command))


def _command() -> str:
    """The command as typed, but for the folders' places on this machine."""

    def shortened(word: str) -> str:
        option, equals, value = word.rpartition("=")
        return option + equals + (Path(value).name if value.startswith((".", "/", "~")) else value)

    return shlex.join(["python", "-m", "train", *map(shortened, sys.argv[1:])])
