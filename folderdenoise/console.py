"""What a run looks like in a terminal, in a log, and to a script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import click
from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from .batch import Outcome, Report
from .folder import Plan
from .lines import say, shown
from .order import Listener

if TYPE_CHECKING:
    from .compare import Compared, Means


class Console:
    """Shows a run: a progress bar on a terminal, plain lines elsewhere, JSON lines for scripts.

    Results for people go to standard output (with ``as_json``: to standard error, and standard output has one JSON
    object per file); errors and warnings always go to standard error.
    """

    def __init__(self, *, as_json: bool, verbose: bool, quiet: bool) -> None:
        # With --log, -v is for the file and -q for the terminal.
        self._as_json, self._verbose, self._quiet = as_json, verbose and not quiet, quiet
        self._terminal = RichConsole(stderr=True, highlight=False, soft_wrap=True)
        self._bar: _Bar | None = None
        self._count = self._total = 0
        self._has_images = True

    def show_plan(self, plan: Plan) -> None:
        """Print what would be done."""
        for task in plan.tasks:
            if self._as_json:
                say(_json({"file": task.relative, "source": task.source, "output": task.output}))
            else:
                say(f"{shown(task.source)} -> {shown(task.output)}")
        for skipped in (*plan.unreadable, *plan.skipped) if self._verbose else plan.unreadable:
            say(shown(f"skipped {skipped.path}: {skipped.reason}"), err=True)
        if not self._quiet:
            message = f"Dry run: {len(plan.tasks)} to do, {len(plan.skipped)} skipped; nothing was touched."
            say(message, err=self._as_json)

    def started(self, plan: Plan) -> None:
        """Show the skipped files if asked to, and the bar if this is a terminal."""
        self._total = len(plan.tasks) + len(plan.unreadable)
        self._has_images = plan.has_images or bool(plan.unreadable)
        if self._verbose:
            for skipped in plan.skipped:
                self.skipped(skipped.path, skipped.reason)
        if not self._quiet and self._terminal.is_terminal and self._total:
            self._bar = _Bar(self._terminal, self._total)
            self._bar.__enter__()

    def skipped(self, path: Path, reason: str) -> None:
        """With ``-v``, a line for a file that is left alone."""
        if self._verbose:
            self._say(f"skipped {path}: {reason}")

    def noted(self, message: str) -> None:
        """A line, unless it is to be quiet."""
        if not self._quiet:
            self._say(message)

    def warned(self, message: str) -> None:
        """One line on standard error."""
        self._terminal.print(Text(shown(f"Warning: {message}")))

    def finished_file(self, outcome: Outcome) -> None:
        """A line for the file (on a terminal only if it failed, or with ``-v``), and the bar moved on."""
        self._count += 1
        if self._as_json:
            rows = [asdict(row) for row in outcome.rows]
            say(_json({"file": outcome.task.relative, "status": outcome.status, "pages": rows}))
        failed = outcome.status == "failed"
        if failed:
            self._terminal.print(Text(shown(f"failed: {outcome.notes}")))
        elif not self._quiet and not self._as_json and (self._bar is None or self._verbose):
            # A watch has no total.
            place = f"[{self._count}/{self._total}] " if self._total else ""
            self._say(f"{place}{describe(outcome, verbose=self._verbose)}")
        if self._bar is not None:
            self._bar.advance(outcome.megapixels)

    def finished(self, report: Report, interrupted: bool) -> None:
        """The summary."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
        if interrupted:
            self._terminal.print("Interrupted: everything finished is kept. Run the same command again to go on.")
        if not self._quiet:
            say(self._summary(report), err=self._as_json)
        if report.warning:
            self.warned(report.warning)

    def _summary(self, report: Report) -> str:
        if self._has_images or self._as_json:
            return str(report)
        return "No images found. Check the folder, --include and --exclude (-v says why files were skipped)."

    def _say(self, line: str) -> None:
        if self._bar is not None or self._as_json:
            self._terminal.print(Text(shown(line)))
        else:
            say(shown(line))


