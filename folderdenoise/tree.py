"""The files of a folder that may be images: what lies around in folders is passed over, and so are our own results."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .table import is_header, whole_rows

METRICS_NAME = "metrics.csv"
TEMPORARY_SUFFIX = ".folderdenoise-part"

_JUNCTION = 0xA0000003  # stat.IO_REPARSE_TAG_MOUNT_POINT, which there is on Windows only
_JUNK_NAMES = frozenset({"thumbs.db", "desktop.ini", "@eadir", "#recycle", "$recycle.bin", "__macosx"})


@dataclass(frozen=True)
class Found:
    """A file below the input folder; ``relative`` with forward slashes."""

    path: Path
    relative: str
    is_link: bool = False


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is left alone, and why."""

    path: Path
    reason: str


class Tree:
    """The candidate files below ``root``, a folder. ``excluded`` are folders that are not looked into. Links to folders
    are looked into if ``follow_links``, unless they lead in a circle.

    ``skipped`` and ``unreadable`` are what the last walk passed over with a reason, and the folders that it could not
    list. Junk (hidden names, ``Thumbs.db``, ``@eaDir`` and their like) is passed over in silence.
    """

    def __init__(
        self, root: Path, excluded: Iterable[Path], recursive: bool = True, follow_links: bool = False
    ) -> None:
        self._root = root
        self._follow_links = follow_links
        self._excluded = {folder.resolve() for folder in excluded}
        self._recursive = recursive
        self._folders: dict[str, bool] = {}
        self.skipped: list[Skipped] = []
        self.unreadable: list[Skipped] = []

    def walk(self) -> Iterator[Found]:
        """All candidates, each folder's files before its sub-folders, in the order of their names."""
        self.skipped, self.unreadable, self._folders = [], [], {}
        yield from self._walk(self._root, "")

    def find(self, path: Path) -> Found | None:
        """The candidate at ``path``, somewhere below the root; None if it is gone, no file, or not wanted."""
        try:
            relative = path.relative_to(self._root)
        except ValueError:
            return None
        if not relative.name or is_junk(relative.name) or not path.is_file():
            return None
        if not self._looks_into(relative.parent):
            return None
        return Found(path, relative.as_posix(), path.is_symlink())

    def below(self, folder: Path) -> Iterator[Found]:
        """The candidates in one ``folder`` of the tree, and below it."""
        try:
            relative = folder.relative_to(self._root)
        except ValueError:
            return
        if self._looks_into(relative):
            yield from self._walk(folder, "" if folder == self._root else f"{relative.as_posix()}/")

    def _walk(self, here: Path, prefix: str) -> Iterator[Found]:
        try:
            with os.scandir(here) as entries:
                names = {entry.name: entry for entry in entries if not is_junk(entry.name)}
        except OSError as error:
            self.unreadable.append(
                Skipped(here, f"this folder cannot be listed ({error.strerror}). Check its permissions.")
            )
            return
        folders = []
        for name, entry in sorted(names.items()):
            if not _is_folder(entry):
                yield Found(here / name, prefix + name, entry.is_symlink())
            elif self._recursive:
                folders.append(name)
        for name in folders:
            reason = self._reason_to_pass(here / name)
            if reason is None:
                yield from self._walk(here / name, f"{prefix}{name}/")
            elif reason:
                self.skipped.append(Skipped(here / name, reason))

    def _reason_to_pass(self, folder: Path) -> str | None:
        """Why not to look into a folder: None to look into it, empty for no words to be lost about it."""
        if folder.resolve() in self._excluded:
            return ""
        # They may lead out of the tree, or around in circles.
        if folder.is_symlink() or _is_junction(folder):
            if not self._follow_links:
                return "a symbolic link to a folder: not followed (--follow-links does)"
            if self._is_circle(folder):
                return "a symbolic link that leads in a circle: not followed"
        if _has_our_table(folder):
            return f"results of this tool (its {METRICS_NAME} is there). Name the folder itself to denoise them again"
        return None

    def _is_circle(self, link: Path) -> bool:
        """Whether ``link`` leads to a folder through which the walk came to it."""
        way = [link.parent, *(folder for folder in link.parent.parents if folder.is_relative_to(self._root))]
        return os.path.realpath(link) in {os.path.realpath(folder) for folder in way}

    def _looks_into(self, relative: Path) -> bool:
        key = relative.as_posix()
        if key == ".":
            return True
        if not self._recursive or is_junk(relative.name):
            return False
        if key not in self._folders:
            parent_is_fine = self._looks_into(relative.parent)
            self._folders[key] = parent_is_fine and self._reason_to_pass(self._root / relative) is None
        return self._folders[key]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a symbolic link to itself: opening it says so
        return False


def _is_junction(folder: Path) -> bool:
    """Whether it is Windows' other kind of link to a folder. (Path.is_junction is there since Python 3.12.)"""
    with contextlib.suppress(OSError):
        return getattr(folder.lstat(), "st_reparse_tag", 0) == _JUNCTION
    return False


def is_junk(name: str) -> bool:
    """Whether a file or folder is passed over in silence, by its name."""
    # Hidden files, macOS' "._" companions, and what Windows and NAS boxes leave in every folder.
    return name.startswith(".") or name.lower() in _JUNK_NAMES or name.endswith(TEMPORARY_SUFFIX)


def _has_our_table(folder: Path) -> bool:
    try:
        with (folder / METRICS_NAME).open("rb") as file:
            header = next(whole_rows(file), None)
    except (OSError, ValueError):
        return False
    return header is not None and is_header(header[1])
