"""The file that tells a monitor that all is well: ``--health FILE``."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

from .errors import OutputError
from .publish import check_replaceable

_SECONDS = 5.0


class Health:
    """Writes ``path`` anew every few seconds; does nothing where there is none.

    The file is one JSON object: ``started`` and ``updated`` (UTC), ``process``, and the ``facts``, which are asked for
    each time. A file that cannot be written is a wrong option at first: :class:`OutputError`; later ``warn`` is told,
    once, and nothing else comes of it: a file that grows old raises the alarm by itself.
    """

    def __init__(
        self, path: Path | None, facts: Callable[[], Mapping[str, object]], warn: Callable[[str], None]
    ) -> None:
        if path is not None:
            check_replaceable(path)
        self._path = path
        self._facts = facts
        self._warn = warn
        self._started = _now()
        self._next = 0.0
        self._was_written = self._is_told = False

    def tick(self, *, at_once: bool = False) -> None:
        """Called often while all is well. Raises :class:`OutputError` if the file cannot be written the first time."""
        now = time.monotonic()
        if self._path is None or (now < self._next and not at_once):
            return
        self._next = now + _SECONDS
        try:
            _replace(self._path, {"started": self._started, "updated": _now(), "process": os.getpid(), **self._facts()})
        except OSError as error:
            message = f"--health {self._path}: cannot be written ({error.strerror})."
            if not self._was_written:
                raise OutputError(f"{message} Name another file.") from error
            if not self._is_told:
                self._warn(f"{message} Monitors will raise the alarm; the watch goes on.")
            self._is_told = True
        else:
            self._was_written, self._is_told = True, False


def _replace(path: Path, facts: Mapping[str, object]) -> None:
    # No fsync: it is about now, and of no use after a power cut.
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps(facts) + "\n", encoding="utf-8")
        aside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
