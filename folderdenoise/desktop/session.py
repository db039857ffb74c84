"""What the window is about, without its widgets: the pictures in the list, the settings, and the run over them."""

from __future__ import annotations

import enum
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from .. import job
from ..batch import Outcome
from ..engine import AUTO_MODELS
from ..errors import ModelError
from ..folder import Plan
from ..order import Order
from ..zoo import find
from . import plain
from .choices import AUTO
from .entries import Entry, EntryModel, State
from .estimate import Estimate
from .preferences import Preferences
from .runner import Runner, Work
from .scan import Scanned, Scanner
from .sheet import Wanted
from .sources import Source, Sources
from .texts import text
from .thumbs import Thumbs


class Phase(enum.Enum):
    """What is going on."""

    IDLE = enum.auto()
    RUNNING = enum.auto()
    PAUSED = enum.auto()
    STOPPING = enum.auto()


class Session(QObject):
    """``changed``: the phase, the progress or the list is another. ``ended``: a run is over. ``troubled``: something
    went wrong, in plain words and in full; two empty texts when that is over."""

    changed = Signal()
    ended = Signal()
    troubled = Signal(str, str)

    def __init__(self, preferences: Preferences, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.preferences = preferences
        self.wanted = Wanted(preferences.text("model", AUTO), preferences.number("strength", 1.0))
        self.place = preferences.folder("place")
        self.thumbs = Thumbs(self)
        self.entries = EntryModel(self.thumbs, self)
        self.scanner = Scanner(self)
        self.runner = Runner(self)
        self.estimate = Estimate()
        self.done = self.failed = 0
        self.was_cancelled = self.was_broken_off = False
        self.starts_when_scanned = False
        self._sources = Sources()
        self._todo: dict[Path, int] = {}
        self._queue: dict[Path, None] = {}
        self._roots: dict[Path, Path] = {}
        self._at_once = 1
        self._is_at_work = False
        self.scanner.found.connect(self._on_found)
        self.scanner.idle.connect(self._on_scanned)
        self.runner.told.plan_made.connect(self._on_plan)
        self.runner.told.file_finished.connect(self._on_file)
        self.runner.ended.connect(self._on_ended)

    @property
    def phase(self) -> Phase:
        """What is going on."""
        if not self._is_at_work:
            return Phase.IDLE
        if self.was_cancelled:
            return Phase.STOPPING
        return Phase.PAUSED if self.runner.is_paused else Phase.RUNNING

    @property
    def total(self) -> int:
        """How many files the run has to do, as far as is known."""
        return len(self._todo)

    def add(self, paths: Iterable[Path]) -> None:
        """Take files and folders into the list."""
        self.troubled.emit("", "")
        changed = self._sources.add(paths)
        roots = {source.root for source in self._sources}
        entries = self.entries.entries()
        # A folder that was added below one that now comes as a whole is part of that.
        gone = [
            entry for entry in entries if entry.root not in roots and any(s.covers(entry.source) for s in self._sources)
        ]
        if gone:
            sources = {entry.source for entry in gone}
            self.entries.keep(entry for entry in entries if entry.source not in sources)
        self._look(changed)

    def clear(self) -> None:
        """Empty the list."""
        self.scanner.forget()
        self._sources.clear()
        self.entries.keep([])
        self.troubled.emit("", "")
        self.changed.emit()

    def remove(self, sources: Iterable[Path]) -> None:
        """Take files off the list."""
        gone = set(sources)
        left = [entry for entry in self.entries.entries() if entry.source not in gone]
        self._sources.restrict(_names_by_root(left))
        self.entries.keep(left)
        self.changed.emit()

    def set_wanted(self, wanted: Wanted) -> None:
        """Denoise with this model and strength from now on."""
        self.wanted = wanted
        self.preferences.keep("model", wanted.model)
        self.preferences.keep("strength", wanted.strength)

    def set_place(self, place: Path | None) -> None:
        """Put the results into ``place``; None: beside the originals."""
        self.place = place
        self.preferences.keep("place", place)
        self.scanner.forget()
        roots = {source.root for source in self._sources}
        self.entries.keep(entry for entry in self.entries.entries() if entry.root not in roots)
        self._look(list(self._sources))

    def is_current(self, entry: Entry) -> bool:
        """Whether its result is what the present model and strength make."""
        return self._is_made_by(entry, self._hashes())

    def _is_made_by(self, entry: Entry, hashes: Collection[str]) -> bool:
        if entry.state is not State.DONE or entry.made_with is None:
            return False
        strength, models = entry.made_with
        return abs(strength - self.wanted.strength) < 5e-4 and all(model in hashes for model in models)

    def _hashes(self) -> set[str]:
        names = AUTO_MODELS.values() if self.wanted.model == AUTO else [self.wanted.model]
        try:
            return {find(name).sha256 for name in names}
        except ModelError:
            return set()

    def start(self) -> None:
        """Do what is in the list and not done yet."""
        if self.phase is not Phase.IDLE:
            return
        self.troubled.emit("", "")
        names, hashes = _names_by_root(self.entries.entries()), self._hashes()
        outs = self._sources.outs(self.place)
        works = []
        for source in self._sources:
            # What the list shows is what is done: not what has arrived in the folder since.
            selection = replace(source.selection, only=frozenset(names.get(source.root, ())))
            works.append(Work(self._order(source, outs), selection))
        self._roots = {work.order.out: work.order.source for work in works}
        self._queue = {}
        self._todo = {
            entry.source: entry.size
            for entry in self.entries.entries()
            if entry.root in outs and not self._is_made_by(entry, hashes)
        }
        self.estimate = Estimate()
        for size in self._todo.values():
            self.estimate.expect(size)
        self.done = self.failed = 0
        self.was_cancelled = self.was_broken_off = False
        self._is_at_work = True
        self.estimate.run()
        self.runner.start(works)
        self.changed.emit()

    def pause(self) -> None:
        """Let the run wait where it is."""
        self.runner.pause()
        self.estimate.pause()
        self.changed.emit()

    def resume(self) -> None:
        """Go on."""
        self.estimate.run()
        self.runner.resume()
        self.changed.emit()

    def cancel(self) -> None:
        """End the run; what is finished is kept."""
        self.was_cancelled = True
        self.runner.stop()
        self.changed.emit()

    def close(self) -> None:
        """Let all threads end."""
        self.scanner.forget()
        self.runner.stop()
        self.thumbs.close()
        self.preferences.save()

    @property
    def threads(self) -> list[threading.Thread]:
        """What ends some time after ``close``."""
        return [*self.runner.threads, *self.scanner.threads, *self.thumbs.threads]

    def _order(self, source: Source, outs: Mapping[Path, Path]) -> Order:
        return Order(source.root, outs[source.root], self.wanted.model, self.wanted.strength)

    def _look(self, sources: Iterable[Source]) -> None:
        outs = self._sources.outs(self.place)
        for source in sources:
            self.scanner.look(source, self._order(source, outs))
        self.changed.emit()

    def _on_found(self, scanned: Scanned) -> None:
        self.entries.put([self._with_known(found) for found in scanned.entries])
        if scanned.error is not None:
            self.troubled.emit(plain.about_error(scanned.error), str(scanned.error))
        elif not scanned.entries:
            self.troubled.emit(text("skipped_none"), str(scanned.source.root))

    def _with_known(self, found: Entry) -> Entry:
        """An entry with what the list says of the same file already and a look through its folder cannot tell."""
        known = self.entries.entry(found.source)
        if known is None or (known.stamp, known.output) != (found.stamp, found.output):
            return found
        # While a run is at work the list is ahead of what was found.
        is_ahead = self._is_at_work or known.state is State.FAILED
        if is_ahead and found.state is State.WAITING:
            return known
        return replace(found, width=known.width or found.width, height=known.height or found.height)

    def _on_scanned(self) -> None:
        self.changed.emit()
        if self.starts_when_scanned and self.phase is Phase.IDLE and self.entries.rowCount():
            self.starts_when_scanned = False
            self.start()

    def _on_plan(self, plan: Plan) -> None:
        passed = [skipped.path for skipped in plan.skipped if skipped.path in self._todo]
        for path in passed:
            self.estimate.expect(-self._todo.pop(path))
        self.entries.set_state(passed, State.DONE)
        self._drop_lost(plan)
        for task in plan.tasks:
            if task.source not in self._todo:
                entry = self.entries.entry(task.source)
                self._todo[task.source] = 0 if entry is None else entry.size
                self.estimate.expect(self._todo[task.source])
        # They are begun in this order, so many at a time.
        self._queue = dict.fromkeys(task.source for task in plan.tasks)
        self.entries.set_state(self._queue, State.WAITING)
        self._at_once = job.resources_for(Order(plan.out, plan.out), len(plan.tasks)).jobs
        self._show_under_way()

    def _drop_lost(self, plan: Plan) -> None:
        """Files of the list that are no longer in their folder have nothing to wait for."""
        root = self._roots.get(plan.out)
        met = {task.source for task in plan.tasks} | {unreadable.path for unreadable in plan.unreadable}
        for entry in self.entries.entries():
            if entry.root != root or entry.source not in self._todo or entry.source in met:
                continue
            self.estimate.expect(-self._todo.pop(entry.source))
            if entry.source.is_dir():  # a folder that could not be listed, and can be by now
                continue
            lost = f"{entry.source}: cannot be opened: it is not there any more"
            self.entries.put([replace(entry, state=State.FAILED, message=lost)])

    def _on_file(self, outcome: Outcome) -> None:
        source = outcome.task.source
        known = self.entries.entry(source)
        root = source.parents[outcome.task.relative.count("/")]
        entry = known or Entry(source, root, outcome.task.output)
        self.entries.put([replace(entry, output=outcome.task.output).after(outcome)])
        self._queue.pop(source, None)
        self.estimate.advance(self._todo.get(source, 0))
        if outcome.status == "done":
            self.done += 1
        else:
            self.failed += 1
        self._show_under_way()
        self.changed.emit()

    def _show_under_way(self) -> None:
        first = [source for source, _ in zip(self._queue, range(self._at_once), strict=False)]
        self.entries.set_state(first, State.WORKING)

    def _on_ended(self, error: Exception | None) -> None:
        working = [entry.source for entry in self.entries.entries() if entry.state is State.WORKING]
        self.entries.set_state(working, State.WAITING)
        self._queue = {}
        self._is_at_work = False
        self.was_broken_off = error is not None
        if error is not None:
            self.troubled.emit(plain.about_error(error), str(error))
        self.changed.emit()
        self.ended.emit()


def _names_by_root(entries: Iterable[Entry]) -> dict[Path, set[str]]:
    names: dict[Path, set[str]] = {}
    for entry in entries:
        names.setdefault(entry.root, set()).add(entry.relative)
    return names
