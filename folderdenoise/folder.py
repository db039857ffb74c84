"""Which files of a folder are images, where each result goes, and what is already done: the plan.

Nothing is written here: a plan can be printed and thrown away (``--dry-run``).
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .codecs.kinds import EXTENSIONS, UNSUPPORTED_EXTENSIONS
from .errors import UsageError
from .naming import Names, Originals, output_name
from .tree import Found, Skipped, Tree

_RIVALS_SHOWN = 5


@dataclass(frozen=True)
class Task:
    """One file to denoise. ``relative`` is its path below the input folder, with forward slashes."""

    source: Path
    relative: str
    output: Path
    reference: Path | None = None

    @property
    def folder(self) -> str:
        """The absolute path of the input folder, in which ``source`` is as deep as ``relative`` says."""
        return os.path.realpath(self.source.parents[self.relative.count("/")])

    @property
    def out(self) -> Path:
        """The output folder, in which ``output`` is as deep as ``relative`` says."""
        return self.output.parents[self.relative.count("/")]


@dataclass(frozen=True)
class Plan:
    """What a run will do, in the order of the names.

    ``skipped``: not for this tool, or already done. ``unreadable``: sub-folders that cannot be listed, which the
    run must report as failures. ``has_images``: whether anything was found that is for this tool, done or not.
    """

    out: Path
    tasks: tuple[Task, ...]
    skipped: tuple[Skipped, ...]
    unreadable: tuple[Skipped, ...]
    has_images: bool = True


@dataclass(frozen=True)
class Selection:
    """Which files of the input are taken. Patterns are shell wildcards on the relative path or the name alone.

    ``only``: the relative paths that were chosen, None for all. ``overwrite``: also those that are done.
    ``retry_failed``: of those that an earlier run did, the failed ones. ``follow_links``: also what symbolic links out
    of the folder lead to.
    """

    recursive: bool = True
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    overwrite: bool = False
    retry_failed: bool = False
    only: frozenset[str] | None = None
    follow_links: bool = False

    def refuses(self, relative: str) -> str | None:
        """Why the file ``relative`` is not wanted, or None."""
        if self.only is not None and relative not in self.only:
            return "was not chosen"
        if self.include and not _matches(relative, self.include):
            return "matches no --include pattern"
        if _matches(relative, self.exclude):
            return "matches an --exclude pattern"
        return None


class Planner:
    """Makes a file into a :class:`Task`. ``suffix`` (".png") is what results are stored as, None: as they were."""

    def __init__(
        self, source: Path, out: Path, selection: Selection, reference: Path | None = None, suffix: str | None = None
    ) -> None:
        self._root = source.parent if source.is_file() else source
        self._real_root = self._root.resolve()
        self._out = out
        self._selection = selection
        self._suffix = suffix
        self._references = References(reference)
        self._originals = Originals(source, out)
        self._names = Names(out, suffix)

    def reason_to_refuse(self, found: Found) -> str | None:
        """Why a file is not for this run, whatever is in it, or None."""
        if reason := reason_to_refuse_name(found.relative, self._selection):
            return reason
        follows = self._selection.follow_links or not found.is_link
        if not follows and not Path(os.path.realpath(found.path)).is_relative_to(self._real_root):
            return "a symbolic link out of the folder: not followed (--follow-links does)"
        return None

    def task(self, found: Found) -> Task:
        """The task of a file. Raises :class:`UsageError` where the result would replace an original."""
        output = self._out / output_name(found.relative, self._suffix)
        self._originals.refuse(output)
        return Task(found.path, found.relative, output, self._references.find(found.relative))

    def rival(self, found: Found) -> str | None:
        """The file that was there before and has a result of the same name, or None."""
        name = output_name(found.relative, self._suffix)
        rival = self._names.rival(found.relative, name)
        if rival and not (self._root / rival).exists() and not (self._out / name).exists():
            # It was kept in mind for its result, which somebody has taken away.
            self._names.forget(rival, name)
            rival = self._names.rival(found.relative, name)
        return rival

    def forget(self, relative: str) -> None:
        """A file is gone. Its result's name is free for another if there is no result."""
        name = output_name(relative, self._suffix)
        if not (self._out / name).exists():
            self._names.forget(relative, name)


