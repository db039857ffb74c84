"""One file of a store, as a worker does it: fetched, denoised on its own disk, and put where it belongs."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from .errand import Done

if TYPE_CHECKING:
    from ..engine import Denoiser
    from ..pages import Settings
    from ..table import Row
    from .stores import Store


@dataclass(frozen=True)
class RemoteFile:
    """The file ``relative`` below the URL ``source``, whose result is ``output`` below the URL ``out``.

    ``size`` in bytes and ``mtime_ns`` are what the listing said; ``reference`` is the path of a clean version that all
    workers see.
    """

    source: str
    relative: str
    out: str
    output: str
    size: int
    mtime_ns: int | None
    reference: Path | None = None

    def do(self, denoiser: Denoiser, settings: Settings, scratch: Path) -> Done:
        """See :class:`errand.Item`. What it needs of the worker's disk is free again when it returns."""
        with tempfile.TemporaryDirectory(prefix="folderdenoise-", dir=scratch, ignore_cleanup_errors=True) as place:
            return self._do(denoiser, settings, Path(place))

    def _do(self, denoiser: Denoiser, settings: Settings, place: Path) -> Done:
        from ..batch import process_file
        from ..errors import UnreadableImageError
        from ..folder import Task
        from ..publish import step

        # A disk may not take the names that a store does.
        here = place / "in" / f"image{PurePosixPath(self.relative).suffix}"
        result = place / "out" / f"image{PurePosixPath(self.output).suffix}"
        here.parent.mkdir()
        result.parent.mkdir()
        try:
            _store(self.source).fetch(self.relative, here)
            if here.stat().st_size != self.size:
                raise UnreadableImageError(
                    f"{self.source}/{self.relative}: changed since it was listed. Run again when it is complete."
                )
        except UnreadableImageError as error:
            return Done((self._failed(settings, str(error)),), is_unreadable=True)
        outcome = process_file(Task(here, here.name, result, self.reference), denoiser, settings)
        if outcome.status == "done":
            step()
            _store(self.out).publish(result, self.output)
        names = {str(here): f"{self.source}/{self.relative}", str(result): f"{self.out}/{self.output}"}
        return Done(tuple(self._told(row, names) for row in outcome.rows), outcome.is_unreadable)

    def _told(self, row: Row, names: dict[str, str]) -> Row:
        """A row of the copy as the original's."""
        notes = row.notes
        for local, url in names.items():
            notes = notes.replace(local, url)
        return replace(
            row,
            file=self.relative,
            source_folder=self.source,
            source_bytes=self.size,
            source_mtime_ns=self.mtime_ns,
            notes=notes,
        )

    def _failed(self, settings: Settings, why: str) -> Row:
        from ..table import Row

        return self._told(
            Row(file=self.relative, status="failed", strength=settings.strength, settings=settings.text, notes=why), {}
        )


@functools.lru_cache(8)
def _store(url: str) -> Store:
    from .stores import Store

    return Store(url)
