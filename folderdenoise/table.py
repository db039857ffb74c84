"""The table ``metrics.csv``: what its rows are, how they are written as text, and how they are read back."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")


@dataclass(frozen=True, slots=True)
class Row:
    """One page of one file: the columns of ``metrics.csv``, in their order.

    ``noise_before`` and ``noise_after`` are standard deviations in 8-bit levels (0 to 255), whatever the bit depth;
    ``psnr`` to ``mae`` compare the denoised pixels, before they are stored, with the reference, data range 1;
    ``psnr_gain`` and ``ssim_gain`` are those less the input's own. ``seconds`` is the time of the whole file, all its
    pages, from opening to publishing. ``pages`` is how many pages, and so rows, the file has; ``model_sha256`` is the
    hash of the model's graph. ``flat_noise_before`` and ``flat_noise_after`` in 8-bit levels, ``structure_removed``
    from 0 to 1 and ``estimated_psnr_gain`` in dB, if asked for, are what ``evidence.py`` finds. ``source_folder`` is
    the absolute path of the input folder, below which the file is ``file``. None is an empty cell.
    ``psnr`` may be infinite, ``psnr_gain`` of either sign too.
    """

    file: str
    page: int = 1
    status: str = "done"
    output: str | None = None
    width: int | None = None
    height: int | None = None
    channels: int | None = None
    bit_depth: int | None = None
    model: str | None = None
    strength: float | None = None
    noise_before: float | None = None
    noise_after: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    mse: float | None = None
    mae: float | None = None
    psnr_gain: float | None = None
    ssim_gain: float | None = None
    seconds: float | None = None
    megapixels_per_second: float | None = None
    source_bytes: int | None = None
    source_mtime_ns: int | None = None
    source_sha256: str | None = None
    settings: str | None = None
    finished_at: str | None = None
    notes: str = ""
    pages: int = 1
    model_sha256: str | None = None
    flat_noise_before: float | None = None
    flat_noise_after: float | None = None
    structure_removed: float | None = None
    estimated_psnr_gain: float | None = None
    source_folder: str | None = None

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


COLUMNS = tuple(field.name for field in fields(Row))
_DECIMALS = {
    "strength": 3,
    "noise_before": 2,
    "noise_after": 2,
    "psnr": 4,
    "ssim": 6,
    "mse": 9,
    "mae": 7,
    "psnr_gain": 4,
    "ssim_gain": 6,
    "seconds": 3,
    "megapixels_per_second": 3,
    "flat_noise_before": 2,
    "flat_noise_after": 2,
    "structure_removed": 3,
    "estimated_psnr_gain": 2,
}


def to_cell(value: object, column: str) -> str:
    """``value`` as text that a spreadsheet takes as a value, never as a formula.

    Text that starts like a formula (or with an apostrophe) gets an apostrophe in front; :func:`from_cell` takes it
    off again. File names that are no Unicode show their odd bytes as ``\\udcNN``, as Python reads them.
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{_DECIMALS[column]}f}"
    if isinstance(value, int):
        return str(value)
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def from_cell(cell: str) -> str:
    """The text that :func:`to_cell` made ``cell`` of."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA_STARTS) else cell


def parse(columns: Sequence[str], cells: Sequence[str]) -> Row:
    """The row that ``cells`` are, under the header ``columns``, of this or of another version.

    Columns that this version does not know are left out; those that are not there, and empty cells, have their
    defaults. Raises ValueError where a cell is not what its column says.
    """
    return Row(
        **{
            column: _PARSERS[column](cell)
            for column, cell in zip(columns, cells, strict=False)
            if (cell or column == "file") and column in _PARSERS
        }
    )


class Record(NamedTuple):
    """What the table says of one file, as far as it matters for doing the file again. ``None``: an empty cell.

    ``models`` has, for each kind of page in the file, its channels and the hash of the model that did it.
    ``is_whole`` is false where a crash cut the last pages' rows off.
    """

    status: str
    source_bytes: int | None
    source_mtime_ns: int | None
    source_sha256: str
    strength: str
    settings: str
    models: tuple[tuple[int, str], ...]
    is_whole: bool
    source_folder: str


class Group(NamedTuple):
    """The rows of one file as they stand in the table: its key (a cell), their bytes, their cells."""

    key: str
    data: bytes
    rows: list[list[str]]

    def record(self) -> Record:
        """The same, in short. Raises ValueError where a cell is not what its column says."""
        # Not by parse(): of each row a few cells count, and with 200,000 files the others take seconds.
        pages = [dict(zip(COLUMNS, row, strict=False)) for row in self.rows]
        first = pages[0]
        models = {
            (int(page["channels"]), sys.intern(page.get("model_sha256", ""))) for page in pages if page["channels"]
        }
        return Record(
            status=sys.intern(first["status"]),
            source_bytes=_integer(first["source_bytes"]),
            source_mtime_ns=_integer(first["source_mtime_ns"]),
            source_sha256=first["source_sha256"],
            strength=sys.intern(first["strength"]),
            settings=sys.intern(first["settings"]),
            models=_shared(tuple(sorted(models))),
            is_whole=self.is_whole,
            source_folder=sys.intern(first.get("source_folder", "")),
        )

    @property
    def is_whole(self) -> bool:
        """Whether there is a row for each page."""
        first = self.rows[0]
        # Tables from before that column cannot tell.
        return len(first) <= _PAGES or first[_PAGES] in ("", str(len(self.rows)))


def key_of(relative: str) -> str:
    """The cell that stands for a file in the column ``file``."""
    return to_cell(relative, "file")


def encode(rows: Sequence[Sequence[str]]) -> bytes:
    """Rows of cells as the bytes of the table."""
    # Not by csv.writer, which before Python 3.13 leaves a carriage return unquoted: its reader ends the line there.
    return "".join(",".join(map(_quoted, row)) + "\n" for row in rows).encode("utf-8")


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(character in cell for character in ',"\r\n') else cell


def read(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a ``metrics.csv`` as column -> cell text, formula guards taken off."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            # A row of an older version lacks the columns that were added since.
            yield {column: from_cell(cell or "") for column, cell in row.items()}


def whole_rows(lines: Iterable[bytes]) -> Iterator[tuple[bytes, list[str]]]:
    """The rows of a table's lines, header first, as bytes and cells, up to one that a crash left half-written."""
    data = b""
    for line in lines:
        data += line
        # Quotes come in pairs, doubled ones too: an odd number means that this line end is inside a cell.
        if data.endswith(b"\n") and data.count(b'"') % 2 == 0:
            text = data.decode("utf-8")
            yield data, next(csv.reader([text])) if '"' in text else text.rstrip("\r\n").split(",")
            data = b""