class Both:
    """A listener that tells two others."""

    def __init__(self, first: Listener, second: Listener) -> None:
        self._both = (first, second)

    def started(self, plan: Plan) -> None:
        """The plan is made; work begins."""
        for listener in self._both:
            listener.started(plan)

    def skipped(self, path: Path, reason: str) -> None:
        """A file is left alone."""
        for listener in self._both:
            listener.skipped(path, reason)

    def noted(self, message: str) -> None:
        """How things stand."""
        for listener in self._both:
            listener.noted(message)

    def warned(self, message: str) -> None:
        """Something to know, which stops nothing."""
        for listener in self._both:
            listener.warned(message)

    def finished_file(self, outcome: Outcome) -> None:
        """One file is done or failed."""
        for listener in self._both:
            listener.finished_file(outcome)

    def finished(self, report: Report, interrupted: bool) -> None:
        """All is done, or the run was interrupted."""
        for listener in self._both:
            listener.finished(report, interrupted)


class _Bar:
    """Files, megapixels, rate and time left."""

    def __init__(self, terminal: RichConsole, total: int) -> None:
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[done]:.1f} MP, {task.fields[rate]:.1f} MP/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=terminal,
        )
        self._task = self._progress.add_task("", total=total, done=0.0, rate=0.0)
        self._megapixels = 0.0

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, megapixels: float) -> None:
        self._megapixels += megapixels
        elapsed = self._progress.tasks[0].elapsed or 0.0
        rate = self._megapixels / elapsed if elapsed > 0 else 0.0
        self._progress.update(self._task, advance=1, done=self._megapixels, rate=rate)


class ScoreTable:
    """Shows a comparison: a line for each page as it comes, the means at the end; JSON lines for scripts."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        if not as_json:
            click.echo(f"{'PSNR':>7} {'SSIM':>7} {'MSE':>9} {'MAE':>8}  file")

    def add(self, rows: Sequence[Compared]) -> None:
        """The pages of a pair, or why it failed."""
        first = rows[0]
        if self._as_json:
            pages = [asdict(row) for row in rows]
            click.echo(_json({"file": first.file, "status": first.status, "pages": pages}))
        if first.status == "failed":
            click.echo(f"failed: {shown(first.notes)}", err=True)
            return
        for row in rows if not self._as_json else ():
            page = f", page {row.page}" if row.pages > 1 else ""
            click.echo(f"{_scores(row)}  {shown(row.file)}{page}")

    def finish(self, means: Means) -> None:
        """The means."""
        pages = f"{means.pages} page{'' if means.pages == 1 else 's'}"
        identical = f" ({means.identical} identical, not in the mean PSNR)" if means.identical else ""
        failed = f"; {means.failed} failed" if means.failed else ""
        click.echo(f"{_scores(means)}  mean of {pages}{identical}{failed}", err=self._as_json)


def _scores(row: Compared | Means) -> str:
    cells = ((row.psnr, 7, 2), (row.ssim, 7, 4), (row.mse, 9, 6), (row.mae, 8, 5))
    return " ".join(f"{'-' if value is None else f'{value:.{places}f}':>{width}}" for value, width, places in cells)


def describe(outcome: Outcome, *, verbose: bool) -> str:
    """A file that is done, in a few words."""
    first = outcome.rows[0]
    parts = [shown(outcome.task.relative), f"{_plain(outcome.megapixels)} MP"]
    if len(outcome.rows) > 1:
        parts.append(f"{len(outcome.rows)} pages")
    if first.noise_before is not None and first.noise_after is not None:
        parts.append(f"noise {first.noise_before:.1f} -> {first.noise_after:.1f}")
    if first.psnr is not None and first.psnr_gain is not None:
        parts.append(f"PSNR {first.psnr:.2f} dB ({first.psnr_gain:+.2f})")
    parts.append(f"{first.seconds or 0.0:.1f} s")
    if verbose:
        parts.append(f"by {first.model}")
    if outcome.notes:
        parts.append(f"note: {outcome.notes}")
    return ", ".join(parts)


def _plain(number: float) -> str:
    """Two digits that count, or all before the point; never an exponent."""
    return f"{number:.0f}" if number >= 10 else f"{float(f'{number:.2g}'):f}".rstrip("0").rstrip(".")


def _json(value: object) -> str:
    # ASCII only: a name that is no Unicode must not break the stream. Infinite PSNR (no difference) is null in JSON.
    return json.dumps(_finite(value), default=str, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