def reason_to_refuse_name(relative: str, selection: Selection) -> str | None:
    """Why a file is not for this run, going by its name, or None."""
    if reason := selection.refuses(relative):
        return reason
    suffix = PurePosixPath(relative).suffix.lower()
    if suffix not in EXTENSIONS and suffix not in UNSUPPORTED_EXTENSIONS:
        return f"not an image ({suffix or 'no suffix'})"
    return None


def default_out(source: Path) -> Path:
    """The sibling ``INPUT-denoised`` of a folder, or of a file without its suffix."""
    source = source.absolute()
    # "." and ".." have no name of their own to add to.
    source = source.resolve() if source.name in ("", "..") else source
    return source.with_name((source.stem if source.is_file() else source.name) + "-denoised")


def make_plan(
    source: Path,
    out: Path,
    selection: Selection,
    reference: Path | None = None,
    *,
    suffix: str | None = None,
    excluded: Sequence[Path] = (),
    reason_to_skip: Callable[[Task], str | None] = lambda task: None,
) -> Plan:
    """Plan the run over ``source``, a folder or one file, into the folder ``out``.

    ``suffix`` as for :class:`Planner`; ``excluded``: further folders that are not looked into; ``reason_to_skip`` says
    why a task needs no doing. Raises :class:`UsageError`
    if ``source`` or ``reference`` is not there or cannot be listed, if a result would be written over an original, or
    if two files would get the same result.
    """
    check_places(source, out, reference)
    planner = Planner(source, out, selection, reference, suffix)
    tree = Tree(source, [out, *excluded], selection.recursive, selection.follow_links)
    tasks, skipped, rivals = [], [], []
    has_images = False
    found_files: Iterable[Found] = [Found(source, source.name)] if source.is_file() else tree.walk()
    for found in found_files:
        reason = planner.reason_to_refuse(found)
        if reason is None:
            has_images = True
            if rival := planner.rival(found):
                rivals.append((rival, found.relative))
            task = planner.task(found)
            reason = reason_to_skip(task)
        if reason is None:
            tasks.append(task)
        else:
            skipped.append(Skipped(found.path, reason))
    if rivals:
        raise UsageError(complaint(rivals))
    return Plan(out, tuple(tasks), (*skipped, *tree.skipped), tuple(tree.unreadable), has_images)


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
    elif source.suffix.lower() not in EXTENSIONS and source.suffix.lower() not in UNSUPPORTED_EXTENSIONS:
        raise UsageError(
            f"{source}: is not taken, its name has no suffix of an image. Rename it, e.g. to {source.name}.tif."
        )
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file. Name a folder.")
    if reference is not None and not reference.is_dir():
        is_there = reference.exists()
        what = "is a file. Name the folder that holds it." if is_there else "no such folder. Check the spelling."
        raise UsageError(f"--reference {reference}: {what}")


def complaint(rivals: Sequence[tuple[str, str]]) -> str:
    """What is said of pairs of files that would get the same result."""
    shown = "; ".join(f"{one} and {other}" for one, other in rivals[:_RIVALS_SHOWN])
    more = f"; and {len(rivals) - _RIVALS_SHOWN} more pairs" if len(rivals) > _RIVALS_SHOWN else ""
    return (
        f"These files would get the same result: {shown}{more}. Rename one of each pair, "
        "or leave one out with --exclude."
    )


def _matches(relative: str, patterns: Sequence[str]) -> bool:
    name = relative.rpartition("/")[2]
    return any(
        fnmatch.fnmatch(candidate.lower(), pattern.lower()) for pattern in patterns for candidate in (relative, name)
    )


class References:
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
