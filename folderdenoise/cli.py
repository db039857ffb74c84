"""The command line: each command parses, calls one room, prints. Heavy rooms are imported when a command needs them."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .errors import FolderDenoiseError
from .lines import escape_what_streams_lack, shown
from .options import Choices, Number, job_options, no_picture

if TYPE_CHECKING:
    from .folder import Plan
    from .order import Listener, Order
    from .zoo import ModelCard

_INTERRUPTED = 130


class _Commands(click.Group):
    """Turns the project's errors into their message and exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        escape_what_streams_lack()
        try:
            return super().invoke(ctx)
        except FolderDenoiseError as error:
            click.echo(f"Error: {shown(error)}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted at once: run again to go on; finished files are kept.", err=True)
            _leave_at_once(_INTERRUPTED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="folderdenoise")
def main() -> None:
    """Denoise folders of photographs and scans: any size, any bit depth, nothing lost.

    \b
    folderdenoise run ./scans                     results in ./scans-denoised
    folderdenoise run ./scans --dry-run           what would be done
    folderdenoise watch ./inbox                   the same for all that arrives
    folderdenoise report ./scans-denoised         what came out, as a page
    folderdenoise compare ./scans-denoised ./clean
    folderdenoise models                          which models there are
    folderdenoise gui                             the same in a window

    Exit codes: 0 all done; 1 some files failed, the rest is done; 2 wrong usage; 4 output not writable or disk full;
    5 model missing or damaged; 6 the cluster is lost; 130 interrupted, everything finished is kept.
    """


@main.command()
@job_options
@click.option("--report", is_flag=True, help="Write report.html beside the results: what was done, what to look at.")
@click.option(
    "--cluster",
    metavar="ADDRESS|local",
    help="Let the workers of a Dask cluster do the files: that of a scheduler's ADDRESS, or one of this machine's own. "
    "INPUT and --out may then be URLs, like s3://bucket/scans.",
)
def run(choices: Choices, report: bool, cluster: str | None) -> None:
    """Denoise INPUT, a folder (with its sub-folders) or one file.

    Writes the same tree of files, denoised, and a metrics.csv with one row for each image. Originals are never
    changed. The same command again does what is missing, has changed or has failed, and skips the rest: a run that was
    interrupted goes on where it was.
    """
    from . import job

    if cluster is not None:
        from .cluster import run as room

    if choices.dry_run:
        planner = job if cluster is None else room
        _show_plan(choices, planner.plan(choices.order, choices.selection))
        return
    with _listening(choices) as listener:
        if cluster is not None:
            code = room.run(choices.order, choices.selection, listener, cluster)
        else:
            code = job.run(choices.order, choices.selection, listener)
        if report and code != _INTERRUPTED:
            _report_run(choices.order, listener)
    _leave(code)


def _report_run(order: Order, listener: Listener) -> None:
    from .report import write_report
    from .tree import METRICS_NAME

    # Where there was nothing to do there may be no table yet.
    if (order.out / METRICS_NAME).exists():
        listener.noted(f"Report: {write_report(order.out, order.source)}")


@main.command()
@job_options
@click.option(
    "--settle",
    type=Number(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="Seconds that a file must not have changed before it is taken.",
)
@click.option(
    "--poll",
    type=Number(min=0, min_open=True),
    help="Look through the folder every so many seconds. Default: wait for word of changes, poll where none arrives.",
)
@click.option("--existing/--no-existing", default=True, show_default=True, help="Take files that are there already.")
@click.option("--once", is_flag=True, help="End when all that is there is done.")
@click.option("--move-done", type=click.Path(path_type=Path), help="Move originals here when their result is there.")
@click.option("--move-failed", type=click.Path(path_type=Path), help="Move originals here that cannot be denoised.")
@click.option(
    "--health",
    type=click.Path(path_type=Path),
    callback=no_picture,
    help="File to touch while all is well, with the counts.",
)
def watch(
    choices: Choices,
    settle: float,
    poll: float | None,
    existing: bool,
    once: bool,
    move_done: Path | None,
    move_failed: Path | None,
    health: Path | None,
) -> None:
    """Watch the folder INPUT and denoise what arrives there.

    A file is taken when it has stopped changing and decodes to its end. Files that are there at the start are taken,
    too; a watch that is started again goes on where it was, and --retry-failed takes files that failed before once
    more. Ends with Ctrl-C (exit code 130) or SIGTERM (0).
    """
    from . import watch as room
    from .habits import Habits

    habits = Habits(settle, poll, existing, once, move_done, move_failed, health)
    if choices.dry_run:
        _show_plan(choices, room.plan(choices.order, choices.selection, habits))
        return
    with _listening(choices) as listener:
        code = room.watch(choices.order, choices.selection, habits, listener)
    if once:
        _leave(code)
    # It was stopped: nothing else ends it.
    _leave_at_once(code)


@main.command()
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--originals",
    type=click.Path(path_type=Path, exists=True),
    help="The folder that was denoised. Default: where it was, or OUT without its -denoised.",
)
def report(out: Path, originals: Path | None) -> None:
    """Write report.html into OUT, the output folder of a run.

    One page that needs no network: totals, distributions, which files deserve a look and why, before and after under
    a slider, what failed, and a table of all files.
    """
    from .report import write_report

    click.echo(f"Report: {shown(write_report(out, originals))}")


