"""Which files behind a URL are images, where each result goes, and what is already done: the plan of a run over stores.

The rules are those of :mod:`folder` and :mod:`tree`, held against listings instead of a disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import FolderDenoiseError, UsageError
from ..folder import Plan, References, Selection, Task, complaint, reason_to_refuse_name
from ..naming import Names, output_name
from ..resume import Resume, sha256_of
from ..table import is_header, whole_rows
from ..tree import METRICS_NAME, TEMPORARY_SUFFIX, Skipped, is_junk
from .places import url_path
from .stores import Entry, Store

_HEADER_BYTES = 4096


@dataclass
class RemoteResume(Resume):
    """What is done, going by listings: ``entries`` of the source, by relative path, and the ``results`` that are there.

    ``source`` is where the entries are.
    """

    source: Store = field(kw_only=True)
    entries: dict[str, Entry] = field(default_factory=dict, kw_only=True)
    results: set[str] = field(default_factory=set, kw_only=True)

    def has_result(self, task: Task) -> bool:
        """See :class:`Resume`."""
        return str(task.output) in self.results

    def identity(self, task: Task) -> tuple[int, int | None] | None:
        """See :class:`Resume`."""
        entry = self.entries[task.relative]
        return entry.size, entry.mtime_ns

    def has_content(self, task: Task, sha256: str) -> bool:
        """See :class:`Resume`."""
        with tempfile.TemporaryDirectory(prefix="folderdenoise-") as place:
            copy = Path(place) / "copy"
            try:
                self.source.fetch(task.relative, copy)
            except FolderDenoiseError:
                return False
            return sha256_of(copy) == sha256

    def folder(self, task: Task) -> str:
        """See :class:`Resume`."""
        return self.source.url


def make_plan(
    source: Store,
    out: Store,
    selection: Selection,
    reference: Path | None,
    suffix: str | None,
    resume: RemoteResume,
    only: Entry | None = None,
) -> Plan:
    """Plan the run over ``source`` into ``out``; with ``only``, that one file of it.

    ``resume`` gets the entries of the files to do. Raises UsageError as :func:`folder.make_plan` does.
    """
    names, references = Names(None, suffix), References(reference)
    walk = Walk(source, selection.recursive, out.below(source) or "")
    tasks, skipped, rivals = [], [], []
    has_images = False
    for entry in walk.files() if only is None else [only]:
        relative = entry.relative
        reason = reason_to_refuse_name(relative, selection)
        if reason is None:
            has_images = True
            name = output_name(relative, suffix)
            if rival := names.rival(relative, name):
                rivals.append((rival, relative))
            task = Task(
                url_path(source.url_of(relative)), relative, url_path(out.url_of(name)), references.find(relative)
            )
            resume.entries[relative] = entry
            reason = resume.reason_to_skip(task)
        if reason is None:
            tasks.append(task)
        else:
            resume.entries.pop(relative, None)
            skipped.append(Skipped(url_path(source.url_of(relative)), reason))
    if rivals:
        raise UsageError(complaint(rivals))
    return Plan(url_path(out.url), tuple(tasks), (*skipped, *walk.skipped), tuple(walk.unreadable), has_images)


class Walk:
    """The candidate files of a store; ``skipped`` and ``unreadable`` as for :class:`tree.Tree`.

    ``excluded`` is the path of a folder that is not looked into, and nor are results of other runs then; "" if it is
    elsewhere. None: all is looked into.
    """

    def __init__(self, store: Store, recursive: bool = True, excluded: str | None = None) -> None:
        self._store = store
        self._recursive = recursive
        self._excluded = excluded
        self.skipped: list[Skipped] = []
        self.unreadable: list[Skipped] = []
        self.leftovers: list[str] = []
        """Temporary files of uploads, which a killed worker left if no run is under way."""

    def files(self) -> Iterator[Entry]:
        """All candidates, each folder's files before its sub-folders, in the order of their names."""
        yield from self._below("")

    def _below(self, folder: str) -> Iterator[Entry]:
        try:
            entries = self._store.entries(folder)
        except OSError as error:
            place = url_path(self._store.url_of(folder) if folder else self._store.url)
            self.unreadable.append(Skipped(place, f"this folder cannot be listed ({error}). Check its permissions."))
            return
        if folder and self._excluded is not None and self._has_our_table(folder, entries):
            why = f"results of this tool (its {METRICS_NAME} is there). Name the folder itself to denoise them again"
            self.skipped.append(Skipped(url_path(self._store.url_of(folder)), why))
            return
        folders = []
        for entry in entries:
            if entry.name.endswith(TEMPORARY_SUFFIX):
                self.leftovers.append(entry.relative)
            if is_junk(entry.name):
                continue
            if not entry.is_folder:
                yield entry
            elif self._recursive and entry.relative != self._excluded:
                folders.append(entry.relative)
        for name in folders:
            yield from self._below(name)

    def _has_our_table(self, folder: str, entries: list[Entry]) -> bool:
        if all(entry.name != METRICS_NAME for entry in entries):
            return False
        start = self._store.read(f"{folder}/{METRICS_NAME}", _HEADER_BYTES) or b""
        try:
            header = next(whole_rows(start.splitlines(keepends=True)), None)
        except ValueError:
            return False
        return header is not None and is_header(header[1])


def check_places(source: Store, out: Store) -> None:
    """Raise UsageError where results might replace originals."""
    if source.below(out) is not None:
        raise UsageError(f"--out {out.url} is or holds the input: originals are never overwritten. Name another place.")
