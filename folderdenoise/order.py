"""What a run or a watch is asked to do, and who hears of its course."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .batch import Outcome, Report
from .devices import Wish
from .folder import Plan
from .images import FORMATS
from .pages import Measure, Settings


@dataclass(frozen=True)
class Order:
    """What the user asked for, besides the selection of files. Units and ranges as on the command line."""

    source: Path
    out: Path
    model: str = "auto"
    strength: float = 1.0
    reference: Path | None = None
    precision: str = "auto"
    tile: int | None = None
    jobs: int | None = None
    max_megapixels: float = 2000.0
    format: str | None = None
    quality: int | None = None
    keep_times: bool = False
    estimate: bool = False
    device: Wish = "auto"
    threads: int | None = None
    memory: float | None = None
    """In GiB, for the whole process."""
    metrics: Measure = "fast"
    best: bool = False

    @property
    def settings(self) -> Settings:
        """How each file is treated; what changes pixels stands in the ledger."""
        text = f"precision={self.precision} tile={self.tile or 'auto'}"
        text += " best" if self.best else ""
        text += f" format={self.format}" if self.format else ""
        text += f" quality={self.quality}" if self.quality else ""
        return Settings(
            strength=self.strength,
            max_megapixels=self.max_megapixels,
            text=text,
            format=self.format,
            quality=self.quality,
            keep_times=self.keep_times,
            estimate=self.estimate,
            metrics=self.metrics,
        )

    @property
    def memory_bytes(self) -> int | None:
        """``memory`` in bytes."""
        return None if self.memory is None else round(self.memory * 2**30)

    @property
    def suffix(self) -> str | None:
        """What the names of results end in; None for that of the original."""
        return FORMATS[self.format] if self.format else None


class Listener(Protocol):
    """Who hears of a run's course."""

    def started(self, plan: Plan) -> None:
        """The plan is made; work begins."""
        ...

    def skipped(self, path: Path, reason: str) -> None:
        """A file that was met after the start is left alone."""
        ...

    def noted(self, message: str) -> None:
        """How things stand, for one who looks on."""
        ...

    def warned(self, message: str) -> None:
        """Something to know, which stops nothing."""
        ...

    def finished_file(self, outcome: Outcome) -> None:
        """One file is done or failed, and its rows are in the ledger."""
        ...

    def finished(self, report: Report, interrupted: bool) -> None:
        """All is done, or the run was interrupted."""
        ...
