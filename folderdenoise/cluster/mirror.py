"""The metrics.csv of a store: kept on this machine, and uploaded whole now and then and at the end."""

from __future__ import annotations

import time
from pathlib import Path

from ..tree import METRICS_NAME
from .stores import Store

AT_LEAST_SECONDS = 10.0
# A table of ten million files takes its time: one part in so many of the run's.
_SHARE = 20


class Mirror:
    """The table of ``store``, as ``table`` in the local ``folder``. Raises OutputError where it cannot be fetched."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self.table = folder / METRICS_NAME
        data = store.read(METRICS_NAME)
        if data is not None:
            self.table.write_bytes(data)
        self._uploaded = self._state()
        self._next = time.monotonic() + AT_LEAST_SECONDS

    def tick(self) -> None:
        """Upload the table, if it has changed and the last time was long enough ago. Raises OutputError."""
        if time.monotonic() >= self._next:
            self.upload()

    def upload(self) -> None:
        """Upload the table, if it has changed. Raises OutputError."""
        state = self._state()
        begin = time.monotonic()
        if state != self._uploaded:
            self._store.publish(self.table, METRICS_NAME)
            self._uploaded = state
        end = time.monotonic()
        self._next = end + max(AT_LEAST_SECONDS, _SHARE * (end - begin))

    def _state(self) -> tuple[int, int] | None:
        if not self.table.exists():
            return None
        status = self.table.stat()
        return status.st_size, status.st_mtime_ns
