"""The window's watch switch: what arrives, the tray, and watches that end."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import pictures
from .conftest import why_no_qt

if reason := why_no_qt():
    pytest.skip(reason, allow_module_level=True)

from PySide6.QtGui import QImage
from PySide6.QtWidgets import QSystemTrayIcon

from folderdenoise.desktop import texts
from folderdenoise.desktop.entries import State
from folderdenoise.desktop.window import Window

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

from .windows import PATIENCE, dropped, states

pytestmark = pytest.mark.usefixtures("zoo_dir")


def test_the_watch_takes_what_arrives(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    window.session.preferences.keep("watched", inbox)
    window.watch.switch.click()
    qtbot.waitUntil(lambda: window.watch.state.text().startswith(f"Watching {inbox}: 0 done"), timeout=PATIENCE)
    pictures.save(inbox / "new.png", pictures.noisy(pictures.scene(), 20))
    qtbot.waitUntil(lambda: states(window) == {"new.png": State.DONE}, timeout=PATIENCE)
    assert (tmp_path / "inbox-denoised" / "new.png").exists()
    assert window.watch.state.text().startswith(f"Watching {inbox}: 1 done, 0 not done.")
    window.watch.switch.click()
    qtbot.waitUntil(lambda: not window.watch.is_watching, timeout=PATIENCE)
    assert window.watch.state.text() == f"No longer watching {inbox}."
    assert not window.watch.switch.isChecked()


def test_a_watch_that_cannot_begin_says_why(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (tmp_path / "inbox-denoised").write_text("a file in the way")
    window.watch.watch(inbox)
    qtbot.waitUntil(lambda: not window.watch.is_watching, timeout=PATIENCE)
    assert window.notice.words.text() == texts.text("why_occupied")
    assert not window.watch.switch.isChecked()


def _close_into_the_tray(qtbot: QtBot, window: Window, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that is closed while it watches ``inbox``, with a tray to go to."""
    monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", lambda: True)
    monkeypatch.setattr(QSystemTrayIcon, "showMessage", lambda *arguments: None)
    inbox.mkdir()
    window.watch.watch(inbox)
    qtbot.waitUntil(lambda: window.watch.has_tray, timeout=PATIENCE)
    window.close()
    assert not window.isVisible()


def test_a_closed_window_with_a_tray_icon_goes_on_watching(
    qtbot: QtBot, window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _close_into_the_tray(qtbot, window, tmp_path / "inbox", monkeypatch)
    assert window.watch.is_watching
    window.watch.showing.emit()
    assert window.isVisible()
    window.watch.quitting.emit()
    qtbot.waitUntil(lambda: not window.watch.is_watching, timeout=PATIENCE)
    assert not window.isVisible()


def test_a_watch_that_ends_in_the_tray_brings_the_window_back(
    qtbot: QtBot, window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _close_into_the_tray(qtbot, window, tmp_path / "inbox", monkeypatch)
    window.watch.stop()
    # Without it nothing would be left on the screen, and the program would go on.
    qtbot.waitUntil(lambda: not window.watch.is_watching, timeout=PATIENCE)
    assert window.isVisible()
    assert not window.watch.has_tray


def test_a_watched_folder_that_goes_is_told(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    pictures.save(inbox / "first.png", pictures.scene())
    window.watch.watch(inbox)
    qtbot.waitUntil(lambda: states(window) == {"first.png": State.DONE}, timeout=PATIENCE)
    shutil.rmtree(inbox)
    qtbot.waitUntil(window.notice.isVisible, timeout=PATIENCE)
    assert window.notice.words.text() == texts.text("why_folder")
    pictures.save(inbox / "a.png", pictures.scene())
    qtbot.waitUntil(lambda: states(window).get("a.png") is State.DONE, timeout=PATIENCE)
    assert not window.notice.isVisible()


def test_a_thread_that_does_not_end_keeps_nobody_waiting(
    qtbot: QtBot, window: Window, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Like a file on a drive that does not answer.
    answer = threading.Event()
    monkeypatch.setattr("folderdenoise.desktop.thumbs._thumbnail", lambda source: answer.wait() and (QImage(), 0, 0))
    monkeypatch.setattr("folderdenoise.desktop.sheet._read", lambda *arguments: answer.wait() and 1 / 0)
    dropped(qtbot, window, scans)
    window.list.grab()
    window.close()
    assert not window.end(0.1)
    answer.set()
    assert window.end(PATIENCE / 1000)
