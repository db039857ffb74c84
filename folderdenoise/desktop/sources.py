"""What was dropped into the window, as the folders of which runs are made."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ..folder import Selection, default_out


@dataclass(frozen=True)
class Source:
    """A folder with all that is below it, or only the files ``names``, paths below it with forward slashes."""

    root: Path
    names: frozenset[str] | None = None

    @property
    def selection(self) -> Selection:
        """Which files of ``root`` are meant."""
        is_deep = self.names is None or any("/" in name for name in self.names)
        return Selection(recursive=is_deep, only=self.names)

    def covers(self, path: Path) -> bool:
        """Whether a file or folder is among what is meant."""
        is_below = path.is_relative_to(self.root)
        return is_below and (self.names is None or path.relative_to(self.root).as_posix() in self.names)


class Sources:
    """The sources in the list: no two of them mean the same file."""

    def __init__(self) -> None:
        self._by_root: dict[Path, Source] = {}

    def __iter__(self) -> Iterator[Source]:
        return iter(list(self._by_root.values()))

    def __len__(self) -> int:
        return len(self._by_root)

    def add(self, paths: Iterable[Path]) -> list[Source]:
        """Take in files and folders: the sources to be looked through. Those that were there already may hold more by
        now."""
        changed: dict[Path, None] = {}
        # Thousands of files of one folder, or hundreds of folders, may come at once: neither is compared with all that
        # came before it.
        for folder, group in groupby(map(_absolute, paths), key=lambda path: path.parent):
            names = set()
            for path in group:
                above = (self._by_root.get(root) for root in (path, *path.parents))
                covering = next((source.root for source in above if source is not None and source.covers(path)), None)
                if covering is not None:
                    changed[covering] = None
                elif path.is_dir():
                    deep = len(path.parts)
                    below = [root for root in self._by_root if len(root.parts) > deep and root.is_relative_to(path)]
                    for root in below:
                        del self._by_root[root]
                        changed.pop(root, None)
                    self._by_root[path] = Source(path)
                    changed[path] = None
                else:
                    names.add(path.name)
            if names:
                known = self._by_root.get(folder, Source(folder, frozenset()))
                self._by_root[folder] = Source(folder, (known.names or frozenset()) | names)
                changed[folder] = None
        return [self._by_root[root] for root in changed]

    def restrict(self, names: Mapping[Path, Collection[str]]) -> None:
        """Mean only these files from now on, given for each root; a source of which none is left is forgotten."""
        self._by_root = {root: Source(root, frozenset(names[root])) for root in self._by_root if names.get(root)}

    def clear(self) -> None:
        """Forget all of them."""
        self._by_root.clear()

    def outs(self, place: Path | None) -> Mapping[Path, Path]:
        """Where the results of each root go: beside it, or into ``place``. Never two of them into one folder."""
        if place is None:
            return {root: default_out(root) for root in self._by_root}
        return {root: place / f"{name}-denoised" for root, name in _names(list(self._by_root)).items()}


def _names(roots: list[Path]) -> dict[Path, str]:
    """A name for each folder: its own where it has no namesake, else with as many of its parents as it takes."""
    parts = {root: [part for part in root.parts if part != root.anchor] or ["pictures"] for root in roots}
    names: dict[Path, str] = {}
    for count in range(1, max(map(len, parts.values()), default=0) + 1):
        tails = Counter(tuple(own[-count:]) for own in parts.values())
        for root, own in parts.items():
            if root not in names and (tails[tuple(own[-count:])] == 1 or count == len(own)):
                names[root] = " - ".join(own[-count:])
    return names


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
