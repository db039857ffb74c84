"""Keeping watch over a folder: what settles there goes through the same batch as a run's files.

Events only say where to look; what is done follows from the files themselves and from metrics.csv. So a lost event
costs time until the next look through the folder, and a restart goes on where the last watch ended, however it ended.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from . import folder, job, resources
from .errors import UsageError
from .folder import Plan, Planner, Selection
from .habits import Habits
from .inbox import Inbox
from .ledger import Ledger, read_records
from .order import Listener, Order
from .resume import Failed, Resume
from .tree import METRICS_NAME, Skipped, Tree


def watch(order: Order, selection: Selection, habits: Habits, listener: Listener, stop: job.Stop | None = None) -> int:
    """Watch ``order.source`` until SIGTERM, Ctrl-C or, with ``once``, until all is done; the exit code.

    With ``stop``, setting that from another thread is what ends it.

    0 after SIGTERM or ``once``, 1 if some files failed in a watch with ``once``, 130 after Ctrl-C. Raises
    :class:`UsageError`, :class:`OutputError` and :class:`ModelError`, with everything finished kept.
    """
    given = job.resources_for(order, None)
    denoiser = job.denoiser_for(order, given)
    _check(order, habits)
    resources.bound_pools(given)
    job.check_models(denoiser, listener)
    job.check_device(denoiser, listener)
    table = order.out / METRICS_NAME
    failed = _failed(selection)
    with contextlib.ExitStack() as stack:
        stop = stop or stack.enter_context(job.interruptible())
        stack.enter_context(job.taken(order, f"folderdenoise watch {order.source}"))
        if not table.exists():
            _refuse_strangers(order, selection, habits, job.resume_for(order, selection, denoiser, None, failed))
        ledger = stack.enter_context(Ledger(table))
        resume = job.resume_for(order, selection, denoiser, ledger.records, failed)
        inbox = Inbox(order, selection, habits, listener, ledger, resume)
        stack.callback(inbox.close)
        listener.started(Plan(order.out, (), (), ()))
        try:
            inbox.run(denoiser, given, stop)
        finally:
            listener.finished(inbox.report, stop.is_set() and not stop.is_request)
        if stop.is_set():
            return 0 if stop.is_request else job.INTERRUPTED
        return inbox.report.exit_code


def plan(order: Order, selection: Selection, habits: Habits) -> Plan:
    """What a watch would do with what is there now, with nothing touched. Raises as :func:`watch` does."""
    denoiser = job.denoiser_for(order)
    _check(order, habits)
    table = order.out / METRICS_NAME
    records = read_records(table) if table.exists() else None
    resume = job.resume_for(order, selection, denoiser, records, _failed(selection))
    made = folder.make_plan(
        order.source,
        order.out,
        selection,
        order.reference,
        suffix=order.suffix,
        excluded=habits.shelves,
        reason_to_skip=resume.reason_to_skip,
    )
    if habits.existing:
        return made
    left = tuple(Skipped(task.source, "was there at the start (--no-existing)") for task in made.tasks)
    return replace(made, tasks=(), skipped=(*left, *made.skipped))


def _failed(selection: Selection) -> Failed:
    return Failed.AGAIN if selection.retry_failed else Failed.LEAVE


def _check(order: Order, habits: Habits) -> None:
    if order.source.is_file():
        raise UsageError(f"{order.source}: is a file. Name the folder to watch, or use 'folderdenoise run'.")
    folder.check_places(order.source, order.out, order.reference)
    for option, place in (("--move-done", habits.move_done), ("--move-failed", habits.move_failed)):
        if place is None:
            continue
        real = place.resolve()
        if real == order.source.resolve() or real.is_relative_to(order.out.resolve()):
            raise UsageError(f"{option} {place}: is the watched folder or among the results. Name another folder.")
        if place.exists() and not place.is_dir():
            raise UsageError(f"{option} {place}: is a file. Name a folder.")


def _refuse_strangers(order: Order, selection: Selection, habits: Habits, resume: Resume) -> None:
    """Raise UsageError for files among the results that are not ours, before there is a table that says they are."""
    planner = Planner(order.source, order.out, selection, order.reference, order.suffix)
    for found in Tree(order.source, [order.out, *habits.shelves], selection.recursive, selection.follow_links).walk():
        if planner.reason_to_refuse(found) is None:
            resume.reason_to_skip(planner.task(found))
