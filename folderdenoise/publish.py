"""How a result gets its name: whole and on the disk, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from .errors import AbandonedError, OutputError
from .tree import METRICS_NAME, TEMPORARY_SUFFIX

_ABANDONED = "abandoned, because the run was interrupted. Run again to go on."
_PAUSE_SECONDS = 0.1
# Of a result, and of a scratch file that was given its name by tempfile.
_TEMPORARY = re.compile(rf"\.([0-9a-f]{{16}}|\w{{8}}){re.escape(TEMPORARY_SUFFIX)}")


class Gate:
    """What lets a run end while files are under way: what is not published when it closes never will be.

    A thread cannot be killed in the middle of a network, so an interrupted run leaves it behind. ``Gate.enter`` says
    for the current thread which gate its results pass through. While ``go`` is not set, work waits at ``step``.
    """

    def __init__(self, go: threading.Event | None = None) -> None:
        self._lock = threading.Lock()
        self._temporaries: set[Path] = set()
        self._is_open = True
        self._go = go

    @property
    def is_open(self) -> bool:
        """Whether results are still published."""
        return self._is_open

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        """Within the block, this thread publishes through this gate."""
        token = _gate.set(self)
        try:
            yield
        finally:
            _gate.reset(token)

    def step(self) -> None:
        """Wait while the run is paused. Raises :class:`AbandonedError` when the gate is closed."""
        while self._is_open and self._go is not None and not self._go.wait(_PAUSE_SECONDS):
            pass
        if not self._is_open:
            raise AbandonedError(_ABANDONED)

    def close(self) -> None:
        """Let nothing more through, and remove what is half-written."""
        with self._lock:
            self._is_open = False
            for temporary in self._temporaries:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _holding(self, temporary: Path) -> Iterator[None]:
        with self._lock:
            self._check(temporary)
            self._temporaries.add(temporary)
        try:
            yield
        except Exception:
            # What was half-written has been removed meanwhile: what its writer or reader says of that is no fault of
            # the file.
            if not self._is_open:
                raise AbandonedError(f"{temporary}: {_ABANDONED}") from None
            raise
        finally:
            with self._lock:
                self._temporaries.discard(temporary)

    def _rename(self, temporary: Path, output: Path) -> None:
        with self._lock:
            self._check(output)
            temporary.replace(output)

    def _check(self, path: Path) -> None:
        if not self._is_open:
            raise AbandonedError(f"{path}: {_ABANDONED}")


_gate: ContextVar[Gate] = ContextVar("gate")


def step() -> None:
    """``Gate.step`` of the gate that this thread's results pass through, if there is one."""
    if gate := _gate.get(None):
        gate.step()


def check_replaceable(path: Path) -> None:
    """Raise :class:`OutputError` for a folder, device or pipe: a rename would put a file in place of /dev/null."""
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: is there already and no ordinary file. Name another place for the result.")


@contextlib.contextmanager
def published(output: Path, below: Path | None = None) -> Iterator[Path]:
    """A temporary path beside ``output`` to write to; renamed to ``output`` if the block succeeds, else removed.

    The bytes are on the disk before the name is. Folders between ``below`` and ``output`` are made; ``below`` itself
    must be there (by default, all folders are made). Raises :class:`OutputError` when the folder cannot be written to,
    or ``output`` is something other than a file.
    """
    # A short name of its own: adding to a name of 255 bytes would be refused.
    temporary = output.parent / f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    gate = _gate.get(None) or Gate()
    try:
        check_replaceable(output)
        if below is None:
            output.parent.mkdir(parents=True, exist_ok=True)
        else:
            _make_folders(output.parent, below)
        with gate._holding(temporary):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            gate._rename(temporary, output)
        sync_folder(output.parent)
    except OSError as error:
        raise unwritable(output, error, below) from error
    except OutputError as error:
        # The writer knows the temporary name only, which tells a user nothing.
        if isinstance(error.__cause__, OSError):
            raise unwritable(output, error.__cause__, below) from error
        raise type(error)(str(error).replace(str(temporary), str(output))) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _make_folders(folder: Path, below: Path) -> None:
    """Make ``folder``, but never ``below``.

    When an output folder is removed or unmounted midway, making it anew would hide that, and leave results without
    their metrics.csv.
    """
    if folder == below or folder.is_dir():
        if not below.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(below))
        return
    _make_folders(folder.parent, below)
    folder.mkdir(exist_ok=True)


def unwritable(path: Path, error: OSError, out: Path | None = None) -> OutputError:
    """The error that says why ``path`` cannot be written, and what to do."""
    kept = "What is finished is kept, and running again goes on from there."
    if error.errno == errno.ENOSPC:
        return OutputError(f"{path}: cannot be written, the disk is full. Make free space on it. {kept}")
    if out is not None and not out.is_dir():
        return OutputError(f"{out}: the output folder is gone: removed, or its drive unplugged. Bring it back. {kept}")
    why = error.strerror or error
    return OutputError(f"{path}: cannot be written ({why}). Check the permissions of the output folder. {kept}")


def remove_leftovers(out: Path) -> list[Path]:
    """Remove the temporary files that a killed run left below ``out``.

    Only for the run that has ``out`` to itself. Folders that are another run's output are passed over, since that one
    may be at work, and returned. What cannot be removed stays: it is in nobody's way.
    """
    others = []
    for folder, folders, files in os.walk(out):
        here = Path(folder)
        if here != out and METRICS_NAME in files:
            folders.clear()
            others.append(here)
            continue
        for name in files:
            if _TEMPORARY.fullmatch(name):
                with contextlib.suppress(OSError):
                    (here / name).unlink()
    return others


def is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at ``path``; False where there is none by now. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def sync_folder(folder: Path) -> None:
    """Make a rename durable. Windows has no such call for folders, and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
