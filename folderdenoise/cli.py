"""The command line: each command parses, calls one room, prints. Heavy rooms are imported when a command needs them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .errors import FolderDenoiseError

if TYPE_CHECKING:
    from .zoo import ModelCard

_INTERRUPTED = 130


class _Commands(click.Group):
    """Turns the project's errors into their message and exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FolderDenoiseError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted at once: run again to go on; finished files are kept.", err=True)
            ctx.exit(_INTERRUPTED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="folderdenoise")
def main() -> None:
    """Denoise folders of photographs and scans: any size, any bit depth, nothing lost.

    \b
    folderdenoise run ./scans                     results in ./scans-denoised
    folderdenoise run ./scans --dry-run           what would be done
    folderdenoise models                          which models there are

    Exit codes: 0 all done; 1 some files failed, the rest is done; 2 wrong usage; 4 output not writable or disk full;
    5 model missing or damaged; 130 interrupted, everything finished is kept.
    """


@main.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the results. Default: INPUT-denoised beside it.",
)
@click.option(
    "--model",
    default="auto",
    show_default=True,
    help="A name from 'folderdenoise models', or a model's folder.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="0 changes nothing, 1 all.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    help="Folder with clean versions, by the same relative path: fills PSNR, SSIM, MSE and MAE in metrics.csv.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "f32", "bf16"]),
    default="auto",
    show_default=True,
    help="auto: bf16 for 8-bit images where the processor has it, else f32.",
)
@click.option("--tile", type=click.IntRange(min=64), help="Side of the tiles in pixels. Smaller needs less memory.")
@click.option("--jobs", type=click.IntRange(min=1), help="Files under way at once. Default: chosen from the cores.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only files that match, like '*.tif' or 'box1/*'.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Not the files that match.")
@click.option("--no-recursive", is_flag=True, help="Leave sub-folders out.")
@click.option("--overwrite", is_flag=True, help="Do files again whose result exists. Originals are never overwritten.")
@click.option(
    "--max-megapixels",
    type=click.FloatRange(min=0, min_open=True),
    default=2000.0,
    show_default=True,
    help="Refuse larger images: a guard against decompression bombs.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and touch nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file on standard output.")
@click.option("-v", "--verbose", is_flag=True, help="Say why files are skipped, and more about each.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
def run(
    source: Path,
    out: Path | None,
    model: str,
    strength: float,
    reference: Path | None,
    precision: str,
    tile: int | None,
    jobs: int | None,
    include: Sequence[str],
    exclude: Sequence[str],
    no_recursive: bool,
    overwrite: bool,
    max_megapixels: float,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Denoise INPUT, a folder (with its sub-folders) or one file.

    Writes the same tree of files, denoised, and a metrics.csv with one row for each image. Originals are never
    changed. Files whose result exists are skipped, so a run that was interrupted goes on where it was.
    """
    from . import folder, job
    from .console import Console

    selection = folder.Selection(not no_recursive, include, exclude, overwrite)
    order = job.Order(
        source,
        out or folder.default_out(source),
        model,
        strength,
        reference,
        precision,
        tile,
        jobs,
        max_megapixels,
    )
    console = Console(as_json=as_json, verbose=verbose, quiet=quiet)
    if dry_run:
        console.show_plan(job.plan(order, selection))
        return
    code = job.run(order, selection, console)
    click.get_current_context().exit(code)


@main.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="The cards as JSON.")
def models(name: str | None, as_json: bool) -> None:
    """List the models, or show the card of NAME (a name or a model's folder)."""
    from . import zoo

    if name is not None:
        card = zoo.find(name)
        click.echo(json.dumps(card.as_dict(), indent=2, ensure_ascii=False) if as_json else _describe(card))
        return
    cards = zoo.available()
    if as_json:
        click.echo(json.dumps([card.as_dict() for card in cards], indent=2, ensure_ascii=False))
        return
    if not cards:
        click.echo("No models found. Install folderdenoise again, or name a folder of models in FOLDERDENOISE_MODELS.")
    for card in cards:
        colour = "colour" if card.channels == 3 else "gray"
        click.echo(f"{card.name:<14} {colour:<7} {_megabytes(card):5.1f} MB  {card.summary}")
        for metric in card.metrics[:1]:
            click.echo(f"{'':<14} {_measured(metric)}")


def _megabytes(card: ModelCard) -> float:
    graph = card.folder / "model.onnx"
    return graph.stat().st_size / 1e6 if graph.is_file() else 0.0


def _describe(card: ModelCard) -> str:
    lines = [f"{card.name}, version {card.version}: {card.summary}", ""]
    facts = {
        "for": card.domain,
        "channels": card.channels,
        "noise": card.noise,
        "trained on": f"{card.training_data} ({card.training_data_licence})",
        "trained by": card.command,
        "training": ", ".join(f"{key} {value}" for key, value in card.training.items()),
        "size": f"{card.parameters:,} parameters, {_megabytes(card):.1f} MB",
        "cost": f"{card.kmac_per_pixel:g} thousand multiply-accumulates per pixel",
        "tiles": f"overlap {card.overlap} px, receptive field {card.receptive_field} px",
        "licence": card.licence,
        "folder": card.folder,
    }
    lines += [f"{key:<11} {value}" for key, value in facts.items()]
    lines += ["", "Measured:"] if card.metrics else []
    for metric in card.metrics:
        lines += [f"  {_measured(metric)}", f"    {metric['command']}"]
    return "\n".join(lines)


def _measured(metric: dict[str, Any]) -> str:
    return (
        f"{metric['test_set']} ({metric['images']} images), {metric['noise']}, {metric['protocol']}: "
        f"PSNR {metric['psnr_noisy']:.2f} -> {metric['psnr']:.2f} dB, "
        f"SSIM {metric['ssim_noisy']:.4f} -> {metric['ssim']:.4f}"
    )