def groups(rows: Iterator[tuple[bytes, list[str]]]) -> Iterator[Group]:
    """The rows behind the header, file by file. A file that was done again comes again."""
    group: Group | None = None
    for data, cells in rows:
        if group is not None and cells[0] == group.key and cells[1] != "1":
            group = Group(group.key, group.data + data, [*group.rows, cells])
            continue
        if group is not None:
            yield group
        group = Group(cells[0], data, [cells])
    if group is not None:
        yield group


def is_header(cells: Sequence[str]) -> bool:
    """Whether ``cells`` are the header of this table, as this version writes it or another: columns are only added."""
    shared = min(len(cells), len(COLUMNS))
    return shared >= _FIRST_COLUMNS and tuple(cells[:shared]) == COLUMNS[:shared]


def _integer(cell: str) -> int | None:
    return int(cell) if cell else None


def _number(cell: str) -> float | None:
    value = float(cell)
    return None if math.isnan(value) else value


def _repeated(cell: str) -> str:
    """Text that many rows have alike, in memory once."""
    return sys.intern(from_cell(cell))


# Types are strings here, such as "float | None".
_BY_TYPE: dict[str, Callable[[str], Any]] = {"int": int, "float": _number, "str": from_cell}
_REPEATED = frozenset({"status", "model", "settings", "model_sha256", "source_folder"})
_PARSERS: dict[str, Callable[[str], Any]] = {
    field.name: _repeated if field.name in _REPEATED else _BY_TYPE[str(field.type).split()[0]] for field in fields(Row)
}

_FIRST_COLUMNS = COLUMNS.index("notes") + 1
_PAGES = COLUMNS.index("pages")
_models: dict[tuple[tuple[int, str], ...], tuple[tuple[int, str], ...]] = {}


def _shared(models: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
    # A table of 200,000 files has a handful of these.
    return _models.setdefault(models, models)
