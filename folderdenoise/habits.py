"""How a folder is watched, and what a watch counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .batch import Report


@dataclass(frozen=True)
class Habits:
    """How to watch. Seconds throughout.

    ``settle``: how long a file must not have changed. ``poll``: look through the folder this often instead of waiting
    for events; None to find out. ``existing``: take files that are there at the start. ``once``: end when all that is
    there is done. ``move_done``, ``move_failed``: where originals go when they are dealt with. ``health``: a file to
    touch while all is well.
    """

    settle: float = 2.0
    poll: float | None = None
    existing: bool = True
    once: bool = False
    move_done: Path | None = None
    move_failed: Path | None = None
    health: Path | None = None

    @property
    def shelves(self) -> list[Path]:
        """Where originals are put away."""
        return [shelf for shelf in (self.move_done, self.move_failed) if shelf is not None]


@dataclass
class Tally(Report):
    """A watch's report: its ``skipped`` are the files that were met and left alone.

    ``left``: files that were reported because they never settle, or because their results would replace others.
    """

    left: int = 0

    # A watch that is ended may have files waiting, or under way.
    _nothing: ClassVar[str] = "Nothing was done"

    @property
    def exit_code(self) -> int:
        """0, or 1 when some files failed or were left."""
        return 1 if self.failed or self.left else 0

    def __str__(self) -> str:
        return f"{super().__str__()} {self.left} left, see the warnings." if self.left else super().__str__()
