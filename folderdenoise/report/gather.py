"""What ``metrics.csv`` says, page by page, as the report needs it: any version of the table, whole rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError, UsageError
from ..table import Row, groups, is_header, parse, whole_rows
from ..tree import METRICS_NAME


@dataclass(frozen=True)
class Totals:
    """A table in a few figures. ``seconds``: the time of all files added up, whether they were done side by side or
    not."""

    files: int
    pages: int
    done: int
    failed: int
    megapixels: float
    seconds: float
    finished_at: str


def read_pages(out: Path) -> list[Row]:
    """The pages in the ``metrics.csv`` of the folder ``out``, in the order of the table, each file once.

    Raises UsageError where there is no table, OutputError where it cannot be read or is something else.
    """
    if out.is_file():
        raise UsageError(f"{out}: is a file. Give the output folder of a run.")
    path = out / METRICS_NAME
    newest: dict[str, list[Row]] = {}
    try:
        with path.open("rb") as file:
            rows = whole_rows(file)
            header = next(rows, (b"", list[str]()))[1]
            if not is_header(header):
                raise OutputError(f"{path}: is not a table of this tool. Give the output folder of a run.")
            for group in groups(rows):
                if group.is_whole:
                    newest[group.key] = [parse(header, cells) for cells in group.rows]
    except FileNotFoundError:
        raise UsageError(f"{out}: no {METRICS_NAME} there. Give the output folder of a run.") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    except (ValueError, IndexError) as error:
        raise OutputError(f"{path}: is damaged ({error}). Move it away; --overwrite then does all again.") from error
    return [page for pages in newest.values() for page in pages]


def totals(pages: Sequence[Row]) -> Totals:
    """The table in a few figures."""
    first = [page for page in pages if page.page == 1]
    return Totals(
        files=len(first),
        pages=sum(page.is_done for page in pages),
        done=sum(page.is_done for page in first),
        failed=sum(not page.is_done for page in first),
        megapixels=sum(page.megapixels for page in pages if page.is_done),
        # Each row of a file has the time of the whole file.
        seconds=sum(page.seconds or 0.0 for page in first),
        finished_at=max((page.finished_at or "" for page in pages), default=""),
    )
