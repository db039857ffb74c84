"""Asking for files and folders with the system's own dialogs."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget

from ..codecs.kinds import EXTENSIONS
from .texts import text


def ask_for_files(parent: QWidget, start: Path) -> list[Path]:
    """Pictures that the user chooses, none if nothing is chosen. ``start``: the folder that is shown first."""
    patterns = " ".join(f"*{suffix}" for suffix in sorted(EXTENSIONS))
    kinds = f"{text('pictures')} ({patterns});;{text('all_files')} (*)"
    names, _ = QFileDialog.getOpenFileNames(parent, text("choose_files"), str(start), kinds)
    return [Path(name) for name in names]


def ask_for_folder(parent: QWidget, key: str, start: Path) -> Path | None:
    """A folder; ``key`` is that of the dialog's title."""
    name = QFileDialog.getExistingDirectory(parent, text(key), str(start))
    return Path(name) if name else None
