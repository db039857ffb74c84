"""One run at a time into one place of a store, as far as a store can tell.

A store has no locks: an object says who is at work, and is written anew while that one lives, whatever it is at: a plan
of ten million files takes longer than a lock counts.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import OutputBusyError, OutputError
from ..lock import LOCK_NAME
from .stores import Store

RENEW_SECONDS = 60.0
_DEAD_AFTER_SECONDS = 600.0


class RemoteLock:
    """``store`` for ourselves within its ``with`` block; ``doing`` is what others are told about us.

    Raises OutputBusyError where another run is at work there. Two that begin within the same second may not see each
    other.
    """

    def __init__(self, store: Store, doing: str) -> None:
        self._store = store
        self._text = {"doing": doing, "host": socket.gethostname(), "process": os.getpid(), "since": _now()}
        self._is_over = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lock", daemon=True)
        self._fault: OutputError | None = None

    def __enter__(self) -> RemoteLock:
        held = self._store.read(LOCK_NAME)
        if held is not None and (holder := _living(held)):
            raise OutputBusyError(
                f"{self._store.url}: another folderdenoise is writing there: {holder}. Wait until it is done, stop it, "
                f"or choose another --out. If it is dead, remove {self._store.url_of(LOCK_NAME)}, or wait ten minutes."
            )
        self._write(self._store)
        self._renewing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._renewing.join()
        if self._is_ours(self._store):
            self._store.remove(LOCK_NAME)

    def tick(self) -> None:
        """Raises OutputError where the lock could not be renewed, and OutputBusyError where another run has it now."""
        if self._fault is not None:
            raise self._fault

    def _renew(self) -> None:
        # Drivers give each thread a connection of its own.
        store = Store(self._store.url)
        while not self._is_over.wait(RENEW_SECONDS):
            try:
                if not self._is_ours(store):
                    raise OutputBusyError(
                        f"{store.url}: another folderdenoise has begun to write there, which took this run for dead. "
                        "What is finished is kept. Run again when that one is done."
                    )
                self._write(store)
            except OutputError as error:
                self._fault = error
                return

    def _is_ours(self, store: Store) -> bool:
        """Whether no other run has put its name there."""
        held = store.read(LOCK_NAME)
        if held is None:
            return True
        try:
            lock = json.loads(held)
            return all(lock[key] == value for key, value in self._text.items())
        except (ValueError, KeyError, TypeError):
            return False

    def _write(self, store: Store) -> None:
        with tempfile.TemporaryDirectory(prefix="folderdenoise-") as place:
            text = Path(place) / "lock"
            text.write_text(json.dumps({**self._text, "renewed": _now()}), "utf-8")
            store.publish(text, LOCK_NAME)


def _living(held: bytes) -> str | None:
    """Who holds a lock with this text, if that one is not known to be dead."""
    import psutil

    try:
        lock: dict[str, Any] = json.loads(held)
        age = (datetime.now(timezone.utc) - datetime.fromisoformat(lock["renewed"])).total_seconds()
        is_dead = lock["host"] == socket.gethostname() and not psutil.pid_exists(lock["process"])
        who = f"'{lock['doing']}', process {lock['process']} on {lock['host']}, since {lock['since']}"
    except (ValueError, KeyError, TypeError):
        return "it does not say which"
    return None if is_dead or age > _DEAD_AFTER_SECONDS else who


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
