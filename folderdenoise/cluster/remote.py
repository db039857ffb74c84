"""A run whose input or output is a URL: planned from listings, done by workers that fetch and upload."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import job
from ..batch import Outcome, Report
from ..engine import Denoiser
from ..errors import OutputError, UsageError
from ..folder import Plan, Selection, Task
from ..ledger import Ledger, read_records
from ..order import Listener, Order
from ..table import Row
from . import connect
from .dispatch import Dispatch
from .errand import Piece
from .mirror import Mirror
from .places import UrlPath
from .remote_file import RemoteFile
from .remote_lock import RemoteLock
from .remote_plan import RemoteResume, Walk, check_places, make_plan
from .run import errand_for
from .stores import Entry, Store


@dataclass(frozen=True)
class Ends:
    """Where a run's files are and go; ``only``: of the source, the one file to do."""

    source: Store
    out: Store
    only: Entry | None

    @classmethod
    def of(cls, order: Order) -> Ends:
        """Those of an order. Raises UsageError where one cannot be reached, or results might replace originals."""
        source, out = (Store(_url(path)) for path in (order.source, order.out))
        only = source.file()
        if only is not None:
            source = Store(source.url.rpartition("/")[0])
        check_places(source, out)
        if order.reference is not None and not order.reference.is_dir():
            raise UsageError(f"--reference {order.reference}: is no folder here. All workers must see it, too.")
        return cls(source, out, only)


def plan(order: Order, selection: Selection) -> Plan:
    """The plan of a run, with nothing touched. Raises as :func:`run` does."""
    denoiser = job.denoiser_for(order)
    ends = Ends.of(order)
    with tempfile.TemporaryDirectory(prefix="folderdenoise-") as place:
        table = Mirror(ends.out, Path(place)).table
        resume = _resume_for(order, selection, denoiser, ends, table)
    resume.results = {ends.out.url_of(entry.relative) for entry in Walk(ends.out).files()}
    return make_plan(ends.source, ends.out, selection, order.reference, order.suffix, resume, ends.only)


def run(order: Order, selection: Selection, listener: Listener, address: str) -> int:
    """As :func:`job.run`, with URLs, on the cluster at ``address``, or "local".

    Raises UsageError, OutputError, ModelError and :class:`ClusterError`, with everything finished kept.
    """
    denoiser = job.denoiser_for(order)
    ends = Ends.of(order)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(job.interruptible())
        lock = stack.enter_context(RemoteLock(ends.out, f"folderdenoise run {order.source}"))
        staging = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="folderdenoise-")))
        mirror = Mirror(ends.out, staging)
        # Whatever ends the run: what is finished is kept.
        stack.callback(mirror.upload)
        resume = _resume_for(order, selection, denoiser, ends, mirror.table)
        resume.results = set(_results(ends.out))
        made = make_plan(ends.source, ends.out, selection, order.reference, order.suffix, resume, ends.only)
        report = Report(skipped=len(made.skipped), planned=len(made.tasks) + len(made.unreadable))
        if not made.tasks and not made.unreadable:
            if resume.touched:
                with Ledger(mirror.table) as ledger:
                    ledger.touch(resume.touched)
            listener.started(made)
            listener.finished(report, False)
            return 0
        job.check_models(denoiser, listener)
        ledger = stack.enter_context(Ledger(mirror.table))
        ledger.touch(resume.touched)
        listener.started(made)
        record = job.recorder(ledger, report, listener)
        for unreadable in made.unreadable:
            relative = str(unreadable.path).removeprefix(f"{ends.source.url}/")
            row = Row(file=relative, status="failed", notes=f"{unreadable.path}: {unreadable.reason}")
            record(Outcome(Task(unreadable.path, relative, made.out), (row,)))

        def tick() -> None:
            mirror.tick()
            lock.tick()

        workers = connect.workers_for(order, len(made.tasks))
        memory = connect.memory_for(order, workers) if address == connect.LOCAL else None
        folders = [order.reference.absolute()] if order.reference else []
        errand = errand_for(order, denoiser, folders, memory)
        try:
            with connect.connected(address, workers, listener) as client:
                dispatch = Dispatch(client, errand, record, listener.warned, stop, tick)
                dispatch.run(_pieces(made, ends, resume), len(made.tasks))
            if dispatch.has_lost_workers and not ends.out.is_object_store:
                set(_results(ends.out))
        finally:
            listener.finished(report, stop.is_set())
        return job.INTERRUPTED if stop.is_set() else report.exit_code


def _resume_for(order: Order, selection: Selection, denoiser: Denoiser, ends: Ends, table: Path) -> RemoteResume:
    records = read_records(table) if table.exists() else None
    known = job.resume_for(order, selection, denoiser, records)
    return RemoteResume(
        known.records,
        known.strength,
        known.settings,
        known.models,
        known.failed,
        known.overwrite,
        source=ends.source,
    )


def _results(out: Store) -> Iterator[str]:
    """The URLs of what is there; temporary files that killed workers left are removed."""
    walk = Walk(out)
    for entry in walk.files():
        yield out.url_of(entry.relative)
    for relative in walk.leftovers:
        # What cannot be removed is in nobody's way.
        with contextlib.suppress(OutputError):
            out.remove(relative)


def _pieces(made: Plan, ends: Ends, resume: RemoteResume) -> Iterator[Piece]:
    for task in made.tasks:
        entry = resume.entries[task.relative]
        output = str(task.output).removeprefix(f"{ends.out.url}/")
        reference = task.reference and task.reference.absolute()
        item = RemoteFile(ends.source.url, task.relative, ends.out.url, output, entry.size, entry.mtime_ns, reference)
        yield Piece(task, item)


def _url(path: Path) -> str:
    return path.url if isinstance(path, UrlPath) else f"file://{path.absolute().as_posix()}"
