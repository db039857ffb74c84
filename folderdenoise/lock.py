"""One run at a time into one output folder."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from .errors import OutputBusyError
from .publish import is_at, unwritable

LOCK_NAME = ".folderdenoise-lock"

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        # Windows keeps others from reading what is locked, so the locked byte is far behind the text.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Have ``folder`` to ourselves within the block; ``doing`` is what others are told about us.

    The lock is the operating system's and ends with the process however that ends; the file that carries it only
    tells who holds it. Raises :class:`OutputBusyError` naming the holder if there is one, of this folder or of one
    above it, and :class:`OutputError` when the folder cannot be written to.
    """
    path = folder / LOCK_NAME
    descriptor = _acquire(path)
    try:
        refuse_held(folder.resolve().parents)
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        text = f"'{doing}', process {os.getpid()} on {socket.gethostname()}, since {since}"
        # A full disk has no room for the text; the lock holds without it.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, text.encode("utf-8", "backslashreplace"))
        yield
    finally:
        # The folder may have been replaced meanwhile, and another run hold the lock in the new one.
        is_ours = False
        with contextlib.suppress(OSError):
            is_ours = is_at(descriptor, path)
        # Removed while locked, so that nobody can lock the file in between; Windows removes no open file.
        if sys.platform == "win32":
            os.close(descriptor)
        if is_ours:
            with contextlib.suppress(OSError):
                path.unlink()
        if sys.platform != "win32":
            os.close(descriptor)


def _acquire(path: Path) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise unwritable(path, error, path.parent) from error
        try:
            _try_lock(descriptor)
            # The holder may have removed the file between our opening and our locking it.
            if is_at(descriptor, path):
                return descriptor
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            raise _busy(path) from None
        except OSError as error:
            os.close(descriptor)
            raise unwritable(path, error, path.parent) from error
        os.close(descriptor)


def refuse_held(folders: Iterable[Path]) -> None:
    """Raise :class:`OutputBusyError` where another process has one of ``folders`` to itself."""
    for folder in folders:
        path = folder / LOCK_NAME
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            # Not there, or not for us: then its holder is nobody whose results we could touch.
            continue
        try:
            _try_lock(descriptor)
        except OSError:
            raise _busy(path) from None
        finally:
            os.close(descriptor)


def _busy(path: Path) -> OutputBusyError:
    return OutputBusyError(
        f"{path.parent}: another folderdenoise is writing into this folder: {_holder(path)}. "
        "Wait until it is done, stop it, or choose another --out."
    )


def _holder(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace") or "it has just started"
    except OSError:
        return "it does not say which"
