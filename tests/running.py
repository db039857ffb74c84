"""A run in this process, what is heard of it, and running it again."""

from __future__ import annotations

from pathlib import Path

from folderdenoise import job
from folderdenoise.batch import Outcome, Report
from folderdenoise.folder import Plan, Selection
from folderdenoise.order import Order
from folderdenoise.table import read


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.summary = ""

    def started(self, plan: Plan) -> None:
        self.reasons = {skipped.path.name: skipped.reason for skipped in plan.skipped}

    def skipped(self, path: Path, reason: str) -> None:
        self.reasons[path.name] = reason

    def noted(self, message: str) -> None:
        pass

    def warned(self, message: str) -> None:
        pass

    def finished_file(self, outcome: Outcome) -> None:
        self.files[outcome.task.relative] = outcome.status

    def finished(self, report: Report, interrupted: bool) -> None:
        self.summary = str(report)


def again(order: Order, selection: Selection | None = None) -> Heard:
    heard = Heard()
    job.run(order, selection or Selection(), heard)
    files = [(row["file"], row["page"]) for row in read(order.out / "metrics.csv")]
    assert len(files) == len(set(files)), "one row per page"
    assert not [path for path in order.out.rglob(".*")], "nothing temporary stays"
    return heard
