"""The options that every command over a folder of images has, as one value."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from .cluster.places import place, refuse_urls

if TYPE_CHECKING:
    from .devices import Wish
    from .folder import Selection
    from .order import Order
    from .pages import Measure


@dataclass(frozen=True)
class Choices:
    """What the user chose: the work, and how it is to be shown."""

    order: Order
    selection: Selection
    dry_run: bool
    as_json: bool
    log: Path | None
    verbose: bool
    quiet: bool


class Number(click.FloatRange):
    """A number within bounds; neither "nan" nor "inf", which no bounds keep out."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Raises click.BadParameter."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


def no_picture(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse names that an original or metrics.csv may have: what is written there would be written over them."""
    from .codecs.kinds import EXTENSIONS, UNSUPPORTED_EXTENSIONS
    from .tree import METRICS_NAME

    is_picture = value is not None and value.suffix.lower() in {*EXTENSIONS, *UNSUPPORTED_EXTENSIONS}
    if is_picture or (value is not None and value.name == METRICS_NAME):
        raise click.BadParameter(f"{value} would be written over. Give a name that no image and no table has.")
    return value


_OPTIONS = (
    click.argument("source", metavar="INPUT", type=place),
    click.option(
        "--out",
        type=place,
        metavar="PATH",
        help="Folder for the results. Default: INPUT-denoised beside it.",
    ),
    click.option(
        "--model",
        default="auto",
        show_default=True,
        help="A name from 'folderdenoise models', or a model's folder.",
    ),
    click.option(
        "--strength",
        type=Number(0, 2),
        default=1.0,
        show_default=True,
        help="0 changes nothing, 1 removes as much noise as the model finds, up to 2 more than that.",
    ),
    click.option(
        "--best", is_flag=True, help="A little better, and eight times as long: turned and mirrored, averaged."
    ),
    click.option(
        "--reference",
        type=click.Path(path_type=Path),
        help="Folder with clean versions, by the same relative path: fills PSNR, SSIM, MSE and MAE in metrics.csv. "
        "Files that are done already get scores with --overwrite; 'folderdenoise compare' scores results without doing "
        "anything again.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["auto", "f32", "bf16"]),
        default="auto",
        show_default=True,
        help="auto: bf16 for 8-bit images where this processor is faster in it, else f32.",
    ),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "gpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where the network computes; 'folderdenoise doctor' says what there is.",
    ),
    click.option("--tile", type=click.IntRange(min=64), help="Side of the tiles in pixels. Smaller needs less memory."),
    click.option("--jobs", type=click.IntRange(min=1), help="Files under way at once. Default: chosen from the cores."),
    click.option("--threads", type=click.IntRange(min=1), help="Processor threads to take. Default: all cores."),
    click.option(
        "--memory",
        type=Number(min=0, min_open=True),
        metavar="GIB",
        help="Memory to take, in GiB: large images wait for room. Default: half of what is free.",
    ),
    click.option(
        "--metrics",
        type=click.Choice(["none", "fast", "full"]),
        default="fast",
        show_default=True,
        help="What metrics.csv says of noise: nothing, estimates from a sample of each large page, or from all of it.",
    ),
    click.option(
        "--include", multiple=True, metavar="PATTERN", help="Only files that match, like '*.tif' or 'box1/*'."
    ),
    click.option("--exclude", multiple=True, metavar="PATTERN", help="Not the files that match."),
    click.option("--no-recursive", is_flag=True, help="Leave sub-folders out."),
    click.option(
        "--follow-links",
        is_flag=True,
        help="Take what symbolic links lead to, too. A watch finds that when it looks around, not at once.",
    ),
    click.option("--overwrite", is_flag=True, help="Do files again that are done. Originals are never overwritten."),
    click.option(
        "--retry-failed",
        is_flag=True,
        help="Do only the files that failed in an earlier run. A watch takes them, too, once more at its start.",
    ),
    click.option(
        "--max-megapixels",
        type=Number(min=0, min_open=True),
        default=2000.0,
        show_default=True,
        help="Refuse larger images: a guard against decompression bombs.",
    ),
    click.option(
        "--format",
        "format_",
        type=click.Choice(["png", "tiff", "jpeg", "webp"]),
        help="Store results as this. Default: as each original. The notes in metrics.csv say what it cannot hold.",
    ),
    click.option(
        "--quality",
        type=click.IntRange(1, 100),
        help="Quality of results in lossy formats. Default: that of the original, as near as can be told.",
    ),
    click.option("--keep-times", is_flag=True, help="Results get the modification times of the originals."),
    click.option(
        "--estimate",
        is_flag=True,
        help="Estimate the PSNR gained, without clean versions: estimated_psnr_gain in metrics.csv. Asks the network "
        "twice more about a part of each page. Files that are done already get it with --overwrite.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the plan and touch nothing."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object per file on standard output."),
    click.option(
        "--log", type=click.Path(path_type=Path), callback=no_picture, help="Append a line for each file to this file."
    ),
    click.option("-v", "--verbose", is_flag=True, help="Say why files are skipped, and more about each."),
    click.option("-q", "--quiet", is_flag=True, help="Only errors and warnings."),
)


def job_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the argument INPUT and the options over it: it gets them as :class:`Choices`, and its own."""

    # click calls with keywords; those that are not named here are the command's own.
    @functools.wraps(command)
    def with_choices(
        source: Path,
        out: Path | None,
        model: str,
        strength: float,
        best: bool,
        reference: Path | None,
        precision: str,
        device: str,
        tile: int | None,
        jobs: int | None,
        threads: int | None,
        memory: float | None,
        metrics: str,
        include: Sequence[str],
        exclude: Sequence[str],
        no_recursive: bool,
        follow_links: bool,
        overwrite: bool,
        retry_failed: bool,
        max_megapixels: float,
        format_: str | None,
        quality: int | None,
        keep_times: bool,
        estimate: bool,
        dry_run: bool,
        as_json: bool,
        log: Path | None,
        verbose: bool,
        quiet: bool,
        **own: object,
    ) -> None:
        from . import folder, zoo
        from .order import Order

        zoo.warn_of_missing()
        refuse_urls(source, out, own)
        if metrics == "none" and (reference or estimate):
            asked = "--reference" if reference else "--estimate"
            raise click.UsageError(f"--metrics none measures nothing, {asked} asks for it: leave out one of the two.")
        if quality is not None and format_ == "png":
            raise click.UsageError("--format png stores without loss, --quality is for lossy formats: leave out one.")
        selection = folder.Selection(
            not no_recursive, include, exclude, overwrite, retry_failed, follow_links=follow_links
        )
        order = Order(
            source,
            out or folder.default_out(source),
            model,
            strength,
            reference,
            precision,
            tile,
            jobs,
            max_megapixels,
            format_,
            quality,
            keep_times,
            estimate,
            cast("Wish", device),
            threads,
            memory,
            cast("Measure", metrics),
            best,
        )
        command(Choices(order, selection, dry_run, as_json, log, verbose, quiet), **own)

    for option in reversed(_OPTIONS):
        with_choices = option(with_choices)
    return with_choices
