"""What was dropped into the window, as the folders of which runs are made."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
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
        """Take in files and folders: the sources that are new or have become larger, to be looked through."""
        changed: dict[Path, None] = {}
        for path in map(_absolute, paths):
            if any(source.covers(path) for source in self._by_root.values()):
                continue
            if path.is_dir():
                for root in [root for root in self._by_root if root.is_relative_to(path)]:
                    del self._by_root[root]
                    changed.pop(root, None)
                self._by_root[path] = Source(path)
                changed[path] = None
            else:
                known = self._by_root.get(path.parent, Source(path.parent, frozenset()))
                self._by_root[path.parent] = Source(path.parent, (known.names or frozenset()) | {path.name})
                changed[path.parent] = None
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
    names = {}
    for root in roots:
        parts = [part for part in root.parts if part != root.anchor] or ["pictures"]
        for count in range(1, len(parts) + 1):
            tail = parts[-count:]
            if not any(other != root and list(other.parts[-count:]) == tail for other in roots):
                break
        names[root] = " - ".join(tail)
    return names


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
