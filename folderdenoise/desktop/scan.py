"""Looking through what was dropped: which pictures there are, and which of them are done already."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from .. import folder, job
from ..errors import FolderDenoiseError, UsageError
from ..ledger import read_records
from ..order import Order
from ..table import read as read_table
from ..tree import METRICS_NAME
from .entries import Entry, State
from .sources import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scanned:
    """What was found in a source; ``error``: why it cannot be worked on as it is."""

    source: Source
    entries: tuple[Entry, ...]
    error: Exception | None = None


class _Line:
    """What one thread has to look through, and whether there is that thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Source, Order]] = deque()
        self._is_served = False

    def add(self, one: tuple[Source, Order]) -> bool:
        """Take one in; whether a thread must be started for it."""
        with self._lock:
            self._waiting.append(one)
            was_served, self._is_served = self._is_served, True
            return not was_served

    def next(self) -> tuple[Source, Order] | None:
        """The next one; None where there is none, and the thread ends."""
        with self._lock:
            self._is_served = bool(self._waiting)
            return self._waiting.popleft() if self._waiting else None

    def clear(self) -> None:
        """Nothing waits any more."""
        with self._lock:
            self._waiting.clear()


class Scanner(QObject):
    """Looks through sources in a thread, one after the other; ``found`` tells of each, ``idle`` of the end.

    What was asked for before ``forget`` is not told any more, and not begun. ``threads``: those that may be at work.
    """

    found = Signal(object)
    idle = Signal()
    _told = Signal(int, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._left = 0
        self._generation = 0
        self._line = _Line()
        self.threads: list[threading.Thread] = []
        self._told.connect(self._on_told)

    @property
    def is_busy(self) -> bool:
        """Whether there is something left to look through."""
        return self._left > 0

    def look(self, source: Source, order: Order) -> None:
        """Look through a source of which ``order`` would be made."""
        self._left += 1
        line, generation = self._line, self._generation

        def work() -> None:
            while (next_one := line.next()) is not None:
                self._told.emit(generation, _scan(*next_one))

        if line.add((source, order)):
            self.threads = [thread for thread in self.threads if thread.is_alive()]
            self.threads.append(threading.Thread(target=work, name="scan", daemon=True))
            self.threads[-1].start()

    def forget(self) -> None:
        """Nothing of what is under way is wanted any more."""
        self._generation += 1
        self._left = 0
        self._line.clear()
        # What comes next need not wait for a folder on a slow drive that is still being looked through.
        self._line = _Line()

    def _on_told(self, generation: int, scanned: Scanned) -> None:
        if generation != self._generation:
            return
        self._left -= 1
        self.found.emit(scanned)
        if not self._left:
            self.idle.emit()


def _scan(source: Source, order: Order) -> Scanned:
    try:
        plan = folder.make_plan(order.source, order.out, source.selection)
        entries = [_entry(task, order) for task in plan.tasks]
        entries += [
            Entry(bad.path, order.source, order.out, state=State.FAILED, message=bad.reason) for bad in plan.unreadable
        ]
        return _with_results(source, order, entries, {task.source: task for task in plan.tasks})
    except FolderDenoiseError as error:
        return Scanned(source, (), error)
    except Exception as error:
        log.exception("%s: unexpected error", source.root)
        return Scanned(source, (), error)


def _with_results(source: Source, order: Order, entries: list[Entry], tasks: Mapping[Path, folder.Task]) -> Scanned:
    """The entries, with what an earlier run says about them."""
    table = order.out / METRICS_NAME
    try:
        is_done = _done_before(source, order, table)
        done = {path for path, task in tasks.items() if is_done(task)}
    except UsageError as error:
        return Scanned(source, tuple(entries), error)
    rows = {row["file"]: row for row in read_table(table) if row["page"] == "1"} if done else {}
    return Scanned(
        source,
        tuple(_done(entry, rows.get(entry.relative, {})) if entry.source in done else entry for entry in entries),
    )


def _done_before(source: Source, order: Order, table: Path) -> Callable[[folder.Task], bool]:
    records = read_records(table) if table.exists() else None
    resume = job.resume_for(order, source.selection, job.denoiser_for(order), records)
    return lambda task: resume.reason_to_skip(task) is not None


def _done(entry: Entry, row: Mapping[str, str]) -> Entry:
    cells = [row.get(column, "") for column in ("width", "height", "noise_before", "noise_after", "strength")]
    try:
        width, height, before, after, strength = (float(cell) if cell else None for cell in cells)
    except ValueError:  # a table that somebody has edited
        return replace(entry, state=State.DONE)
    return replace(
        entry,
        state=State.DONE,
        width=None if width is None else int(width),
        height=None if height is None else int(height),
        noise=None if before is None or after is None else (before, after),
        message=row.get("notes", ""),
        made_with=None if strength is None else (strength, frozenset({row.get("model_sha256", "")})),
    )


def _entry(task: folder.Task, order: Order) -> Entry:
    entry = Entry(task.source, order.source, task.output)
    try:
        found = task.source.stat()
    except OSError:
        return entry
    return replace(entry, size=found.st_size, mtime_ns=found.st_mtime_ns)
