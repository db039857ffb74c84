"""Which files of a folder are images, where each result goes, and what is already done: the plan.

Nothing is written here: a plan can be printed and thrown away (``--dry-run``).
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .codecs.kinds import EXTENSIONS, UNSUPPORTED_EXTENSIONS
from .errors import UsageError

METRICS_NAME = "metrics.csv"
TEMPORARY_SUFFIX = ".folderdenoise-part"

_JUNK_NAMES = frozenset({"thumbs.db", "desktop.ini", "@eadir", "#recycle", "$recycle.bin"})


@dataclass(frozen=True)
class Task:
    """One file to denoise. ``relative`` is its path below the input folder, with forward slashes."""

    source: Path
    relative: str
    output: Path
    reference: Path | None = None


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is left alone, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a run will do, in the order of the names.

    ``skipped``: not for this tool, or already done. ``unreadable``: sub-folders that cannot be listed, which the
    run must report as failures.
    """

    out: Path
    tasks: tuple[Task, ...]
    skipped: tuple[Skipped, ...]
    unreadable: tuple[Skipped, ...]


@dataclass(frozen=True)
class Selection:
    """Which files of the input are taken. Patterns are shell wildcards on the relative path or the name alone."""

    recursive: bool = True
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    overwrite: bool = False

    def refuses(self, relative: str) -> str | None:
        """Why the file ``relative`` is not wanted, or None."""
        if self.include and not _matches(relative, self.include):
            return "matches no --include pattern"
        if _matches(relative, self.exclude):
            return "matches an --exclude pattern"
        return None


def default_out(source: Path) -> Path:
    """The sibling ``INPUT-denoised`` of a folder, or of a file without its suffix."""
    source = source.absolute()
    # "." and ".." have no name of their own to add to.
    source = source.resolve() if source.name in ("", "..") else source
    return source.with_name((source.stem if source.is_file() else source.name) + "-denoised")


def make_plan(source: Path, out: Path, selection: Selection, reference: Path | None = None) -> Plan:
    """Plan the run over ``source``, a folder or one file, into the folder ``out``.

    Raises :class:`UsageError` if ``source`` or ``reference`` is not there or cannot be listed, or if a result would
    be written over an original.
    """
    check_places(source, out, reference)
    root = source.parent if source.is_file() else source
    found, skipped, unreadable = _find(source, out, selection)
    references = _References(reference)
    tasks = []
    originals = _Originals(found)
    for path in found:
        relative = path.relative_to(root).as_posix()
        reason = selection.refuses(relative) or _unwanted(path, root)
        output = out / relative
        if reason is None and output.exists() and not selection.overwrite:
            reason = f"already done: {output} exists (--overwrite does it again)"
        if reason is not None:
            skipped.append(Skipped(path, reason))
            continue
        originals.refuse(output)
        tasks.append(Task(path, relative, output, references.find(relative)))
    return Plan(out, tuple(tasks), tuple(skipped), tuple(unreadable))


def check_places(source: Path, out: Path, reference: Path | None) -> None:
    """Raise :class:`UsageError` unless the folders can be read and the output is not the input."""
    try:
        is_folder = stat.S_ISDIR(source.stat().st_mode)
        if is_folder:
            with os.scandir(source):
                pass
    except FileNotFoundError:
        raise UsageError(f"{source}: no such file or folder. Check the spelling.") from None
    except OSError as error:
        raise UsageError(f"{source}: cannot be read ({error.strerror}). Check its permissions.") from error
    if is_folder:
        if out.resolve() == source.resolve():
            raise UsageError(f"--out {out} is the input folder itself: originals are never overwritten. Name another.")
        inside = out.resolve().is_relative_to(source.resolve())
        if inside and not Path(os.path.abspath(out)).is_relative_to(os.path.abspath(source)):
            raise UsageError(f"--out {out} leads into the input folder through a symbolic link. Name another folder.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file. Name a folder.")
    if reference is not None and not reference.is_dir():
        raise UsageError(f"--reference {reference}: no such folder. Check the spelling.")


def _find(source: Path, out: Path, selection: Selection) -> tuple[list[Path], list[Skipped], list[Skipped]]:
    """Candidate files below ``source``, sorted; junk and our own output are passed over in silence or with a reason."""
    if source.is_file():
        return [source], [], []
    skipped: list[Skipped] = []
    unreadable: list[Skipped] = []
    out_resolved = out.resolve()

    def note(error: OSError) -> None:
        reason = f"this folder cannot be listed ({error.strerror}). Check its permissions."
        unreadable.append(Skipped(Path(os.fsdecode(error.filename)), reason))

    def walk() -> Iterator[Path]:
        # Symbolic links to folders are not followed: they may lead out of the tree, or around in circles.
        for folder, folders, files in os.walk(source, onerror=note):
            here = Path(folder)
            if not selection.recursive:
                folders.clear()
            for name in list(folders):
                if _is_junk(name) or (here / name).resolve() == out_resolved:
                    folders.remove(name)
                elif (here / name).is_symlink():
                    folders.remove(name)
                    skipped.append(Skipped(here / name, "a symbolic link to a folder: not followed"))
            folders.sort()
            for name in sorted(files):
                if not _is_junk(name) and not name.endswith(TEMPORARY_SUFFIX):
                    yield here / name

    return list(walk()), skipped, unreadable


def _unwanted(path: Path, root: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix not in EXTENSIONS and suffix not in UNSUPPORTED_EXTENSIONS:
        return f"not an image ({suffix or 'no suffix'})"
    if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        return "a symbolic link out of the folder: not followed"
    return None


def _is_junk(name: str) -> bool:
    # Hidden files, macOS' "._" companions, and what Windows and NAS boxes leave in every folder.
    return name.startswith(".") or name.lower() in _JUNK_NAMES


def _matches(relative: str, patterns: Sequence[str]) -> bool:
    name = relative.rpartition("/")[2]
    return any(
        fnmatch.fnmatch(candidate.lower(), pattern.lower()) for pattern in patterns for candidate in (relative, name)
    )


class _Originals:
    """The files that must never be written to, as real paths."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._real_folders: dict[Path, Path] = {}
        self._paths = {self._real(path) for path in paths}

    def refuse(self, output: Path) -> None:
        """Raise :class:`UsageError` if writing ``output`` would replace an original, on whatever way it gets there."""
        if self._real(output) in self._paths:
            raise UsageError(f"{output}: that is one of the originals, which are never overwritten. Change --out.")

    def _real(self, path: Path) -> Path:
        # The file itself is not resolved: a rename replaces a link, it does not write through it.
        folder = path.parent
        if folder not in self._real_folders:
            self._real_folders[folder] = folder.resolve()
        return self._real_folders[folder] / path.name


class _References:
    """Finds the clean version of a file: the same relative path, else the same path with another image suffix."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def find(self, relative: str) -> Path | None:
        """Where the reference is, or should be: a path that does not exist is for the row to complain about."""
        if self._folder is None:
            return None
        exact = self._folder / relative
        if exact.exists():
            return exact
        others = [exact.with_suffix(suffix) for suffix in sorted(EXTENSIONS)]
        return next((other for other in others if other.exists()), exact)
