"""Which files of a watched folder have stopped changing: pure state, told what is seen and when.

Times are seconds of any steady clock. A signature is anything that changes when the file does (size, time, inode).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

Signature = tuple[int, ...]

_PATIENCE = 10
_RESTLESS = 100


@dataclass
class _Waiting:
    signature: Signature
    first_seen: float
    changed: float
    due: float
    is_busy: bool = False
    is_told: bool = False


class Settler:
    """Files that wait until they have not changed for ``settle`` seconds.

    One that has settled but does not decode to its end may be in the middle of a slow copy: it is tried again when it
    changes, and a last time when it has not changed for ten times as long. One that has kept changing for a hundred
    times as long is told of once.
    """

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._files: dict[str, _Waiting] = {}
        # Entries are left behind when a file changes, and passed over when their time comes.
        self._queue: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def names(self) -> list[str]:
        """The files that wait."""
        return list(self._files)

    def seen(self, name: str, signature: Signature, now: float) -> None:
        """The file is there and looks like this. Its time begins anew if that is news."""
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _Waiting(signature, now, now, 0.0)
        elif file.signature == signature:
            return
        file.signature, file.changed = signature, now
        if not file.is_busy:
            self._put_off(name, file, now + self._settle)

    def gone(self, name: str) -> None:
        """The file is not there any more."""
        self._files.pop(name, None)

    def next_due(self) -> float | None:
        """When the next file may be due."""
        return self._queue[0][0] if self._queue else None

    def due(self, now: float) -> str | None:
        """A file that seems to have settled, None if there is none: look at it again, and say ``take``."""
        while self._queue and self._queue[0][0] <= now:
            due, name = heapq.heappop(self._queue)
            file = self._files.get(name)
            if file is not None and file.due == due and not file.is_busy:
                return name
        return None

    def take(self, name: str, signature: Signature, now: float) -> bool:
        """Whether a file that is due still looks as it did: then it is to be tried, and ``done`` or ``incomplete`` to
        be said next. If it has changed, unnoticed, it waits again."""
        file = self._files[name]
        if file.signature != signature:
            self.seen(name, signature, now)
            return False
        file.is_busy = True
        return True

    def done(self, name: str, signature: Signature, now: float) -> None:
        """The file was dealt with as it looked then. If it has changed since, it waits again."""
        file = self._files.get(name)
        if file is None:
            return
        if file.signature == signature:
            del self._files[name]
        else:
            file.is_busy = False
            self._put_off(name, file, max(now, file.changed + self._settle))

    def incomplete(self, name: str, signature: Signature, now: float) -> bool:
        """The file did not decode to its end. Whether there is hope: if not, say ``done``."""
        file = self._files.get(name)
        if file is None:
            return True
        last_try = file.changed + _PATIENCE * self._settle
        if file.signature == signature and now >= last_try:
            return False
        file.is_busy = False
        self._put_off(name, file, last_try if file.signature == signature else file.changed + self._settle)
        return True

    def restless(self, now: float) -> list[str]:
        """Files that have kept changing for long, each told once."""
        found = []
        for name, file in self._files.items():
            is_restless = now - file.first_seen > _RESTLESS * self._settle and now - file.changed < self._settle
            if is_restless and not file.is_told:
                file.is_told = True
                found.append(name)
        return found

    def all_told(self) -> bool:
        """Whether nothing waits but files that were told of as restless."""
        return all(file.is_told for file in self._files.values())

    def _put_off(self, name: str, file: _Waiting, due: float) -> None:
        file.due = due
        heapq.heappush(self._queue, (due, name))
