"""Runs in a thread: the same :func:`job.run` and :func:`watch.watch` as the command line's, heard as signals."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from .. import job
from ..batch import Outcome, Report
from ..errors import FolderDenoiseError
from ..folder import Plan, Selection
from ..habits import Habits
from ..order import Order

log = logging.getLogger(__name__)


class Told(QObject):
    """A :class:`order.Listener` that tells the window's thread. Its signals carry what the methods get."""

    plan_made = Signal(object)
    file_finished = Signal(object)
    file_skipped = Signal(object, str)
    warning = Signal(str)

    def started(self, plan: Plan) -> None:
        """The plan is made; work begins."""
        self.plan_made.emit(plan)

    def skipped(self, path: Path, reason: str) -> None:
        """A file that was met after the start is left alone."""
        self.file_skipped.emit(path, reason)

    def noted(self, message: str) -> None:
        """How things stand; the window says so in words of its own."""

    def warned(self, message: str) -> None:
        """Something to know, which stops nothing."""
        log.warning("%s", message)
        self.warning.emit(message)

    def finished_file(self, outcome: Outcome) -> None:
        """One file is done or failed."""
        self.file_finished.emit(outcome)

    def finished(self, report: Report, interrupted: bool) -> None:
        """All is done, or the run was interrupted: ``ended`` of its owner tells."""


class Worker(QObject):
    """Something that goes on in a thread until it is done or told to stop. ``ended`` tells the error, or None."""

    ended = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.told = Told(self)
        self.stop_event = job.Stop()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread is at work."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to end: what is finished is kept."""
        self.stop_event.set()

    @property
    def threads(self) -> list[threading.Thread]:
        """The thread, if there was one yet."""
        return [] if self._thread is None else [self._thread]

    def _begin(self, work: Callable[[], None], name: str) -> None:
        def guarded() -> None:
            error: Exception | None = None
            try:
                work()
            except FolderDenoiseError as caught:
                error = caught
            except Exception as caught:
                log.exception("unexpected error")
                error = caught
            self.ended.emit(error)

        self.stop_event = job.Stop()
        self._thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._thread.start()


@dataclass(frozen=True)
class Work:
    """A run to do: the order, and which files of it."""

    order: Order
    selection: Selection


class Runner(Worker):
    """Does runs, one after the other. Can be paused: files under way then wait where they are."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._go = threading.Event()

    @property
    def is_paused(self) -> bool:
        """Whether the run waits to be resumed."""
        return self.is_running and not self._go.is_set()

    def start(self, works: Sequence[Work]) -> None:
        """Begin. One run's error does not keep the others from being done; the first one is told in the end."""
        self._go.set()
        self._begin(lambda: self._run(works), "run")

    def pause(self) -> None:
        """Wait, until ``resume``."""
        self._go.clear()

    def resume(self) -> None:
        """Go on."""
        self._go.set()

    def _run(self, works: Sequence[Work]) -> None:
        first: FolderDenoiseError | None = None
        for work in works:
            if self.stop_event.is_set():
                break
            try:
                job.run(work.order, work.selection, self.told, self.stop_event, self._go)
            except FolderDenoiseError as error:
                first = first or error
        if first is not None:
            raise first


class Watcher(Worker):
    """Keeps watch over a folder until it is stopped."""

    def start(self, order: Order, habits: Habits) -> None:
        """Begin."""
        from .. import watch

        def work() -> None:
            watch.watch(order, Selection(), habits, self.told, self.stop_event)

        self._begin(work, "watch")
