"""Whether a cluster is there, and how many chunks it does at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

_LOOK_SECONDS = 2.0
_ANSWER_SECONDS = 20.0
# A worker that died comes back in seconds, one from a queue of jobs in minutes.
WITHOUT_WORKERS_SECONDS = 600.0


class Health:
    """Looks at the cluster of ``client`` now and then. ``slots``: the chunks that its workers do at once, 0 while there
    are no workers; ``lost``: the workers that died."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._workers: dict[str, int] = {}
        self._looked = float("-inf")
        self._last_seen = time.monotonic()
        self.lost = 0
        # A worker may die and be replaced between two looks; of that the scheduler tells before it does anything else.
        client.subscribe_topic("all", self._on_event)

    @property
    def slots(self) -> int:
        """The chunks that the workers do at once."""
        return sum(self._workers.values())

    def wait_for_workers(self, stop: threading.Event, warn: Callable[[str], None]) -> None:
        """Return when there is a worker, or ``stop`` is set. Raises :class:`ClusterError` when none comes."""
        is_told = False
        while not stop.is_set():
            self.check()
            if self.slots:
                return
            if not is_told:
                is_told = True
                warn("The cluster has no workers yet: waiting for the first one.")
            stop.wait(_LOOK_SECONDS)

    def close(self) -> None:
        """Look no more."""
        if self._client.status == "running":
            self._client.unsubscribe_topic("all")

    def _on_event(self, event: tuple[float, Any]) -> None:
        _, what = event
        self.lost += isinstance(what, dict) and what.get("action") == "remove-worker" and not what.get("expected")

    def check(self) -> None:
        """Look, if the last time was long enough ago. Raises :class:`ClusterError` if the cluster is gone."""
        if self._client.status != "running":
            raise ClusterError(LOST)
        now = time.monotonic()
        if now < self._looked + _LOOK_SECONDS:
            return
        from distributed import TimeoutError  # which is Python's own only since 3.11

        self._looked = now
        try:
            workers = dict(self._client.sync(self._client.scheduler.ncores, callback_timeout=_ANSWER_SECONDS))
        except (OSError, TimeoutError) as error:
            raise ClusterError(LOST) from error
        self._workers = workers
        if workers:
            self._last_seen = now
        elif now > self._last_seen + WITHOUT_WORKERS_SECONDS:
            raise ClusterError(
                f"The cluster has had no workers for {WITHOUT_WORKERS_SECONDS / 60:g} minutes. What is finished is "
                "kept. Start some, 'dask worker ADDRESS --nworkers N --nthreads 1', and run again."
            )


LOST = "The connection to the cluster's scheduler was lost. What is finished is kept: start it anew and run again."
