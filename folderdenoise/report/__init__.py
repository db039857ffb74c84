"""``metrics.csv`` to ``report.html``: one file that says what was done, how good it probably is, what to look at."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..publish import published
from ..table import Row
from .gather import read_pages
from .page import View, legible, render
from .sources import RunSources, find_originals
from .views import comparison_view, run_view

REPORT_NAME = "report.html"


def write_report(out: Path, originals: Path | None = None) -> Path:
    """Write ``report.html`` into ``out``, the output folder of a run, and return its path.

    ``originals`` is the folder or the one file that was denoised; by default it is looked for where it was, and beside
    ``out``. Where it is not found the report says so and shows results alone. Raises UsageError where ``out`` has no
    metrics.csv, OutputError where that cannot be read or the report cannot be written.
    """
    pages = read_pages(out)
    sources = RunSources(out, originals, find_originals(out, pages))
    return _publish(run_view(legible(out.resolve().name), pages, sources, out), out / REPORT_NAME)


def write_comparison(
    target: Path, title: str, sides: tuple[str, str], pages: Sequence[Row], files: Mapping[str, tuple[Path, Path]]
) -> Path:
    """Write the page of a comparison to ``target`` and return it.

    ``sides`` are what the two sets are called; ``pages`` have the scores of the first against the second; ``files`` are
    the two files of each ``Row.file`` that was compared. Raises OutputError where it cannot be written.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return _publish(comparison_view(title, sides, pages, files, Path(scratch)), target)


def _publish(view: View, target: Path) -> Path:
    html = render(view)
    with published(target, target.parent) as temporary:
        temporary.write_text(html, encoding="utf-8", newline="\n")
    return target
