"""Tasks -> Outcomes: read, denoise, measure, publish. :func:`process_file` is the heart of every way to run."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path

from . import images, quality
from .engine import Denoiser
from .errors import FolderDenoiseError, ModelError, OutputError, ReferenceImageError, UnreadableImageError
from .folder import Task
from .ledger import Row
from .publish import published

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What changes the pixels of a result, besides the model. ``text`` is what the ledger's ``settings`` says."""

    strength: float = 1.0
    max_megapixels: float = 2000.0
    text: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one file: its rows for the ledger, one per page, all ``done`` or one ``failed``."""

    task: Task
    rows: tuple[Row, ...]

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

    def add(self, outcome: Outcome) -> None:
        """Count one finished file."""
        if outcome.status == "done":
            self.done += 1
            self.megapixels += outcome.megapixels
        else:
            self.failed += 1

    @property
    def exit_code(self) -> int:
        """0, or 1 when some files failed."""
        return 1 if self.failed else 0

    def __str__(self) -> str:
        seconds = time.monotonic() - self.started
        if not self.done and not self.failed:
            return f"Nothing to do: {self.skipped} skipped (-v says why)." if self.skipped else "Nothing to do."
        parts = [f"{self.done} done"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        return f"{', '.join(parts)}; {self.megapixels:.1f} megapixels in {seconds:.1f} s."


def process_file(task: Task, denoiser: Denoiser, settings: Settings) -> Outcome:
    """Denoise one file and publish the result under ``task.output``.

    A file that cannot be denoised gives a failed outcome that says why; nothing is published for it. Raises only what
    concerns the whole run: :class:`OutputError` (the output cannot be written) and :class:`ModelError`.
    """
    started = time.monotonic()
    base = Row(file=task.relative, strength=settings.strength, settings=settings.text)
    try:
        rows = _process(task, denoiser, settings, base)
    except (OutputError, ModelError):
        raise
    except FolderDenoiseError as error:
        # Rooms that see pixels only cannot name the file.
        message = str(error)
        rows = [_failed(base, message if str(task.source) in message else f"{task.source}: {message}")]
    except MemoryError:
        rows = [_failed(base, f"{task.source}: not enough memory for it. Use fewer --jobs, or a larger machine.")]
    except Exception as error:
        # A fault of ours must not take the other files down with it; the log has the traceback.
        log.exception("%s: unexpected error", task.source)
        rows = [_failed(base, f"{task.source}: unexpected {type(error).__name__}: {error}. Please report it.")]
    seconds = time.monotonic() - started
    outcome = Outcome(task, tuple(rows))
    rate = outcome.megapixels / seconds if outcome.status == "done" and seconds > 0 else None
    finished = datetime.now(timezone.utc).isoformat(timespec="seconds")
    stamped = (replace(row, seconds=seconds, megapixels_per_second=rate, finished_at=finished) for row in rows)
    return Outcome(task, tuple(stamped))


def _process(task: Task, denoiser: Denoiser, settings: Settings, base: Row) -> list[Row]:
    identity = _identity(task.source)
    file = images.read(task.source, max_megapixels=settings.max_megapixels)
    reference, complaint = _reference(task, settings)
    base = replace(base, source_sha256=_sha256(task.source))
    if _identity(task.source) != identity:
        raise UnreadableImageError(f"{task.source}: changed while it was read. Run again when it is complete.")
    base = replace(base, source_bytes=identity[0], source_mtime_ns=identity[1])
    pages, rows = [], []
    for index, page in enumerate(file.pages):
        result = denoiser.denoise(page.pixels, settings.strength)
        pages.append(replace(page, pixels=result.pixels))
        height, width, channels = page.pixels.shape
        row = replace(
            base,
            page=index + 1,
            width=width,
            height=height,
            channels=channels,
            bit_depth=file.encoding.bit_depth,
            model=result.model,
            noise_before=quality.noise_level(page.pixels),
            noise_after=quality.noise_level(result.pixels),
        )
        notes = list(file.notes)
        if reference is not None and index < len(reference.pages):
            row, note = _compared(row, page, pages[-1], reference.pages[index])
            complaint = note or complaint
        rows.append(replace(row, notes="; ".join([*notes, *([complaint] if complaint else [])])))
    with published(task.output) as temporary:
        written = images.write(replace(file, pages=tuple(pages)), temporary)
    notes_of = [dict.fromkeys(part for part in [row.notes, *written] if part) for row in rows]
    return [
        replace(row, output=str(task.output), notes="; ".join(notes)) for row, notes in zip(rows, notes_of, strict=True)
    ]


def _compared(
    row: Row, noisy: images.Picture, denoised: images.Picture, reference: images.Picture
) -> tuple[Row, str | None]:
    """The row with its scores against the reference, or as it was with a complaint."""
    try:
        after = quality.scores(denoised.pixels, reference.pixels)
        before = quality.scores(noisy.pixels, reference.pixels)
    except ReferenceImageError as error:
        return row, f"not compared: {error}"
    gain = after.psnr - before.psnr if after.psnr != before.psnr else 0.0
    ssim_gain = None if after.ssim is None or before.ssim is None else after.ssim - before.ssim
    scored = replace(
        row,
        psnr=after.psnr,
        ssim=after.ssim,
        mse=after.mse,
        mae=after.mae,
        psnr_gain=gain,
        ssim_gain=ssim_gain,
    )
    return scored, None


def _reference(task: Task, settings: Settings) -> tuple[images.ImageFile | None, str | None]:
    """The clean version of a task, or why there is none. It never makes the file itself fail."""
    if task.reference is None:
        return None, None
    try:
        return images.read(task.reference, max_megapixels=settings.max_megapixels), None
    except FolderDenoiseError as error:
        return None, f"no reference: {error}"


def _failed(base: Row, why: str) -> Row:
    return replace(base, status="failed", notes=why)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnreadableImageError(f"{path}: cannot be opened ({error.strerror}). Check that it is there.") from error


def _identity(path: Path) -> tuple[int, int]:
    with _readable(path):
        status = path.stat()
        return status.st_size, status.st_mtime_ns


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with _readable(path), path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def run_batch(
    tasks: Iterable[Task],
    denoiser: Denoiser,
    settings: Settings,
    on_outcome: Callable[[Outcome], None],
    *,
    jobs: int,
    stop: threading.Event | None = None,
) -> None:
    """Process ``tasks`` with ``jobs`` files under way at once; ``on_outcome`` is called in this thread, file by file.

    ``stop`` ends the run after the files under way. Errors that concern the whole run end it the same way and are
    raised when the files under way are done; their outcomes are delivered first.
    """
    stop = stop or threading.Event()
    remaining = iter(tasks)
    fatal: FolderDenoiseError | None = None
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="denoise") as pool:
        pending: set[Future[Outcome]] = set()
        try:
            while True:
                if fatal is None and not stop.is_set():
                    # A short queue: a list of 200,000 tasks must not become 200,000 futures.
                    for task in islice(remaining, jobs + 1 - len(pending)):
                        pending.add(pool.submit(process_file, task, denoiser, settings))
                if not pending:
                    break
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    if future.cancelled():
                        continue
                    try:
                        outcome = future.result()
                    except (OutputError, ModelError) as error:
                        fatal = fatal or error
                        pending = {other for other in pending if not other.cancel()}
                    else:
                        on_outcome(outcome)
        except BaseException:
            for future in pending:
                future.cancel()
            raise
    if fatal is not None:
        raise fatal
