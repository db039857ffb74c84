"""``metrics.csv``: one row per page of every file, appended durably, whole or absent after a crash."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType

from .errors import OutputError

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")


@dataclass(frozen=True)
class Row:
    """One page of one file: the columns of ``metrics.csv``, in their order.

    ``noise_before`` and ``noise_after`` are standard deviations in 8-bit levels (0 to 255), whatever the bit depth;
    ``psnr`` to ``mae`` compare the denoised pixels, before they are stored, with the reference, data range 1;
    ``psnr_gain`` and ``ssim_gain`` are those less the input's own. ``seconds`` is the time of the whole file, all its
    pages, from opening to publishing. None is an empty cell.
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
}


def to_cell(value: object, column: str) -> str:
    """``value`` as text that a spreadsheet takes as a value, never as a formula.

    Text that starts like a formula (or with an apostrophe) gets an apostrophe in front; :func:`from_cell` takes it
    off again. File names that are no Unicode show their odd bytes as ``\\xNN``.
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


class Ledger:
    """``metrics.csv``, open for appending. A context manager.

    Opening cuts off a row that a crash left half-written. Rows of a file that is done again stand behind its older
    ones until the ledger is closed, which keeps the newest rows of each file only.

    Raises :class:`OutputError` if the file cannot be written, or holds something else than this table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._known = self._mend()
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
            if os.fstat(self._fd).st_size == 0:
                self._append(_encode([COLUMNS]))
        except OSError as error:
            raise _unwritable(path, error) from error
        self._redone = False

    def append(self, rows: Sequence[Row]) -> None:
        """Add the rows of one file: on the disk when this returns."""
        cells = [[to_cell(getattr(row, column), column) for column in COLUMNS] for row in rows]
        try:
            self._append(_encode(cells))
        except OSError as error:
            raise _unwritable(self._path, error) from error
        for row in cells:
            self._redone = self._redone or row[0] in self._known
        self._known.update(row[0] for row in cells)

    def close(self) -> None:
        """Close the file, with one set of rows for each input file."""
        os.close(self._fd)
        if self._redone:
            self._compact()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        os.fsync(self._fd)

    def _mend(self) -> set[str]:
        """Cut a torn last row off and return the files that have rows."""
        if not self._path.exists():
            return set()
        data = self._path.read_bytes()
        whole = _whole_rows(data)
        if whole < len(data):
            with self._path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
        rows = csv.reader(io.StringIO(data[:whole].decode("utf-8"), newline=""))
        header = next(rows, None)
        if header is not None and tuple(header[: len(COLUMNS)]) != COLUMNS:
            raise OutputError(f"{self._path}: is not a table of this tool. Move it away or choose another --out.")
        return {row[0] for row in rows}

    def _compact(self) -> None:
        """Keep the newest rows of each file, in the order in which the files were first met."""
        latest: dict[str, list[list[str]]] = {}
        with self._path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            header = next(reader)
            for row in reader:
                pages = latest.setdefault(row[0], [])
                # Page 1 begins a file's rows anew.
                if row[1] == "1":
                    pages.clear()
                pages.append(row)
        try:
            with tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=".metrics-", delete=False) as aside:
                aside.write(_encode([header, *(row for pages in latest.values() for row in pages)]))
                aside.flush()
                os.fsync(aside.fileno())
            Path(aside.name).chmod(0o644)
            Path(aside.name).replace(self._path)
        except OSError as error:
            raise _unwritable(self._path, error) from error


def read(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a ``metrics.csv`` as column -> cell text, formula guards taken off."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            # A row of an older version lacks the columns that were added since.
            yield {column: from_cell(cell or "") for column, cell in row.items()}


def _encode(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


def _whole_rows(data: bytes) -> int:
    """Length of the part of ``data`` that ends with a whole row: a line end outside quotes."""
    end = len(data)
    while end > 0:
        end = data.rfind(b"\n", 0, end) + 1
        # Quotes come in pairs, doubled ones too: an odd number before means that this line end is inside a cell.
        if data.count(b'"', 0, end) % 2 == 0:
            return end
        end -= 1
    return 0


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written ({error.strerror}). Free space or choose another --out.")
