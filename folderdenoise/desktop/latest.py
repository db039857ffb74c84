"""A thread that does the newest job: what was asked for before and has not begun is dropped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)


class StaleError(Exception):
    """Something newer has been asked for."""


class Latest:
    """One ``thread``. A job gets a function ``check`` that raises :class:`StaleError` when a newer job waits or all is
    closed."""

    def __init__(self, name: str) -> None:
        self._condition = threading.Condition()
        self._job: Callable[[Callable[[], None]], None] | None = None
        self._is_open = True
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    def ask(self, job: Callable[[Callable[[], None]], None]) -> None:
        """Do ``job`` next, instead of what waits."""
        with self._condition:
            self._job = job
            self._condition.notify()

    def close(self) -> None:
        """Drop what waits, and end when the job under way does."""
        with self._condition:
            self._is_open = False
            self._job = None
            self._condition.notify()

    def _check(self) -> None:
        with self._condition:
            if self._job is not None or not self._is_open:
                raise StaleError

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._job is not None or not self._is_open)
                if not self._is_open or self._job is None:
                    return
                job, self._job = self._job, None
            try:
                job(self._check)
            except StaleError:
                pass
            except Exception:
                # A job tells its own errors. What comes here is a fault of ours, and must not end the thread.
                log.exception("unexpected error")


def all_ended(threads: Sequence[threading.Thread], seconds: float) -> bool:
    """Wait at most so long for threads to end; whether all did. One that reads from a slow drive cannot be hurried."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
