"""When to look where in a watched folder: at what the system tells of, and through the whole of it now and then."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .events import Events
from .habits import Habits
from .order import Listener
from .tree import Tree

_RESCAN_SECONDS = 60.0
_POLL_SECONDS = 5.0
# A look through a folder of 200,000 files takes seconds: it may take one in twenty of them.
_RESCAN_SHARE = 20
_NAP_SECONDS = 0.25
# Changes come in swarms: a moment later there is more to look at once.
_SWARM_SECONDS = 0.05


class Lookout:
    """Waits for changes in the folder ``source``, whose files are those of ``tree``.

    ``is_polling``: it is looked through, because no word of changes is waited for or none arrives. ``is_well``: all of
    it could be listed the last time.
    """

    def __init__(self, source: Path, tree: Tree, habits: Habits, listener: Listener, *, recursive: bool) -> None:
        self._source, self._tree, self._habits, self._listener = source, tree, habits, listener
        self._wake = threading.Event()
        self._events = Events(source, self._wake, recursive=recursive)
        self._told: set[Path] = set()
        self._next = self._soonest = 0.0
        self._is_loss_told = False
        self.is_polling = False
        self.is_well = True

    def start(self) -> None:
        """Begin to wait for word of changes, or to poll; a look through the folder is due."""
        if self._habits.poll is not None:
            self.is_polling = True
        elif not self._habits.once:
            self._poll_because(self._events.start())

    def stop(self) -> None:
        """End the observer's threads."""
        self._events.stop()

    def wait(self, due: float | None, stop: threading.Event) -> None:
        """Wait a moment: until there is something to look at, until ``due`` (of the steady clock) at the latest."""
        now = time.monotonic()
        if self._wake.wait(max(0.0, min(_NAP_SECONDS, self._next - now, now if due is None else due - now))):
            stop.wait(_SWARM_SECONDS)

    def changes(self) -> list[Path]:
        """The paths that something happened to since the last time."""
        return self._events.take()

    def is_due(self) -> bool:
        """Whether the whole folder is to be looked through now."""
        if not self.is_polling and not self._habits.once and (reason := self._events.fault()):
            self._poll_because(reason)
        if loss := self._events.loss():
            self._next = self._soonest
            if not self._is_loss_told:
                self._listener.warned(loss)
            self._is_loss_told = True
        return time.monotonic() >= self._next

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Around a look through the folder: when the next one is due follows from how long it took."""
        began = time.monotonic()
        yield
        now = time.monotonic()
        self._soonest = now + _RESCAN_SHARE * (now - began)
        self._next = max(now + self._interval, self._soonest)

    def check(self) -> bool:
        """Whether the tree's last walk could list all folders; each that it could not is told once."""
        self.is_well = not self._tree.unreadable
        for unreadable in self._tree.unreadable:
            if unreadable.path == self._source and not self.is_polling:
                # When it comes back, it is another folder to the system, of which nothing is told.
                self._poll_because(f"{unreadable.path} is gone for now")
            if unreadable.path not in self._told:
                self._told.add(unreadable.path)
                self._listener.warned(f"{unreadable.path}: {unreadable.reason}")
        if self.is_well:
            self._told.clear()
        return self.is_well

    def _poll_because(self, reason: str | None) -> None:
        if reason is not None:
            self._events.stop()
            self.is_polling = True
            self._next = 0.0
            self._listener.warned(f"{reason}. Looking through the folder every {self._interval:g} s instead.")

    @property
    def _interval(self) -> float:
        if self.is_polling:
            return self._habits.poll or _POLL_SECONDS
        # Nobody is told of changes: what is there is looked at until it has settled.
        return self._habits.settle if self._habits.once else _RESCAN_SECONDS
