"""``metrics.csv`` kept durably: rows are whole or absent after a crash, and there is one set of them for each file."""

from __future__ import annotations

import contextlib
import csv
import errno
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from .errors import OutputError
from .publish import is_at, published, sync_folder, unwritable
from .table import COLUMNS, Record, Row, encode, groups, is_header, key_of, to_cell, whole_rows

# The table is written anew when more than one row in so many is out of date: at once while it is small, and rarely
# enough when it is large that doing everything again costs some fifty rewrites.
_STALE_SHARE = 50


def read_records(path: Path) -> dict[str, Record]:
    """What the table at ``path`` says, by the cell of each file; nothing where there is no table.

    Raises :class:`OutputError` if it cannot be read, or is something else than this table.
    """
    return _scan(path).records


@dataclass
class _Scan:
    """What a table says, its length up to the last whole row in bytes, and whether it has exactly what it should:
    one set of rows for each file, a row for each page, all our columns."""

    records: dict[str, Record] = field(default_factory=dict)
    whole: int = 0
    is_tidy: bool = True


def _scan(path: Path) -> _Scan:
    scan = _Scan()
    try:
        with path.open("rb") as file:
            rows = whole_rows(file)
            header = next(rows, None)
            if header is None:
                return scan
            if not is_header(header[1]):
                raise OutputError(f"{path}: is not a table of this tool. Move it away or choose another --out.")
            scan.whole = len(header[0])
            scan.is_tidy = len(header[1]) >= len(COLUMNS)
            for group in groups(rows):
                scan.whole += len(group.data)
                scan.is_tidy = scan.is_tidy and group.is_whole and group.key not in scan.records
                if group.is_whole:
                    scan.records[group.key] = group.record()
            return scan
    except FileNotFoundError:
        return scan
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    except (ValueError, LookupError, csv.Error) as error:
        raise OutputError(f"{path}: is damaged ({error}). Move it away; --overwrite then does all again.") from error


class Ledger:
    """``metrics.csv``, open for appending. A context manager. ``records`` is what it says, by the cell of each file.

    Opening cuts off what a crash left half-written. The rows of a file that is done again stand behind its older ones
    for a moment: the table is then written anew beside the old one and renamed over it.

    Raises :class:`OutputError` if the file cannot be written, or holds something else than this table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._stale = 0
        scan = _scan(path)
        self.records = scan.records
        try:
            self._open(scan.whole)
        except OSError as error:
            raise unwritable(path, error, path.parent) from error
        if not scan.is_tidy:
            self._rewrite({})

    def append(self, *files: Sequence[Row]) -> None:
        """Add the rows of one file, or of several: on the disk when this returns."""
        cells = [[to_cell(getattr(row, column), column) for column in COLUMNS] for rows in files for row in rows]
        data = encode(cells)
        try:
            self._check_place()
            self._write(data)
        except OSError as error:
            raise unwritable(self._path, error, self._path.parent) from error
        self._stale += sum(key_of(rows[0].file) in self.records for rows in files)
        self.records.update((group.key, group.record()) for group in groups(iter([(data, row) for row in cells])))
        if self._stale * _STALE_SHARE > len(self.records):
            self.tidy()

    def touch(self, mtimes: Mapping[str, int]) -> None:
        """Note new modification times (in ns, by the cell of the file) of sources whose content is what it was."""
        if mtimes:
            self._rewrite(mtimes)

    def forget(self, keys: Collection[str]) -> None:
        """Drop the rows of these files, named by their cells."""
        if keys:
            self._rewrite({}, keys)

    def tidy(self) -> None:
        """Leave one set of rows for each file, if some was done again since the last time."""
        if self._stale:
            self._rewrite({})

    def close(self) -> None:
        """Close the file, with one set of rows for each input file."""
        try:
            self.tidy()
        finally:
            self._release()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What ended the run matters more than that the table could not be written anew: the next run will.
        with contextlib.suppress(OutputError) if error is not None else contextlib.nullcontext():
            self.close()

    def _open(self, whole: int | None = None) -> None:
        """Open for appending; cut off what is behind ``whole`` bytes."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self._path, flags, 0o644)
        size = os.fstat(self._descriptor).st_size
        if whole is not None and whole < size:
            os.ftruncate(self._descriptor, whole)
            size = whole
        if size == 0:
            self._write(encode([COLUMNS]))
            sync_folder(self._path.parent)

    def _places(self) -> tuple[list[str], dict[str, tuple[int, int]]]:
        """The header, with all our columns, and where the newest whole rows of each file are: first byte and length.

        Places in the file, not rows: the table may have hundreds of megabytes.
        """
        places = {}
        with self._path.open("rb") as table:
            rows = whole_rows(table)
            data, header = next(rows)
            position = len(data)
            for group in groups(rows):
                if group.is_whole:
                    places[group.key] = position, len(group.data)
                position += len(group.data)
        return [*header, *COLUMNS[len(header) :]], places

    def _reopen(self) -> None:
        """Open the table if it is not, as it may have come to be written anew."""
        if self._descriptor == -1:
            try:
                self._open()
            except OSError as error:
                raise unwritable(self._path, error, self._path.parent) from error

    def _release(self) -> None:
        if self._descriptor != -1:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes) -> None:
        before = os.fstat(self._descriptor).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        except OSError:
            # A disk that fills up takes a part of a row.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise

    def _check_place(self) -> None:
        """Rows written to a table that was removed or replaced would be lost without a sound."""
        if is_at(self._descriptor, self._path):
            return
        if self._path.parent.is_dir():
            raise OutputError(f"{self._path}: was removed or replaced during the run. Bring it back and run again.")
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._path))

    def _rewrite(self, mtimes: Mapping[str, int], without: Collection[str] = ()) -> None:
        """Keep the newest whole rows of each file, in the order in which the files were first met."""
        try:
            self._check_place()
            header, places = self._places()
            for key in without:
                places.pop(key, None)
        except OSError as error:
            raise unwritable(self._path, error, self._path.parent) from error
        try:
            with published(self._path, self._path.parent) as aside:
                with self._path.open("rb") as old, aside.open("wb") as new:
                    new.write(encode([header]))
                    for key, (position, length) in places.items():
                        old.seek(position)
                        data = old.read(length)
                        new.write(_with_mtime(data, mtimes[key]) if key in mtimes else data)
                # Windows renames nothing over a file that is open.
                self._release()
        finally:
            self._reopen()
        self._stale = 0
        for key in self.records.keys() - places.keys():
            del self.records[key]
        for key, mtime in mtimes.items():
            self.records[key] = self.records[key]._replace(source_mtime_ns=mtime)


def _with_mtime(data: bytes, mtime_ns: int) -> bytes:
    rows = [cells for _, cells in whole_rows(data.splitlines(keepends=True))]
    for cells in rows:
        cells[COLUMNS.index("source_mtime_ns")] = str(mtime_ns)
    return encode(rows)
