"""The client's side of a run on a cluster: chunks out, outcomes in, and what becomes of files that kill workers."""

from __future__ import annotations

import contextlib
import operator
import pkgutil
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ..batch import GRACE_SECONDS, Outcome
from ..errors import ClusterError, FolderDenoiseError
from ..table import Row
from . import worker
from .chunks import cut
from .errand import Done, Errand, Finished, Piece
from .health import LOST, Health

if TYPE_CHECKING:
    from distributed import Client, Future

    from ..job import Recorder

_TICK_SECONDS = 0.2
_GATHER_SECONDS = 10.0
# Tiles that are under way when a run is interrupted end before their worker can answer.
_LAST_ANSWERS_SECONDS = 1.0


@dataclass
class Dispatch:
    """One run's files on the workers of ``client``.

    ``record`` is called in the thread of :meth:`run`, chunk by chunk; ``warn`` with what to know about workers;
    ``on_tick`` several times a second.
    """

    client: Client
    errand: Errand
    record: Recorder
    warn: Callable[[str], None]
    stop: threading.Event
    on_tick: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._under_way: dict[str, Sequence[Piece]] = {}
        self._suspects: list[Piece] = []
        self._noted: set[str] = set()
        self._fatal: FolderDenoiseError | None = None
        self._health = Health(self.client)

    @property
    def has_lost_workers(self) -> bool:
        """Whether a worker died, which may have left temporary files."""
        return self._health.lost > 0

    def run(self, pieces: Iterable[Piece], count: int) -> None:
        """Do ``count`` pieces. Returns early when ``stop`` is set: files under way have GRACE_SECONDS to be done.

        The files of a chunk that killed its workers are suspects. Each is tried again alone, with nothing else of this
        run under way, so that none is blamed for what another one did; one that kills its workers then, too, gets a
        failed row.

        Raises OutputError, ModelError and UsageError as workers meet them, when the files under way are done, and
        :class:`ClusterError` when the cluster is lost.
        """
        with contextlib.closing(self._health):
            self._health.wait_for_workers(self.stop, self.warn)
            self._drive(cut(pieces, count, self._health.slots), lambda: 2 * self._health.slots)
            if not self._is_ending:
                self._drive(([piece] for piece in self._suspects), lambda: 1, is_trial=True)
        if self._fatal is not None:
            raise self._fatal

    @property
    def _is_ending(self) -> bool:
        return self.stop.is_set() or self._fatal is not None

    def _drive(self, chunks: Iterator[Sequence[Piece]], window: Callable[[], int], is_trial: bool = False) -> None:
        """Keep as many chunks under way as ``window`` says, until all are done or the run is to end."""
        ending = _Ending(self.client, self.errand.run)
        while True:
            self._health.check()
            is_ending = self._is_ending
            if is_ending and not ending.go_on(is_interrupted=self.stop.is_set()):
                return
            while not is_ending and len(self._under_way) < window() and (chunk := next(chunks, None)):
                self._submit(chunk)
            if not self._under_way:
                return
            with contextlib.suppress(queue.Empty):
                self._take(self._finished.get(timeout=_TICK_SECONDS), is_trial)
            self.on_tick()

    def _submit(self, chunk: Sequence[Piece]) -> None:
        import toolz

        data = worker.packed(self.errand, [piece.item for piece in chunk])
        key = f"denoise-{uuid.uuid4().hex}"
        # do_chunk by its name: a worker that cannot import it ends the task with an error then. Given the function
        # itself it would die, and the files be blamed; and the scheduler would need it, too.
        do_chunk = toolz.compose(operator.methodcaller("__call__", data), pkgutil.resolve_name)
        future = self.client.submit(do_chunk, worker.DO_CHUNK, key=key, pure=False)
        self._under_way[key] = chunk
        future.add_done_callback(self._finished.put)

    def _take(self, future: Future, is_trial: bool) -> None:
        # Which is Python's own TimeoutError only since 3.11.
        from distributed import CancelledError, KilledWorker, TimeoutError

        if future.status == "cancelled":
            raise ClusterError(LOST)
        try:
            finished: Finished = future.result(timeout=_GATHER_SECONDS)
        except TimeoutError:
            # Its worker died between the end of the chunk and our asking: it is being done again.
            self._finished.put(future)
            return
        except CancelledError as error:
            raise ClusterError(LOST) from error
        except KilledWorker as error:
            chunk = self._under_way.pop(future.key)
            if is_trial:
                self._blame(chunk[0], error.allowed_failures + 1)
            else:
                self._suspects += chunk
            return
        except Exception as error:
            # Whatever a cluster that is set up differently comes up with.
            raise _not_understood(error) from error
        chunk = self._under_way.pop(future.key)
        if finished.note is not None and finished.note not in self._noted:
            self._noted.add(finished.note)
            self.warn(finished.note)
        # All at once: that each file's rows wait for the disk is what a cluster's client could do least of.
        self.record(*(_outcome(piece, done) for piece, done in zip(chunk, finished.done, strict=False)))
        self._fatal = self._fatal or finished.fatal

    def _blame(self, piece: Piece, times: int) -> None:
        order = self.errand.order
        row = Row(
            file=piece.task.relative,
            status="failed",
            strength=order.strength,
            settings=order.settings.text,
            finished_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            notes=f"{piece.task.source}: its worker died {times} times over it, alone, perhaps for want of memory. "
            "Use workers with more memory, or leave it out with --exclude.",
        )
        self.record(Outcome(piece.task, (row,)))


class _Ending:
    """How a run ends early: no more files are begun; after an interrupt, those under way have a moment, no more."""

    def __init__(self, client: Client, run: str) -> None:
        self._client = client
        self._run = run
        self._abandon_at = self._leave_at = float("inf")
        self._told: set[object] = set()

    def go_on(self, *, is_interrupted: bool) -> bool:
        """Whether there is still something to wait for."""
        now = time.monotonic()
        self._tell(worker.end)
        if is_interrupted and self._abandon_at == float("inf"):
            self._abandon_at = now + GRACE_SECONDS
        if now > self._abandon_at:
            self._tell(worker.abandon)
            self._leave_at = min(self._leave_at, now + _LAST_ANSWERS_SECONDS)
        return now < self._leave_at

    def _tell(self, what: Callable[[str], None]) -> None:
        if what not in self._told:
            self._told.add(what)
            # A worker that dies meanwhile publishes nothing anyway.
            self._client.run(what, self._run, on_error="ignore")


def _outcome(piece: Piece, done: Done) -> Outcome:
    # Rows name results as the user does, who may have given a relative path.
    rows = [replace(row, output=str(piece.task.output)) if row.output else row for row in done.rows]
    return Outcome(piece.task, tuple(rows), done.is_unreadable)


def _not_understood(error: Exception) -> ClusterError:
    cause = error
    while cause.__cause__ is not None and isinstance(cause.__cause__, Exception):
        cause = cause.__cause__
    return ClusterError(
        f"The cluster cannot do this run's work: {type(cause).__name__}: {cause}. Workers need the same version of "
        "folderdenoise, Dask and Python as this machine. Install it there, in the folder of folderdenoise: pip install "
        "'.[cluster]'. What is finished is kept."
    )
