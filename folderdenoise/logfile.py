"""What a run did, as lines in a file that grows from run to run: ``--log FILE``."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from types import TracebackType

from .batch import Outcome, Report
from .console import describe
from .errors import UsageError
from .folder import Plan
from .lines import shown

if sys.platform == "win32":
    # Windows renames no file that is open.
    from logging import FileHandler as _FileHandler
else:
    from logging.handlers import WatchedFileHandler as _FileHandler

_log = logging.getLogger("folderdenoise")


class LogFile:
    """Hears of a run like a :class:`order.Listener` and writes one line for each file, with the time and the path.

    Problems that other rooms log go there too, each on one line. A context manager. Raises :class:`UsageError` if the
    file cannot be opened.
    """

    def __init__(self, path: Path, *, verbose: bool) -> None:
        self._verbose = verbose
        try:
            self._handler = _Handler(path, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UsageError(f"--log {path}: cannot be written ({error.strerror}). Name another file.") from error
        # With the offset from UTC: in the night when the clocks go back, an hour comes twice.
        self._handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))

    def __enter__(self) -> LogFile:
        _log.addHandler(self._handler)
        _log.setLevel(logging.INFO)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            _log.error("ended: %s", error or type(error).__name__)
        _log.removeHandler(self._handler)
        self._handler.close()

    def started(self, plan: Plan) -> None:
        """What is to be done, and with ``verbose`` why other files are not."""
        _log.info("results go to %s; to do: %d, skipped: %d", shown(plan.out), len(plan.tasks), len(plan.skipped))
        for skipped in plan.skipped if self._verbose else ():
            self.skipped(skipped.path, skipped.reason)

    def skipped(self, path: Path, reason: str) -> None:
        """A file that is left alone."""
        if self._verbose:
            _log.info("%s: skipped, %s", shown(path), reason)

    def noted(self, message: str) -> None:
        """How things stand."""
        _log.info("%s", message)

    def warned(self, message: str) -> None:
        """Something to know, which stops nothing."""
        _log.warning("%s", message)

    def finished_file(self, outcome: Outcome) -> None:
        """What became of a file."""
        path = shown(outcome.task.source)
        if outcome.status == "failed":
            _log.error("%s: failed, %s", path, shown(outcome.notes).removeprefix(f"{path}: "))
        else:
            what = describe(outcome, verbose=True).removeprefix(f"{shown(outcome.task.relative)}, ")
            _log.info("%s: done, %s", path, what)

    def finished(self, report: Report, interrupted: bool) -> None:
        """The summary."""
        _log.info("%s%s", "interrupted: " if interrupted else "", report)


class _OneLine(logging.Formatter):
    """Tracebacks and names with line ends stay on the line that names their file."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record).replace("\n", " | "))


class _Handler(_FileHandler):
    """A log that cannot be written, on a full disk perhaps, is complained of once, tried again, and stops nothing.

    One that was moved away, as ``logrotate`` does, is begun anew.
    """

    _is_told = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # the folder of a log that was moved is gone, too
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if not self._is_told:
            self._is_told = True
            print(f"Warning: --log {self.baseFilename} cannot be written ({sys.exc_info()[1]}).", file=sys.stderr)

    def close(self) -> None:
        # What a full disk did not take is tried once more, and was complained of.
        with contextlib.suppress(OSError):
            super().close()