@main.command()
@click.argument("a", metavar="A", type=click.Path(path_type=Path))
@click.argument("b", metavar="B", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write a page with both under sliders here (.html).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file on standard output.")
@click.option(
    "--max-megapixels",
    type=Number(min=0, min_open=True),
    default=2000.0,
    show_default=True,
    help="Refuse larger images: a guard against decompression bombs.",
)
def compare(a: Path, b: Path, out: Path | None, as_json: bool, max_megapixels: float) -> None:
    """Compare A with the reference B, two files or two folders: PSNR, SSIM, MSE and MAE of each page.

    In folders, files are matched by their relative path, else by the same without the suffix. What has no partner or
    another size is a failed row; the exit code is then 1.
    """
    from . import compare as room
    from .console import ScoreTable

    if out is not None:
        room.check_target(out)
    pairs, left_alone = room.find_pairs(a, b)
    for words in left_alone:
        click.echo(f"Warning: left alone: {shown(words)}", err=True)
    table = ScoreTable(as_json=as_json)
    rows = []
    for pair in pairs:
        compared = room.compare(pair, max_megapixels)
        table.add(compared)
        rows += compared
    means = room.means(rows)
    table.finish(means)
    if out is not None:
        click.echo(f"Report: {shown(room.write_page(out, (a, b), pairs, rows))}", err=as_json)
    click.get_current_context().exit(1 if means.failed else 0)


def _show_plan(choices: Choices, plan: Plan) -> None:
    from .console import Console

    console = Console(as_json=choices.as_json, verbose=choices.verbose, quiet=choices.quiet)
    console.show_plan(plan)


@contextlib.contextmanager
def _listening(choices: Choices) -> Iterator[Listener]:
    from .console import Both, Console

    console = Console(as_json=choices.as_json, verbose=choices.verbose, quiet=choices.quiet)
    if choices.log is None:
        yield console
        return
    from .logfile import LogFile

    with LogFile(choices.log, verbose=choices.verbose) as logfile:
        yield Both(console, logfile)


def _leave(code: int) -> None:
    if code == _INTERRUPTED:
        _leave_at_once(code)
    click.get_current_context().exit(code)


def _leave_at_once(code: int) -> None:
    # An ordinary exit would wait for the threads of abandoned files, and one file may take minutes.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@main.command()
@click.argument("paths", nargs=-1, metavar="[PATHS]...", type=click.Path(exists=True, path_type=Path))
def gui(paths: tuple[Path, ...]) -> None:
    """Open the window, with the files and folders PATHS in its list."""
    from .desktop import app

    click.get_current_context().exit(app.run(paths))


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
        click.echo(f"{card.name:<14} {colour:<7} {_megabytes(card):5.2f} MB  {card.summary}")
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
        "size": f"{card.parameters:,} parameters, {_megabytes(card):.2f} MB",
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


@main.command()
def doctor() -> None:
    """Show what this machine has and how fast each of it denoises, in ten seconds."""
    from . import doctor as room

    for key, value in room.machine().items():
        click.echo(f"{key:<10} {value}")
    found = []
    for trial in room.trials():
        found.append(trial)
        rate = trial.megapixels_per_second
        result = f"{rate:.2f} megapixels/s" if rate else f"does not work: {trial.fault}"
        click.echo(f"{trial.model:<10} {trial.device.name:<5} {trial.precision:<5} {result}  {trial.device.title}")
    click.echo(room.used(found))
