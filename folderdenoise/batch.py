"""Tasks -> Outcomes: read, denoise, measure, publish. :func:`process_file` is the heart of every way to run."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import ClassVar

from . import pages
from .codecs.picture import shown
from .engine import Denoiser
from .errors import (
    AbandonedError,
    FolderDenoiseError,
    ModelError,
    OutputError,
    UnreadableImageError,
)
from .folder import Task
from .pages import Settings as Settings
from .publish import Gate
from .resources import Room
from .table import Row
from .tree import METRICS_NAME

log = logging.getLogger(__name__)

GRACE_SECONDS = 1.2
"""How long files under way may take to finish when a run is interrupted."""
_TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Outcome:
    """What became of one file: its rows for the ledger, one per page, all ``done`` or one ``failed``."""

    task: Task
    rows: tuple[Row, ...]
    is_unreadable: bool = False
    """The source did not decode to its end: somebody may still be writing it."""

    @property
    def status(self) -> str:
        """``done`` or ``failed``."""
        return self.rows[0].status

    @property
    def notes(self) -> str:
        """What could not be kept, or why the file failed."""
        return "; ".join(dict.fromkeys(row.notes for row in self.rows if row.notes))

    @property
    def megapixels(self) -> float:
        """Pixels of all pages, in millions; 0 for a failed file."""
        return sum((row.width or 0) * (row.height or 0) for row in self.rows) / 1e6


@dataclass
class Report:
    """The summary of a run."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    megapixels: float = 0.0
    started: float = field(default_factory=time.monotonic)
    planned: int = 0
    """How many files were to be done; 0 where nobody knows."""
    unscored: int = 0
    """How many files are done without scores, although there was to be a reference for them."""
    reference: Path | None = None
    """The folder in which that of the last of them was looked for."""

    _nothing: ClassVar[str] = "Nothing to do"

    def add(self, outcome: Outcome) -> None:
        """Count one finished file."""
        if outcome.status == "done":
            self.done += 1
            self.megapixels += outcome.megapixels
            reference = outcome.task.reference
            if reference is not None and all(row.psnr is None for row in outcome.rows):
                self.unscored += 1
                self.reference = reference.parents[outcome.task.relative.count("/")]
        else:
            self.failed += 1

    @property
    def exit_code(self) -> int:
        """0, or 1 when some files failed."""
        return 1 if self.failed else 0

    @property
    def warning(self) -> str | None:
        """What the summary says besides where files that are done have no scores, although they were asked for."""
        if not self.unscored:
            return None
        return (
            f"--reference {self.reference}: no clean version for {self.unscored} of {self.done} files; their scores "
            f"are empty (notes in {METRICS_NAME} say why). Give the folder with the same relative paths, and "
            "--overwrite to do them again."
        )

    def __str__(self) -> str:
        seconds = time.monotonic() - self.started
        if not self.done and not self.failed and not self.planned:
            return f"{self._nothing}: {self.skipped} skipped (-v says why)." if self.skipped else f"{self._nothing}."
        parts = [f"{self.done} done"]
        parts += [f"{self.failed} failed"] if self.failed else []
        left = self.planned - self.done - self.failed
        parts += [f"{left} not done"] if left > 0 else []
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        return f"{', '.join(parts)}; {self.megapixels:.1f} megapixels in {seconds:.1f} s."


