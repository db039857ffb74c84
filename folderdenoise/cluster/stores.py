"""Files behind URLs, through fsspec: listed, fetched, and put there whole or not at all."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

from ..errors import OutputError, UnreadableImageError, UsageError
from ..tree import TEMPORARY_SUFFIX

_DRIVERS = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "sftp": "paramiko",
    "ssh": "paramiko",
}
# An object appears there when its last byte has arrived; elsewhere a file does with its first.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
PAUSES_SECONDS = (1.0, 5.0)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Entry:
    """A file or folder of a store; ``relative`` to its root. ``mtime_ns`` None: the store does not say."""

    relative: str
    is_folder: bool
    size: int
    mtime_ns: int | None

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.relative.rpartition("/")[2]


class Store:
    """The folder at ``url``. Raises UsageError where there is no driver for such URLs.

    Drivers raise what they like when something goes wrong, so everything is caught, and said in our words.
    """

    def __init__(self, url: str) -> None:
        import fsspec.core

        self.url = url
        scheme = url.partition("://")[0].lower()
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            driver = _DRIVERS.get(scheme, "the package that it names")
            raise UsageError(f"{url}: its driver is missing here ({error}). pip install {driver}.") from error
        except Exception as error:
            raise UsageError(f"{url}: cannot be opened ({_text(error)}). {_ADVICE}") from error
        self._root = str(root).rstrip("/")
        protocols = {self._fs.protocol} if isinstance(self._fs.protocol, str) else set(self._fs.protocol)
        self.is_object_store = bool(protocols & _OBJECT_STORES)

    def url_of(self, relative: str) -> str:
        """The URL of a file."""
        return f"{self.url}/{relative}"

    def below(self, other: Store) -> str | None:
        """The path of this folder below ``other``, "" if it is the same, None if it is elsewhere: however the two are
        spelt."""
        if self._fs != other._fs:
            return None
        place, above = self._place(), f"{other._place()}/"
        return f"{place}/".removeprefix(above).rstrip("/") if f"{place}/".startswith(above) else None

    def file(self) -> Entry | None:
        """The file that the URL is of, as an entry of the folder that it is in; None for a folder.

        Raises UsageError where it cannot be reached, or nothing is there.
        """
        try:
            info = self._fs.info(self._root)
        except FileNotFoundError:
            raise UsageError(f"{self.url}: no such file or folder. Check the spelling.") from None
        except Exception as error:
            raise UsageError(f"{self.url}: cannot be read ({_text(error)}). {_ADVICE}") from error
        if info["type"] != "file":
            return None
        return Entry(self.url.rpartition("/")[2], False, int(info["size"]), _mtime_ns(info))

    def entries(self, folder: str = "") -> list[Entry]:
        """What is in a ``folder``, sorted by name; nothing if it is not there. Raises OSError."""
        place = self._path(folder)
        # Drivers remember listings: ten million files are too many to remember, and others may have been here.
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(place, detail=True)
        except FileNotFoundError:
            return []
        except OSError:
            raise
        except Exception as error:
            raise OSError(_text(error)) from error
        finally:
            self._fs.invalidate_cache()
        entries = [self._entry(info) for info in found if info["name"].strip("/") != place.strip("/")]
        return sorted(entries, key=lambda entry: entry.relative)

    def fetch(self, relative: str, to: Path) -> None:
        """Copy a file to this machine. Raises UnreadableImageError."""
        try:
            _persistently(lambda: self._fs.get_file(self._path(relative), str(to)))
        except FileNotFoundError:
            raise UnreadableImageError(f"{self.url_of(relative)}: is gone.") from None
        except Exception as error:
            raise UnreadableImageError(f"{self.url_of(relative)}: cannot be fetched ({_text(error)}).") from error

    def publish(self, local: Path, relative: str) -> None:
        """Copy a file there, whole or not at all. Raises OutputError."""
        try:
            _persistently(lambda: self._put(local, self._path(relative)))
        except Exception as error:
            raise OutputError(
                f"{self.url_of(relative)}: cannot be written ({_text(error)}). {_ADVICE} What is finished is kept, and "
                "running again goes on from there."
            ) from error

    def read(self, relative: str, most: int | None = None) -> bytes | None:
        """The first ``most`` bytes of a small file, or all; None if it is not there. Raises OutputError."""
        try:
            return bytes(_persistently(lambda: self._fs.cat_file(self._path(relative), start=0, end=most)))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise OutputError(f"{self.url_of(relative)}: cannot be read ({_text(error)}). {_ADVICE}") from error

    def remove(self, relative: str) -> None:
        """Remove a file, if it is there. Raises OutputError."""
        try:
            self._fs.rm_file(self._path(relative))
        except FileNotFoundError:
            pass
        except Exception as error:
            raise OutputError(f"{self.url_of(relative)}: cannot be removed ({_text(error)}). {_ADVICE}") from error

    def _put(self, local: Path, path: str) -> None:
        if self.is_object_store:
            self._fs.put_file(str(local), path)
            return
        folder = path.rpartition("/")[0]
        self._fs.makedirs(folder, exist_ok=True)
        aside = f"{folder}/.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
        try:
            self._fs.put_file(str(local), aside)
            self._rename(aside, path)
        except BaseException:
            if self._fs.exists(aside):
                self._fs.rm_file(aside)
            raise

    def _place(self) -> str:
        from fsspec.implementations.local import LocalFileSystem

        return Path(self._root).resolve().as_posix() if isinstance(self._fs, LocalFileSystem) else self._root

    def _rename(self, old: str, new: str) -> None:
        from fsspec.implementations.local import LocalFileSystem

        if isinstance(self._fs, LocalFileSystem):
            # Its mv copies where Windows renames nothing onto a file that is there.
            os.replace(old, new)  # noqa: PTH105
        else:
            self._fs.mv(old, new)

    def _path(self, relative: str) -> str:
        return f"{self._root}/{relative}" if relative else self._root

    def _entry(self, info: dict[str, Any]) -> Entry:
        relative = info["name"].lstrip("/")[len(self._root.lstrip("/")) + 1 :].rstrip("/")
        return Entry(relative, info["type"] == "directory", int(info.get("size") or 0), _mtime_ns(info))


def _mtime_ns(info: dict[str, Any]) -> int | None:
    """The modification time of a listed file in nanoseconds since 1970: each driver has a name and a type for it."""
    for key in ("LastModified", "last_modified", "mtime", "updated"):
        value = info.get(key)
        if isinstance(value, str):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        if isinstance(value, datetime):
            value = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
            return (value - _EPOCH) // timedelta(microseconds=1) * 1000
        if isinstance(value, (int, float)):
            return round(value * 1e6) * 1000
    return None


def _persistently(call: Callable[[], _Answer]) -> _Answer:
    """What ``call`` gives, after a pause where a connection failed."""
    for pause in PAUSES_SECONDS:
        try:
            return call()
        except (FileNotFoundError, PermissionError):
            raise
        except Exception:
            time.sleep(pause)
    return call()


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip(": ")


_ADVICE = "Check the URL, the credentials and the network."
