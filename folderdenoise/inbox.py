"""A watched folder: what changed there, what has settled, and what becomes of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from . import batch, job
from .batch import Outcome
from .engine import Denoiser
from .errors import OutputError, ResultTakenError, UsageError
from .folder import Planner, Selection, Task
from .habits import Habits, Tally
from .health import Health
from .ledger import Ledger
from .lookout import Lookout
from .order import Listener, Order
from .resources import Resources, Room
from .resume import Resume
from .settle import Settler, Signature
from .shelf import put_away
from .table import Row, key_of
from .tree import METRICS_NAME, Found, Tree


class Inbox:
    """The state of a watch: an iterator over the tasks of files that have settled, and what becomes of them."""

    def __init__(
        self,
        order: Order,
        selection: Selection,
        habits: Habits,
        listener: Listener,
        ledger: Ledger,
        resume: Resume,
    ) -> None:
        self.report = Tally()
        self._order, self._habits, self._listener = order, habits, listener
        self._ledger, self._resume = ledger, resume
        self._tree = Tree(order.source, [order.out, *habits.shelves], selection.recursive, selection.follow_links)
        self._planner = Planner(order.source, order.out, selection, order.reference, order.suffix)
        self._settler = Settler(habits.settle)
        self._lookout = Lookout(order.source, self._tree, habits, listener, recursive=selection.recursive)
        # Files with nothing to do, as they looked when that was found out.
        self._rest: dict[str, Signature] = {}
        self._under_way: dict[str, Signature] = {}
        self._told: set[str] = set()
        self._next_worry = 0.0
        self._health = Health(habits.health, self._facts, listener.warned)
        self._record = job.recorder(ledger, self.report, listener)

    def run(self, denoiser: Denoiser, given: Resources, stop: threading.Event) -> None:
        """Watch until ``stop``, or until all is done if that is the habit."""
        self._lookout.start()
        self._listener.noted(f"Watching {self._order.source}. Results go to {self._order.out}. Ctrl-C ends.")
        self._rescan(take=self._habits.existing)
        room = Room(given.memory)
        while not stop.is_set():
            batch.run_batch(
                self,
                denoiser,
                job.settings_for(self._order, given),
                self._finished,
                jobs=given.jobs,
                room=room,
                stop=stop,
                on_tick=self._tick,
            )
            if self._habits.once and self._settler.all_told():
                # What came while the last files were done is still taken.
                self._rescan()
                if self._settler.all_told():
                    break
            self._look_around()
            self._ledger.tidy()
            self._tick()
            self._lookout.wait(self._settler.next_due(), stop)
        self._tick(at_once=True)

    def close(self) -> None:
        """End the observer's threads."""
        self._lookout.stop()

    def _look_around(self) -> None:
        """Take in what changed."""
        for path in self._lookout.changes():
            self._look_at(path)
        if self._lookout.is_due():
            self._rescan()
        now = time.monotonic()
        if now >= self._next_worry:
            # Not whenever a file is taken: all that wait are looked at, 200,000 perhaps.
            self._next_worry = now + self._habits.settle
            for name in self._settler.restless(now):
                self.report.left += 1
                path = self._order.source / name
                self._listener.warned(f"{path}: has not stopped changing for a long time. Waiting on.")

    def _look_at(self, path: Path) -> None:
        if found := self._tree.find(path):
            self._consider(found)
        elif path.is_dir():
            # A folder that was moved here brings its files without a word about each.
            for found in self._tree.below(path):
                self._consider(found)
        else:
            with contextlib.suppress(ValueError):
                name = path.relative_to(self._order.source).as_posix()
                # One that is under way is looked at again when it is finished: there may be another by then.
                if name not in self._under_way:
                    self._forget(name)

    def _rescan(self, *, take: bool = True) -> None:
        """Look at everything; ``take``: and do what needs doing."""
        with self._lookout.looking():
            there = set()
            for found in self._tree.walk():
                there.add(found.relative)
                self._consider(found, take=take)
            for passed in self._tree.skipped:
                name = passed.path.relative_to(self._order.source).as_posix()
                self._tell(name, passed.path, passed.reason)
                there.add(name)
            if self._lookout.check():
                self._told &= there
                for name in {*self._rest, *self._settler.names()} - there - self._under_way.keys():
                    self._forget(name)
            if self._resume.touched:
                self._ledger.touch(self._resume.touched)
                self._resume.touched.clear()

    def _consider(self, found: Found, *, take: bool = True) -> None:
        name = found.relative
        if reason := self._planner.reason_to_refuse(found):
            self._tell(name, found.path, reason)
            return
        signature = _signature(found.path)
        if signature is None or self._rest.get(name) == signature:
            return
        if name not in self._settler:
            if not take:
                self._rest[name] = signature
                return
            if self._task(found, signature) is None:
                return
        self._rest.pop(name, None)
        self._settler.seen(name, signature, time.monotonic())

    def _task(self, found: Found, signature: Signature) -> Task | None:
        """What is to be done with a file; None if nothing is, which is told."""
        try:
            task = self._planner.task(found)
            reason = self._resume.reason_to_skip(task)
        except ResultTakenError:
            # It gets a failed row when it has settled.
            return task
        except UsageError as error:
            # A run refuses to begin. A watch has begun, and other files have nothing to do with it.
            self.report.left += 1
            self._rest[found.relative] = signature
            self._listener.warned(str(error))
            return None
        if reason is None:
            return task
        self._leave(task, signature, reason)
        return None

    def _leave(self, task: Task, signature: Signature, reason: str) -> None:
        """An earlier run, or watch, has dealt with it."""
        self.report.skipped += 1
        self._listener.skipped(task.source, reason)
        self._rest[task.relative] = signature
        self._put_away(task, signature, is_done=self._ledger.records[key_of(task.relative)].status == "done")

    def _forget(self, name: str) -> None:
        self._settler.gone(name)
        self._rest.pop(name, None)
        self._told.discard(name)
        self._planner.forget(name)

    def _tell(self, name: str, path: Path, reason: str) -> None:
        if name not in self._told:
            self._told.add(name)
            self.report.skipped += 1
            self._listener.skipped(path, reason)

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        """The task of a file that has settled. That there is none now does not mean that there will be none."""
        while True:
            self._look_around()
            now = time.monotonic()
            name = self._settler.due(now)
            if name is None:
                raise StopIteration
            path = self._order.source / name
            signature = _signature(path)
            found = self._tree.find(path)
            if signature is None or found is None:
                self._forget(name)
                continue
            # The word of a change may be lost or late: the file itself counts.
            if not self._settler.take(name, signature, now):
                continue
            task = self._task(found, signature)
            if task is None:
                self._settler.done(name, signature, now)
                continue
            self._under_way[name] = signature
            if rival := self._planner.rival(found) or self._resume.owner(task):
                note = f"{path}: {rival} has a result of the same name. Rename one of the two."
                self._finished(Outcome(task, (Row(file=name, status="failed", notes=note),)))
                continue
            return task

    def _finished(self, outcome: Outcome) -> None:
        name = outcome.task.relative
        signature = self._under_way.pop(name)
        now = time.monotonic()
        current = _signature(outcome.task.source)
        if current is None and outcome.status == "failed":
            self._forget(name)
            return
        if current is not None:
            self._settler.seen(name, current, now)
        if outcome.is_unreadable and self._settler.incomplete(name, signature, now):
            return
        self._settler.done(name, signature, now)
        self._record(outcome)
        self._rest[name] = signature
        self._put_away(outcome.task, signature, is_done=outcome.status == "done")

    def _put_away(self, task: Task, signature: Signature, *, is_done: bool) -> None:
        shelf = self._habits.move_done if is_done else self._habits.move_failed
        # What has changed since is not the file that was dealt with.
        if shelf is None or _signature(task.source) != signature:
            return
        try:
            put_away(task.source, task.relative, shelf)
        except OutputError as error:
            self._listener.warned(str(error))
        else:
            self._forget(task.relative)

    def _tick(self, *, at_once: bool = False) -> None:
        # Without work, nothing else would notice that the results are gone.
        if self._lookout.is_well and (self._order.out / METRICS_NAME).exists():
            self._health.tick(at_once=at_once)

    def _facts(self) -> dict[str, object]:
        return {
            "watching": str(self._order.source),
            "by": "polling" if self._lookout.is_polling else "events",
            "done": self.report.done,
            "failed": self.report.failed,
            "skipped": self.report.skipped,
            "left": self.report.left,
            "waiting": len(self._settler),
        }


def _signature(path: Path) -> Signature | None:
    """What tells one state of a file from another; None if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
