"""One whole run over a folder: checks, plan, models, batch, ledger. What every front end calls."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal, Protocol, cast

from . import batch, folder, zoo
from .batch import Outcome, Report, Settings
from .engine import Denoiser
from .errors import OutputError
from .folder import METRICS_NAME, Plan, Selection, Task
from .ledger import Ledger, Row

INTERRUPTED = 130


@dataclass(frozen=True)
class Order:
    """What the user asked for, besides the selection of files. Units and ranges as on the command line."""

    source: Path
    out: Path
    model: str = "auto"
    strength: float = 1.0
    reference: Path | None = None
    precision: str = "auto"
    tile: int | None = None
    jobs: int | None = None
    max_megapixels: float = 2000.0

    @property
    def settings(self) -> Settings:
        """What changes pixels, as it stands in the ledger."""
        text = f"precision={self.precision} tile={self.tile or 'auto'}"
        return Settings(self.strength, self.max_megapixels, text)


class Listener(Protocol):
    """Who hears of a run's course."""

    def started(self, plan: Plan) -> None:
        """The plan is made; work begins."""
        ...

    def warned(self, message: str) -> None:
        """Something to know, which stops nothing."""
        ...

    def finished_file(self, outcome: Outcome) -> None:
        """One file is done or failed, and its rows are in the ledger."""
        ...

    def finished(self, report: Report, interrupted: bool) -> None:
        """All is done, or the run was interrupted."""
        ...


def plan(order: Order, selection: Selection) -> Plan:
    """The plan of a run, with nothing touched. Raises UsageError, and ModelError for a model that is not there."""
    _denoiser(order)
    return folder.make_plan(order.source, order.out, selection, order.reference)


def run(order: Order, selection: Selection, listener: Listener) -> int:
    """Run and return the exit code: 0 all done, 1 some files failed, 130 interrupted.

    Raises :class:`UsageError`, :class:`OutputError` and :class:`ModelError`, with everything finished kept.
    """
    denoiser = _denoiser(order)
    made = folder.make_plan(order.source, order.out, selection, order.reference)
    report = Report(skipped=len(made.skipped))
    if not made.tasks and not made.unreadable:
        listener.started(made)
        listener.finished(report, False)
        return 0
    for card in {card.name: card for card in map(denoiser.card_for, (1, 3))}.values():
        # A damaged model is found before the first file is touched.
        zoo.read_graph(card)
        if card.domain != "photographs":
            listener.warned(f"{card.name} is made for {card.domain}, not for photographs or scans.")
    _check_writable(order.out)
    with Ledger(order.out / METRICS_NAME) as ledger, _interruptible() as stop:
        listener.started(made)

        def record(outcome: Outcome) -> None:
            ledger.append(outcome.rows)
            report.add(outcome)
            listener.finished_file(outcome)

        for unreadable in made.unreadable:
            relative = unreadable.path.relative_to(order.source).as_posix()
            row = Row(file=relative, status="failed", notes=f"{unreadable.path}: {unreadable.reason}")
            record(Outcome(Task(unreadable.path, relative, order.out / relative), (row,)))
        batch.run_batch(made.tasks, denoiser, order.settings, record, jobs=_jobs(order), stop=stop)
    interrupted = stop.is_set()
    listener.finished(report, interrupted)
    return INTERRUPTED if interrupted else report.exit_code


def _denoiser(order: Order) -> Denoiser:
    precision = cast(Literal["auto", "f32", "bf16"], order.precision)
    return Denoiser(order.model, precision=precision, tile=order.tile)


def _jobs(order: Order) -> int:
    # Two files hide reading and writing behind the network even on one core; more would only add memory.
    return order.jobs or min(4, max(2, os.cpu_count() or 1))


def _check_writable(out: Path) -> None:
    """Find out before any work, not after the first image, that nothing can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({error.strerror}). Choose another folder with --out.") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(f"{out}: cannot be written to. Check its permissions or choose another folder with --out.")


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets: files under way are finished. The second one interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
