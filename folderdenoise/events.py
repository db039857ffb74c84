"""What changes below a folder, as the system tells it, and finding out whether it tells it at all."""

from __future__ import annotations

import contextlib
import errno
import logging
import secrets
import sys
import threading
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

_PROBE_SECONDS = 3.0
# Reading a file is no news: our own would wake us for ever.
_NEWS = frozenset({"created", "modified", "moved", "deleted", "closed"})
# Linux tells of what this machine does on a network drive, which a probe sees, but not of what others do.
_NETWORK_KINDS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ncpfs", "ceph", "glusterfs", "lustre"}
)


class Events(FileSystemEventHandler):
    """Collects the paths below ``folder`` that something happened to. ``wake`` is set when there are some."""

    def __init__(self, folder: Path, wake: threading.Event, *, recursive: bool) -> None:
        self._folder = folder
        self._recursive = recursive
        self._wake = wake
        self._lock = threading.Lock()
        # Paths, not events: five thousand changes of one file are one thing to look at.
        self._paths: dict[str, None] = {}
        self._probe = folder / f".folderdenoise-probe-{secrets.token_hex(8)}"
        self._probe_seen = threading.Event()
        self._observer = Observer()
        self._complaints = _Complaints(wake)

    def start(self) -> str | None:
        """Begin; None if events arrive here, or why they do not: then nothing was begun, and polling is what is left.

        A file with a hidden name is made in the folder for a moment, to see whether word of it arrives.
        """
        if kind := _network_kind(self._folder):
            return f"{self._folder} is a network drive ({kind}), where changes made elsewhere send no events"
        _watchdog.addHandler(self._complaints)
        try:
            self._observer.schedule(self, str(self._folder), recursive=self._recursive)
            self._observer.start()
        except OSError as error:
            self.stop()
            return _explain(error)
        try:
            self._probe.write_bytes(b"")
            arrived = self._probe_seen.wait(_PROBE_SECONDS)
        except OSError as error:
            self.stop()
            return f"{self._folder} cannot be written to ({error.strerror}), so whether events arrive cannot be tried"
        finally:
            with contextlib.suppress(OSError):
                self._probe.unlink(missing_ok=True)
        if not arrived:
            self.stop()
            return f"a file made in {self._folder} was not seen within {_PROBE_SECONDS:g} s: events do not arrive here"
        return None

    def fault(self) -> str | None:
        """Why events do not arrive any more, or None."""
        if self._observer.is_alive() and all(emitter.is_alive() for emitter in self._observer.emitters):
            return None
        return "the system stopped telling of changes. " + _LIMITS

    def loss(self) -> str | None:
        """What was said of lost events since the last time, or None."""
        said, self._complaints.said = self._complaints.said, None
        return f"word of some changes was lost ({said}). {_QUEUE}" if said else None

    def take(self) -> list[Path]:
        """The paths since the last time."""
        with self._lock:
            self._wake.clear()
            paths, self._paths = self._paths, {}
        return [Path(path) for path in paths]

    def stop(self) -> None:
        """End; safe to call when nothing was begun."""
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
        _watchdog.removeHandler(self._complaints)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog, in its own thread."""
        if event.event_type not in _NEWS or (event.is_directory and event.event_type == "modified"):
            return
        paths = [_text(path) for path in (event.src_path, event.dest_path) if path]
        if str(self._probe) in paths:
            self._probe_seen.set()
            return
        with self._lock:
            self._paths.update(dict.fromkeys(paths))
            self._wake.set()


class _Complaints(logging.Handler):
    """Keeps the last thing that watchdog complained of: there is no other word of a queue that overflowed."""

    def __init__(self, wake: threading.Event) -> None:
        super().__init__(logging.WARNING)
        self._wake = wake
        self.said: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.said = record.getMessage()
        self._wake.set()


_watchdog = logging.getLogger("watchdog")
_QUEUE = (
    "The folder is looked through instead, so that no file is. On Linux "
    "'sysctl fs.inotify.max_queued_events=262144' makes room for more changes at once"
)
_LIMITS = (
    "On Linux a folder with many sub-folders needs more watches than the system allows by default: "
    "'sysctl fs.inotify.max_user_watches=1048576' (and fs.inotify.max_user_instances) raises that"
)


def _explain(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EMFILE):
        return f"the system's limit on watched folders is reached. {_LIMITS}"
    return f"the system refuses to tell of changes ({error.strerror})"


def _network_kind(folder: Path) -> str | None:
    """The kind of network drive that ``folder`` is on; None for a local one, and where that is not known."""
    if sys.platform != "linux":
        return None
    best, kind = "", ""
    with contextlib.suppress(OSError):
        real = folder.resolve()
        for line in Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines():
            _, place, found, *_ = line.split(" ")
            place = place.replace("\\040", " ")
            if len(place) >= len(best) and real.is_relative_to(place):
                best, kind = place, found
    return kind if kind in _NETWORK_KINDS or kind.startswith("fuse.sshfs") else None


def _text(path: bytes | str) -> str:
    return path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")
