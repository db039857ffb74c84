"""What is already done: the rows of an earlier run held against the files that are there now."""

from __future__ import annotations

import enum
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ResultTakenError, UsageError
from .folder import Task
from .images import FORMATS
from .naming import output_name
from .table import Record, from_cell, key_of, to_cell
from .tree import METRICS_NAME


class Failed(enum.Enum):
    """What becomes of files that failed in an earlier run: done again, nothing else done, or left until they change."""

    AGAIN = enum.auto()
    ONLY = enum.auto()
    LEAVE = enum.auto()


@dataclass
class Resume:
    """Decides which files need doing.

    ``records`` is what the table says by the cell of each file, None where there is no table yet. ``strength``,
    ``settings`` and ``models`` (hash of the graph by number of channels) are what this run would do it with.
    ``touched`` collects, by the cell of the file, the new modification times (ns) of sources whose content is as it
    was: note them in the table, or they are read again each time.
    """

    records: Mapping[str, Record] | None
    strength: float
    settings: str
    models: Mapping[int, str]
    failed: Failed = Failed.AGAIN
    overwrite: bool = False
    touched: dict[str, int] = field(default_factory=dict)

    def reason_to_skip(self, task: Task) -> str | None:
        """Why ``task`` needs no doing, or None.

        Raises :class:`UsageError` where the result would replace a file that no run here has made, or that was made of
        another picture, in another folder; :class:`ResultTakenError` where it was made of a file of another name.
        """
        reason = self._reason_to_skip(task)
        if reason is None and (owner := self.owner(task)):
            raise ResultTakenError(
                f"{task.output}: is the result of {owner}, and {task.source} would replace it. Rename one of the two, "
                "remove that result, choose another --out, or replace such results with --overwrite."
            )
        return reason

    def _reason_to_skip(self, task: Task) -> str | None:
        record = (self.records or {}).get(key_of(task.relative))
        if self.failed is Failed.ONLY and (record is None or record.status != "failed"):
            return "did not fail before (--retry-failed does only what failed)"
        if self.overwrite:
            return None
        exists = self.has_result(task)
        if self.records is None and exists:
            raise UsageError(
                f"{task.output}: is there already, but no {METRICS_NAME} says that it is a result of this tool. "
                "Choose another --out; or bring that table back; or replace such files with --overwrite."
            )
        if record is None:
            return None
        identity = self.identity(task)
        if identity is None:
            # It gets a row that says what is wrong with it.
            return None
        size, mtime_ns = identity
        is_untouched = (record.source_bytes, record.source_mtime_ns) == identity
        is_same = is_untouched or (record.source_bytes == size and self.has_content(task, record.source_sha256))
        if exists and not is_same and record.source_folder not in ("", to_cell(self.folder(task), "source_folder")):
            raise UsageError(
                f"{task.output}: is the result of another {task.relative}, in {record.source_folder}, and "
                f"{task.source} would replace it. Choose another --out; or replace such results with --overwrite."
            )
        if record.status == "failed":
            return "failed before and has not changed" if self.failed is Failed.LEAVE and is_untouched else None
        if not exists or not is_same or not self._is_alike(record):
            return None
        if mtime_ns is not None and not is_untouched:
            self.touched[key_of(task.relative)] = mtime_ns
        return f"already done: {task.output} (--overwrite does it again)"

    def has_result(self, task: Task) -> bool:
        """Whether something stands where the result goes."""
        return task.output.exists()

    def identity(self, task: Task) -> tuple[int, int | None] | None:
        """Size and modification time (ns, None where nobody knows) of the source; None if it cannot be looked at."""
        try:
            status = task.source.stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns

    def has_content(self, task: Task, sha256: str) -> bool:
        """Whether the source has the content of this hash."""
        return _has_hash(task.source, sha256)

    def folder(self, task: Task) -> str:
        """Where the source is from, as rows say it."""
        return task.folder

    def owner(self, task: Task) -> str | None:
        """Another file whose result, by the table, stands where that of ``task`` would go; None if it may go there.

        They meet where one of them is stored in another format. A file that this run would store under another name
        is none: that name will be free.
        """
        if self.overwrite:
            return None
        key, name = key_of(task.relative), output_name(task.relative, _suffix(self.settings))
        folder = to_cell(self.folder(task), "source_folder")
        if self._result(key) == name:
            return None
        for owner in {key_of(name), self._converted.get(name, key)} - {key}:
            if self._result(owner) != name:
                continue
            is_moved = output_name(from_cell(owner), _suffix(self.settings)) != name
            if not is_moved or (self.records or {})[owner].source_folder not in ("", folder):
                # Asked last: the table is at hand, and most files have no rival in it.
                return from_cell(owner) if self.has_result(task) else None
        return None

    @functools.cached_property
    def _converted(self) -> dict[str, str]:
        """The cells of the files whose results were stored in another format, by the names of these."""
        records = self.records or {}
        return {name: key for key in records if "format=" in records[key].settings and (name := self._result(key))}

    def _result(self, key: str) -> str | None:
        """The name of the result that a file, by its cell, is said to have; None where it has none."""
        record = (self.records or {}).get(key)
        if record is None or record.status != "done":
            return None
        return output_name(from_cell(key), _suffix(record.settings))

    def _is_alike(self, record: Record) -> bool:
        """Whether this run would make the same pixels of it."""
        return (
            record.strength == to_cell(self.strength, "strength")
            and _that_change_pixels(record.settings) == _that_change_pixels(self.settings)
            and all(self.models.get(channels) == sha256 for channels, sha256 in record.models)
        )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _has_hash(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False


def _suffix(settings: str) -> str | None:
    """What results are stored as under these ``settings`` (".png"); None: as they were."""
    return next((FORMATS[word[7:]] for word in settings.split() if word.startswith("format=")), None)


def _that_change_pixels(settings: str) -> list[str]:
    # Tiled equals untiled: who makes the tiles smaller to save memory does not want all done again.
    return [word for word in settings.split() if not word.startswith("tile=")]
