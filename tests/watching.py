"""A watch in a process of its own or in this one, and waiting for what it does: for conditions, never for a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from folderdenoise import job, watch
from folderdenoise.batch import Outcome, Report
from folderdenoise.folder import Plan, Selection
from folderdenoise.habits import Habits
from folderdenoise.job import Stop
from folderdenoise.order import Order
from folderdenoise.table import read

from . import pictures

PATIENCE = 90
"""Seconds after which a condition is given up: a loaded machine is slow, a broken watch never gets there."""


class Watching:
    """``folderdenoise watch`` with ``--json``: what it says of each file, and what else it says."""

    def __init__(self, inbox: Path, *arguments: object, zoo: Path, settle: float = 0.3) -> None:
        command = [sys.executable, "-m", "folderdenoise", "watch", inbox, "--settle", settle, "--json", *arguments]
        environment = {**os.environ, "FOLDERDENOISE_MODELS": str(zoo)}
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.outcomes: list[dict[str, Any]] = []
        self.said: list[str] = []
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, lambda line: self.outcomes.append(line))),
            threading.Thread(target=self._read, args=(self.process.stderr, self.said.append)),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._finish()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until what it has said makes ``condition`` true."""
        with self._news:
            met = self._news.wait_for(lambda: condition() or self.process.poll() is not None, PATIENCE)
        assert met, f"{what}: not after {PATIENCE} s. {self.outcomes} {self.said}"
        assert condition(), f"{what}: it has ended. {self.outcomes} {self.said}"

    def until_watching(self) -> None:
        self.until(lambda: any("Watching" in line for line in self.said), "watching")

    def until_done(self, *names: str, status: str = "done", pages: int = 1) -> None:
        for name in names:
            self.until(lambda name=name: self.states(name)[-1:] == [(status, pages)], f"{name} {status}")

    def states(self, name: str) -> list[tuple[str, int]]:
        """Status and number of pages, each time that a file was dealt with."""
        return [(item["status"], len(item["pages"])) for item in list(self.outcomes) if item["file"] == name]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the signal; the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Until it ends by itself; the exit code."""
        code = self.process.wait(PATIENCE)
        self._finish()
        return code

    def _finish(self) -> None:
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def _read(self, pipe: Any, keep: Callable[[Any], None]) -> None:
        for line in pipe:
            with self._news:
                keep(json.loads(line) if pipe is self.process.stdout else line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


def picture(path: Path, seed: int = 0) -> Path:
    return pictures.save(path, pictures.noisy(pictures.scene(seed=seed), 20))


def rows(out: Path) -> list[tuple[str, str, str]]:
    return [(row["file"], row["page"], row["status"]) for row in read(out / "metrics.csv")]


class Heard:
    """A listener that ends the watch when it has heard enough."""

    def __init__(self, stop: Stop, enough: int) -> None:
        self._stop, self._enough = stop, enough
        self.files: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self.code = -1
        self.changed = b""
        self.reasons: dict[str, str] = {}

    def started(self, plan: Plan) -> None:
        pass

    def skipped(self, path: Path, reason: str) -> None:
        self.reasons[path.name] = reason

    def noted(self, message: str) -> None:
        pass

    def warned(self, message: str) -> None:
        self.warnings.append(message)

    def finished_file(self, outcome: Outcome) -> None:
        self.files.append((outcome.task.relative, outcome.status))
        if len(self.files) == self._enough:
            self._stop.set()

    def finished(self, report: Report, interrupted: bool) -> None:
        pass


def watch_here(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    habits: Habits,
    enough: int = 0,
    inbox: str = "in",
    **order: object,
) -> Heard:
    """Watch in this process until ``enough`` files are done."""
    stop = Stop()

    @contextmanager
    def interruptible() -> Iterator[Stop]:
        yield stop

    monkeypatch.setattr(job, "interruptible", interruptible)
    heard = Heard(stop, enough)
    alarm = threading.Timer(PATIENCE, stop.set)
    alarm.start()
    chosen = Order(tmp_path / inbox, tmp_path / "out", **order)  # type: ignore[arg-type]
    heard.code = watch.watch(chosen, Selection(), habits, heard)
    alarm.cancel()
    return heard
