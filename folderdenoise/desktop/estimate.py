"""How far a run is, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable

from .texts import counted, text

_MINUTE = 60.0


class Estimate:
    """Progress in bytes of originals: a large picture takes longer than a small one. Pauses do not count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._worked = 0.0
        self._since: float | None = None
        self._total = self._done = 0

    def expect(self, size: int) -> None:
        """There are so many bytes more to do."""
        self._total += size

    def advance(self, size: int) -> None:
        """So many of them are done."""
        self._done += size

    def run(self) -> None:
        """Time counts from now on."""
        if self._since is None:
            self._since = self._clock()

    def pause(self) -> None:
        """Time counts no more."""
        self._worked = self._elapsed()
        self._since = None

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return min(1.0, self._done / self._total) if self._total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long it will still take; None while nobody can tell."""
        if not self._done or self._since is None:
            return None
        return self._elapsed() * max(0, self._total - self._done) / self._done

    def _elapsed(self) -> float:
        return self._worked + (0.0 if self._since is None else self._clock() - self._since)


def in_words(seconds: float) -> str:
    """A time in words, as rough as it is known: "about 3 minutes"."""
    if seconds < 0.75 * _MINUTE:
        return text("less_than_minute")
    minutes = max(1, round(seconds / _MINUTE))
    if minutes < 60:
        return counted("minutes", minutes)
    return text("hours", hours=minutes // 60, minutes=minutes % 60)
