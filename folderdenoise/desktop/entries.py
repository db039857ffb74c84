"""The list of pictures: what is known of each, and Qt's model over them. Made for ten thousand of them."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from ..batch import Outcome
from . import plain
from .texts import decimal, text
from .thumbs import Thumbs
from .widgets import as_tip

ENTRY_ROLE = int(Qt.ItemDataRole.UserRole)
_AnyIndex = QModelIndex | QPersistentModelIndex


class State(enum.Enum):
    """What has become of a picture so far."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Entry:
    """One file in the list. ``size`` in bytes and ``mtime_ns`` tell whether it is still the same, ``width`` and
    ``height`` in pixels where they are known, ``noise`` before and after in 8-bit levels, ``made_with`` the strength
    and the hashes of the models that made the result, ``message`` the full words about what failed or could not be
    kept."""

    source: Path
    root: Path
    output: Path
    size: int = 0
    state: State = State.WAITING
    width: int | None = None
    height: int | None = None
    noise: tuple[float, float] | None = None
    made_with: tuple[float, frozenset[str]] | None = None
    message: str = ""
    mtime_ns: int = 0

    @property
    def stamp(self) -> tuple[int, int]:
        """Another one for another content of the file."""
        return self.size, self.mtime_ns

    @property
    def name(self) -> str:
        """Its name, as text."""
        return printable(self.source.name)

    @property
    def relative(self) -> str:
        """Its path below the folder it came with."""
        return self.source.relative_to(self.root).as_posix()

    @property
    def facts(self) -> str:
        """Size, and noise where it is known, in words."""
        parts = [text("pixels", width=self.width, height=self.height)] if self.width and self.height else []
        parts.append(in_bytes(self.size))
        if self.noise is not None:
            parts.append(text("noise", before=decimal(self.noise[0], 1), after=decimal(self.noise[1], 1)))
        return " · ".join(parts)

    @property
    def reason(self) -> str:
        """Why it failed, in plain words."""
        return plain.about_file(self.message)

    @property
    def state_text(self) -> str:
        """Its state, in a word."""
        return text(f"state_{self.state.value}")

    def after(self, outcome: Outcome) -> Entry:
        """The entry with what became of it."""
        first = outcome.rows[0]
        noise = None
        if first.noise_before is not None and first.noise_after is not None:
            noise = first.noise_before, first.noise_after
        models = frozenset(row.model_sha256 for row in outcome.rows if row.model_sha256)
        size, mtime_ns = first.source_bytes or self.size, first.source_mtime_ns or self.mtime_ns
        # Of a file that has been replaced since, what was known does not count.
        is_same = (size, mtime_ns) == self.stamp
        return replace(
            self,
            size=size,
            mtime_ns=mtime_ns,
            state=State.DONE if outcome.status == "done" else State.FAILED,
            # What the thumbnail found is upright; the row says how it is stored.
            width=(self.width if is_same else None) or first.width,
            height=(self.height if is_same else None) or first.height,
            noise=noise,
            made_with=(first.strength or 0.0, models) if outcome.status == "done" else None,
            message=outcome.notes,
        )


class EntryModel(QAbstractListModel):
    """The entries in their order, one for each source file."""

    def __init__(self, thumbs: Thumbs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._entries: list[Entry] = []
        self._rows: dict[Path, int] = {}
        self._thumbs = thumbs
        thumbs.ready.connect(self._on_thumb)

    def rowCount(self, parent: _AnyIndex = QModelIndex()) -> int:  # noqa: N802, B008
        """How many there are."""
        return 0 if parent.isValid() else len(self._entries)

    def data(self, index: _AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What Qt's views, and screen readers, ask for."""
        if not index.isValid():
            return None
        entry = self._entries[index.row()]
        if role == ENTRY_ROLE:
            return entry
        if role == Qt.ItemDataRole.DisplayRole:
            return entry.name
        if role == Qt.ItemDataRole.DecorationRole:
            return self._thumbs.get(entry.source)
        if role == Qt.ItemDataRole.ToolTipRole:
            lines = [printable(entry.source)]
            lines += [entry.reason] if entry.state is State.FAILED else []
            # What could not be kept; there is no other place for it.
            lines += [printable(entry.message)] if entry.state is State.DONE and entry.message else []
            lines += [text("noise_hint")] if entry.noise else []
            return as_tip("\n".join(lines))
        if role == Qt.ItemDataRole.AccessibleTextRole:
            state = entry.reason if entry.state is State.FAILED else entry.state_text
            return text("entry_spoken", name=entry.name, state=state, facts=entry.facts)
        return None

    def entries(self) -> list[Entry]:
        """All of them, in their order."""
        return list(self._entries)

    def entry(self, source: Path) -> Entry | None:
        """The entry of a file."""
        row = self._rows.get(source)
        return None if row is None else self._entries[row]

    def index_of(self, source: Path) -> QModelIndex:
        """Where the entry of a file stands."""
        row = self._rows.get(source)
        return QModelIndex() if row is None else self.index(row)

    def put(self, entries: Iterable[Entry]) -> None:
        """Add entries at the end; those of files that are there replace the old ones."""
        new = []
        for entry in entries:
            row = self._rows.get(entry.source)
            if row is None:
                self._thumbs.forget(entry.source)
                new.append(entry)
                continue
            if self._entries[row].stamp != entry.stamp:
                self._thumbs.forget(entry.source)
            self._entries[row] = entry
            self.dataChanged.emit(self.index(row), self.index(row))
        if new:
            first = len(self._entries)
            self.beginInsertRows(QModelIndex(), first, first + len(new) - 1)
            self._entries += new
            self._rows |= {entry.source: first + place for place, entry in enumerate(new)}
            self.endInsertRows()

    def set_state(self, sources: Iterable[Path], state: State) -> None:
        """These files are now waiting, being worked on, or done."""
        found = (self.entry(source) for source in sources)
        self.put(replace(entry, state=state) for entry in found if entry is not None and entry.state is not state)

    def keep(self, entries: Iterable[Entry]) -> None:
        """Have these entries and no others."""
        self.beginResetModel()
        self._entries = list(entries)
        self._rows = {entry.source: row for row, entry in enumerate(self._entries)}
        self.endResetModel()

    def _on_thumb(self, source: Path, width: int, height: int) -> None:
        entry = self.entry(source)
        if entry is None:
            return
        if width and height:
            entry = replace(entry, width=width, height=height)
        self.put([entry])


def printable(name: Path | str) -> str:
    """A name with the bytes that are no Unicode as ``\\xNN``: Qt would leave them out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def in_bytes(size: int) -> str:
    """A size in words: 120 kB, 3.4 MB."""
    if size < 1e6:
        return text("bytes_kb", n=max(1, round(size / 1e3)))
    if size < 1e9:
        return text("bytes_mb", n=decimal(size / 1e6, 1))
    return text("bytes_gb", n=decimal(size / 1e9, 1))
