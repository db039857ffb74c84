"""What ``metrics.csv`` says, page by page, as the report needs it: any version of the table, whole rows only."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError, UsageError
from ..table import from_cell, groups, is_header, whole_rows
from ..tree import METRICS_NAME


@dataclass(frozen=True, slots=True)
class Page:
    """One page of one file. Units as in ``metrics.csv``; None where the table has no column or an empty cell.

    ``structure_removed`` (0 to 1): how much what was removed follows the picture. ``estimated_gain``: PSNR gained in
    dB, estimated without a reference. ``psnr`` may be infinite, ``psnr_gain`` minus infinite.
    """

    file: str
    page: int = 1
    pages: int = 1
    status: str = "done"
    output: str = ""
    width: int | None = None
    height: int | None = None
    model: str = ""
    strength: float | None = None
    noise_before: float | None = None
    noise_after: float | None = None
    flat_noise_before: float | None = None
    flat_noise_after: float | None = None
    structure_removed: float | None = None
    estimated_gain: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    mse: float | None = None
    mae: float | None = None
    psnr_gain: float | None = None
    ssim_gain: float | None = None
    seconds: float | None = None
    settings: str = ""
    source_bytes: int | None = None
    finished_at: str = ""
    notes: str = ""
    source_folder: str = ""

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        return self.status == "done"

    @property
    def megapixels(self) -> float:
        """Millions of pixels; 0 for a failed file."""
        return (self.width or 0) * (self.height or 0) / 1e6

    @property
    def psnr_before(self) -> float | None:
        """PSNR of the input in dB; None without a reference."""
        if self.psnr is None or self.psnr_gain is None:
            return None
        # Infinite: a result that has become equal to the reference, or an input that was. Of the first, what it was
        # before is not in the row.
        if math.isinf(self.psnr_gain):
            return math.inf if self.psnr_gain < 0 else None
        return self.psnr - self.psnr_gain

    @property
    def ssim_before(self) -> float | None:
        """SSIM of the input; None without a reference."""
        return None if self.ssim is None or self.ssim_gain is None else self.ssim - self.ssim_gain


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


def read_pages(out: Path) -> list[Page]:
    """The pages in the ``metrics.csv`` of the folder ``out``, in the order of the table, each file once.

    Raises UsageError where there is no table, OutputError where it cannot be read or is something else.
    """
    path = out / METRICS_NAME
    newest: dict[str, list[Page]] = {}
    try:
        with path.open("rb") as file:
            rows = whole_rows(file)
            header = next(rows, (b"", list[str]()))[1]
            if not is_header(header):
                raise OutputError(f"{path}: is not a table of this tool. Give the output folder of a run.")
            for group in groups(rows):
                if group.is_whole:
                    newest[group.key] = [_page(dict(zip(header, row, strict=False))) for row in group.rows]
    except FileNotFoundError:
        raise UsageError(f"{out}: no {METRICS_NAME} there. Give the output folder of a run.") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    except (ValueError, IndexError, KeyError) as error:
        raise OutputError(f"{path}: is damaged ({error}). Move it away; --overwrite then does all again.") from error
    return [page for pages in newest.values() for page in pages]


def totals(pages: Sequence[Page]) -> Totals:
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
        finished_at=max((page.finished_at for page in pages), default=""),
    )


def _page(cells: Mapping[str, str]) -> Page:
    def text(column: str) -> str:
        return from_cell(cells.get(column, ""))

    def number(column: str) -> float | None:
        cell = cells.get(column, "")
        value = float(cell) if cell else math.nan
        return None if math.isnan(value) else value

    def integer(column: str) -> int | None:
        cell = cells.get(column, "")
        return int(cell) if cell else None

    return Page(
        file=from_cell(cells["file"]),
        page=integer("page") or 1,
        pages=integer("pages") or 1,
        status=sys.intern(cells["status"]),
        output=text("output"),
        width=integer("width"),
        height=integer("height"),
        model=sys.intern(text("model")),
        strength=number("strength"),
        noise_before=number("noise_before"),
        noise_after=number("noise_after"),
        flat_noise_before=number("flat_noise_before"),
        flat_noise_after=number("flat_noise_after"),
        structure_removed=number("structure_removed"),
        estimated_gain=number("estimated_psnr_gain"),
        psnr=number("psnr"),
        ssim=number("ssim"),
        mse=number("mse"),
        mae=number("mae"),
        psnr_gain=number("psnr_gain"),
        ssim_gain=number("ssim_gain"),
        seconds=number("seconds"),
        settings=sys.intern(text("settings")),
        source_bytes=integer("source_bytes"),
        finished_at=text("finished_at"),
        notes=text("notes"),
        source_folder=sys.intern(text("source_folder")),
    )
