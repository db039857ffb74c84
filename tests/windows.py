"""The window as tests open it, drop files on it and wait for it: for conditions, never for a time."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QImage
from PySide6.QtWidgets import QApplication

from folderdenoise.desktop.entries import State
from folderdenoise.desktop.preferences import Preferences
from folderdenoise.desktop.window import Window

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


PATIENCE = 90_000
"""Milliseconds after which a condition is given up: a loaded machine is slow."""


class Opener:
    """Opens windows that share their settings, and closes them."""

    def __init__(self, qtbot: QtBot, ini: Path) -> None:
        self._qtbot, self._ini = qtbot, ini
        self.windows: list[Window] = []

    def __call__(self) -> Window:
        window = Window(Preferences(QSettings(str(self._ini), QSettings.Format.IniFormat)))
        window.resize(1000, 700)
        window.show()
        self._qtbot.waitExposed(window)
        self.windows.append(window)
        return window

    def close(self) -> None:
        while self.windows:
            window = self.windows.pop()
            window.close()
            assert window.end(PATIENCE / 1000)
            window.deleteLater()


def drop(window: Window, *paths: Path) -> None:
    """As a file manager does it."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    how = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    with warnings.catch_warnings():
        # Which kind of point it takes changed from Qt 6.11 to 6.12.
        warnings.simplefilter("ignore", DeprecationWarning)
        entering = QDragEnterEvent(QPoint(50, 50), *how)
    QApplication.sendEvent(window, entering)
    QApplication.sendEvent(window, QDropEvent(QPointF(50, 50), *how))


def dropped(qtbot: QtBot, window: Window, *paths: Path) -> None:
    drop(window, *paths)
    qtbot.waitUntil(lambda: not window.session.scanner.is_busy, timeout=PATIENCE)


def run(qtbot: QtBot, window: Window) -> None:
    with qtbot.waitSignal(window.session.ended, timeout=PATIENCE):
        window.run.start.click()


def look_at(qtbot: QtBot, window: Window, path: Path) -> None:
    window.list.setCurrentIndex(window.session.entries.index_of(path))
    settled(qtbot, window)


def settled(qtbot: QtBot, window: Window) -> None:
    qtbot.waitUntil(lambda: window.comparison.is_settled, timeout=PATIENCE)


def states(window: Window) -> dict[str, State]:
    return {entry.relative: entry.state for entry in window.session.entries.entries()}


def pixels(image: QImage) -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}
