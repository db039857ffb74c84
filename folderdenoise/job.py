"""One whole run over a folder: checks, plan, models, batch, ledger. What every front end calls."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Literal, Protocol, cast

from . import batch, folder, resources, zoo
from .batch import Outcome, Report, Settings
from .engine import Denoiser
from .errors import OutputBusyError, OutputError
from .folder import Plan, Selection, Task
from .ledger import Ledger, read_records
from .lock import locked, refuse_held
from .order import Listener, Order
from .publish import remove_leftovers
from .resources import Resources, Room
from .resume import Failed, Resume
from .table import Record, Row, from_cell
from .tree import METRICS_NAME

INTERRUPTED = 130


class Recorder(Protocol):
    """Hears of what became of files, of one or of several at once."""

    def __call__(self, *outcomes: Outcome) -> None:
        """Raises OutputError where that cannot be written down."""
        ...


class Work(Protocol):
    """Does the files of a run: tells ``record`` of each, in the calling thread, and ends early when ``stop`` is set."""

    def __call__(self, tasks: Sequence[Task], record: Recorder, stop: Stop) -> None:
        """Raises what concerns the whole run."""
        ...


def plan(order: Order, selection: Selection) -> Plan:
    """The plan of a run, with nothing touched. Raises UsageError, and ModelError for a model that is not there."""
    denoiser = denoiser_for(order)
    table = order.out / METRICS_NAME
    resume = resume_for(order, selection, denoiser, read_records(table) if table.exists() else None)
    return plan_for(order, selection, resume)


def run(
    order: Order,
    selection: Selection,
    listener: Listener,
    stop: Stop | None = None,
    go: threading.Event | None = None,
    work: Work | None = None,
) -> int:
    """Run and return the exit code: 0 all done, 1 some files failed, 130 interrupted.

    ``stop`` is set by another thread to interrupt the run; without it, Ctrl-C and SIGTERM do. While ``go`` is not set,
    the run is paused. ``work`` does the files, elsewhere perhaps; by default this process does.

    Raises :class:`UsageError`, :class:`OutputError` and :class:`ModelError`, with everything finished kept.
    """
    denoiser = denoiser_for(order)
    folder.check_places(order.source, order.out, order.reference)
    table = order.out / METRICS_NAME
    with contextlib.ExitStack() as stack:
        stop = stop or stack.enter_context(interruptible())
        is_taken = os.access(order.out, os.W_OK | os.X_OK)
        if is_taken:
            # Before the plan, so that what another run is about to do is not planned, and what a killed one left is
            # mended.
            stack.enter_context(taken(order, f"folderdenoise run {order.source}"))
        ledger = stack.enter_context(Ledger(table)) if is_taken and table.exists() else None
        # A finished run on a medium that cannot be written to has nothing to do, and no need to write.
        records = ledger.records if ledger else read_records(table) if table.exists() else None
        resume = resume_for(order, selection, denoiser, records)
        made = plan_for(order, selection, resume)
        report = Report(skipped=len(made.skipped), planned=len(made.tasks) + len(made.unreadable))
        if ledger:
            ledger.touch(resume.touched)
            ledger.forget(listed_again(order, made, ledger.records))
        if not made.tasks and not made.unreadable:
            listener.started(made)
            listener.finished(report, False)
            return 0
        check_models(denoiser, listener)
        work = work or work_here(order, len(made.tasks), listener, go)
        if not is_taken:
            stack.enter_context(taken(order, f"folderdenoise run {order.source}"))
            if table.exists():
                raise OutputBusyError(f"{order.out}: another run has just begun to write there. Run again.")
        if ledger is None:
            ledger = stack.enter_context(Ledger(table))
        listener.started(made)
        record = recorder(ledger, report, listener)
        for unreadable in made.unreadable:
            relative = unreadable.path.relative_to(order.source).as_posix()
            row = Row(file=relative, status="failed", notes=f"{unreadable.path}: {unreadable.reason}")
            record(Outcome(Task(unreadable.path, relative, order.out / relative), (row,)))
        try:
            work(made.tasks, record, stop)
        finally:
            listener.finished(report, stop.is_set())
        return INTERRUPTED if stop.is_set() else report.exit_code


def work_here(order: Order, files: int, listener: Listener, go: threading.Event | None) -> Work:
    """What does the ``files`` files of an order in this process, with what the machine has to give.

    Raises UsageError where it has too little, or not what was asked for.
    """
    given = resources_for(order, files)
    denoiser = denoiser_for(order, given)
    resources.bound_pools(given)
    check_device(denoiser, listener)

    def work(tasks: Sequence[Task], record: Recorder, stop: Stop) -> None:
        batch.run_batch(
            tasks,
            denoiser,
            settings_for(order, given),
            record,
            jobs=given.jobs,
            room=Room(given.memory),
            stop=stop,
            go=go,
        )

    return work


def denoiser_for(order: Order, given: Resources | None = None) -> Denoiser:
    """The models of an order. Raises ModelError where one is not there, UsageError where one lacks the strength.

    Without ``given`` to work with, it is for questions about the models.
    """
    precision = cast(Literal["auto", "f32", "bf16"], order.precision)
    denoiser = Denoiser(
        order.model,
        precision=precision,
        tile=given.tile if given else order.tile,
        threads=given.threads if given else order.threads,
        streams=given.streams if given else 1,
        device=order.device,
        best=order.best,
    )
    denoiser.check_strength(order.strength)
    return denoiser


def check_models(denoiser: Denoiser, listener: Listener) -> None:
    """Raise ModelError for a damaged model before the first file is touched, and warn of one for other pictures."""
    for card in {card.name: card for card in map(denoiser.card_for, (1, 3))}.values():
        zoo.read_graph(card)
        if card.domain != "photographs":
            listener.warned(f"{card.name} is made for {card.domain.replace('-', ' ')}, not for photographs or scans.")


def check_device(denoiser: Denoiser, listener: Listener) -> None:
    """Raise UsageError where this processor lacks the precision asked for, and warn of a device that is not there."""
    denoiser.check_precision()
    if note := denoiser.device_note:
        listener.warned(note)


def resume_for(
    order: Order,
    selection: Selection,
    denoiser: Denoiser,
    records: Mapping[str, Record] | None,
    failed: Failed | None = None,
) -> Resume:
    """What is already done of an order, going by the ``records`` of its table. ``failed``: None for what the selection
    says."""
    settings = order.settings
    models = {channels: denoiser.card_for(channels).sha256 for channels in (1, 3, 4)}
    failed = failed or (Failed.ONLY if selection.retry_failed else Failed.AGAIN)
    return Resume(records, settings.strength, settings.text, models, failed, selection.overwrite)


def listed_again(order: Order, made: Plan, records: Mapping[str, Record]) -> set[str]:
    """Of which folders the table says, by their cells, that they cannot be listed, although they can by now."""
    refused = {unreadable.path for unreadable in made.unreadable}
    return {
        key
        for key, record in records.items()
        if record.status == "failed"
        and record.source_bytes is None
        and (folder := order.source / from_cell(key)).is_dir()
        and folder not in refused
        and os.access(folder, os.R_OK | os.X_OK)
    }


def recorder(ledger: Ledger, report: Report, listener: Listener) -> Recorder:
    """What to do with outcomes: into the ledger first, then counted and told."""

    def record(*outcomes: Outcome) -> None:
        ledger.append(*(outcome.rows for outcome in outcomes))
        for outcome in outcomes:
            report.add(outcome)
            listener.finished_file(outcome)

    return record


def settings_for(order: Order, given: Resources) -> Settings:
    """How each file of an order is treated, with what is given for it."""
    return replace(order.settings, in_memory=given.in_memory)


def resources_for(order: Order, files: int | None) -> Resources:
    """What an order over so many ``files`` (None: not known) takes of the machine. Raises UsageError."""
    return resources.choose(
        threads=order.threads,
        jobs=order.jobs,
        tile=order.tile,
        memory=order.memory_bytes,
        files=files,
    )


@contextmanager
def taken(order: Order, command: str) -> Iterator[None]:
    """The output folder, made if need be, for ourselves alone, and free of what a killed run left.

    Raises :class:`OutputError` before any work, not after the first image, where nothing can be written.
    """
    out = order.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({error.strerror}). Choose another folder with --out.") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(f"{out}: cannot be written to. Check its permissions or choose another folder with --out.")
    with locked(out, command):
        refuse_held(remove_leftovers(out))
        yield


class Stop(threading.Event):
    """Set when a run is to stop; ``is_request``: it was asked to by SIGTERM, not interrupted by Ctrl-C."""

    is_request = False


@contextmanager
def interruptible() -> Iterator[Stop]:
    """An event that the first Ctrl-C or SIGTERM sets; the second one interrupts at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.is_request = number == signal.SIGTERM
        stop.set()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def plan_for(order: Order, selection: Selection, resume: Resume) -> Plan:
    """The plan of an order, given what is done. Raises UsageError."""
    return folder.make_plan(
        order.source,
        order.out,
        selection,
        order.reference,
        suffix=order.suffix,
        reason_to_skip=resume.reason_to_skip,
    )