def process_file(task: Task, denoiser: Denoiser, settings: Settings) -> Outcome:
    """Denoise one file and publish the result under ``task.output``.

    A file that cannot be denoised gives a failed outcome that says why; nothing is published for it. Raises only what
    concerns the whole run: :class:`OutputError` (the output cannot be written) and :class:`ModelError`.
    """
    started = time.monotonic()
    base = Row(file=task.relative, strength=settings.strength, settings=settings.text, source_folder=task.folder)
    with contextlib.suppress(UnreadableImageError):
        size, mtime = pages.identity(task.source)
        base = replace(base, source_bytes=size, source_mtime_ns=mtime)
    is_unreadable = False
    try:
        rows = pages.process(task, denoiser, settings, base)
    except (OutputError, ModelError):
        raise
    except FolderDenoiseError as error:
        is_unreadable = isinstance(error, UnreadableImageError)
        # Rooms that see pixels only cannot name the file; those that do, escape what no terminal can print.
        message = str(error)
        is_named = str(task.source) in message or shown(task.source) in message
        rows = [_failed(base, message if is_named else f"{task.source}: {message}")]
    except MemoryError:
        rows = [_failed(base, f"{task.source}: not enough memory for it. Use fewer --jobs, or a larger machine.")]
    except Exception as error:
        # A fault of ours must not take the other files down with it; the log has the traceback.
        log.exception("%s: unexpected error", task.source)
        rows = [_failed(base, f"{task.source}: unexpected {type(error).__name__}: {error}. Please report it.")]
    seconds = time.monotonic() - started
    outcome = Outcome(task, tuple(rows), is_unreadable)
    rate = outcome.megapixels / seconds if outcome.status == "done" and seconds > 0 else None
    finished = datetime.now(timezone.utc).isoformat(timespec="seconds")
    stamped = (
        replace(
            row,
            seconds=seconds,
            megapixels_per_second=rate,
            finished_at=finished,
            pages=len(rows),
            model_sha256=denoiser.card_for(row.channels).sha256 if row.channels else None,
        )
        for row in rows
    )
    return replace(outcome, rows=tuple(stamped))


def _failed(base: Row, why: str) -> Row:
    return replace(base, status="failed", notes=why)


def run_batch(
    tasks: Iterable[Task],
    denoiser: Denoiser,
    settings: Settings,
    on_outcome: Callable[[Outcome], None],
    *,
    jobs: int,
    room: Room | None = None,
    stop: threading.Event | None = None,
    go: threading.Event | None = None,
    on_tick: Callable[[], None] | None = None,
) -> None:
    """Process ``tasks`` with ``jobs`` files under way at once; ``on_outcome`` is called in this thread, file by file.

    Files wait for their memory in ``room``, if that is given.

    ``stop`` ends the run: files under way have GRACE_SECONDS to be done, then they are abandoned, and nothing of them
    is published. While ``go`` is not set, the run is paused: files under way wait before their next tile. Errors that
    concern the whole run end it when the files under way are done; their outcomes are delivered first. ``on_tick`` is
    called in this thread several times a second while there is something to wait for.
    """
    stop = stop or threading.Event()
    gate = Gate(go)

    def work(task: Task) -> Outcome:
        with gate.enter():
            gate.step()
            if room is None:
                return process_file(task, denoiser, settings)
            with room.taken(pages.memory_needed(task.source, settings), gate.step):
                return process_file(task, denoiser, settings)

    remaining = iter(tasks)
    pending: set[Future[Outcome]] = set()
    fatal: FolderDenoiseError | None = None
    deadline: float | None = None
    pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="denoise")
    try:
        while True:
            if stop.is_set():
                deadline = deadline or time.monotonic() + GRACE_SECONDS
                if time.monotonic() > deadline:
                    gate.close()
            elif fatal is None:
                # A short queue: a list of 200,000 tasks must not become 200,000 futures.
                pending.update(pool.submit(work, task) for task in islice(remaining, jobs + 1 - len(pending)))
            # What was published before the gate closed is delivered, too: its thread needs a moment to say so.
            finished, pending = wait(pending, timeout=_TICK_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                if future.cancelled():
                    continue
                try:
                    outcome = future.result()
                except AbandonedError:
                    continue
                except (OutputError, ModelError) as error:
                    fatal = fatal or error
                else:
                    on_outcome(outcome)
            if fatal is not None or stop.is_set():
                pending = {future for future in pending if not future.cancel()}
            if on_tick is not None:
                on_tick()
            if not gate.is_open or (not pending and (fatal is not None or stop.is_set() or not finished)):
                break
    finally:
        gate.close()
        # Abandoned threads go on until they see that their gate is closed.
        pool.shutdown(wait=False, cancel_futures=True)
    if fatal is not None:
        raise fatal
