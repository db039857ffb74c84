"""A watch in a process of its own, and waiting for what it does: for conditions, never for a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
