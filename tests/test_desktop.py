"""The window as its user meets it: real widgets, real small files, the tiny zoo."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from . import models, pictures
from .conftest import why_no_qt

if reason := why_no_qt():
    pytest.skip(reason, allow_module_level=True)

from PySide6 import QtGui
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QImage, QTextDocumentFragment
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QLabel, QPushButton, QSystemTrayIcon, QWidget

from folderdenoise.desktop import scan, texts
from folderdenoise.desktop import thumbs as thumbs_module
from folderdenoise.desktop.entries import Entry, EntryModel, State
from folderdenoise.desktop.latest import all_ended
from folderdenoise.desktop.runbar import Phase
from folderdenoise.desktop.sources import Source
from folderdenoise.desktop.thumbs import Thumbs
from folderdenoise.desktop.widgets import Details
from folderdenoise.desktop.window import Window
from folderdenoise.engine import Denoiser
from folderdenoise.job import Order

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

from .windows import PATIENCE, Opener, drop, dropped, look_at, rows, run, settled, states

pytestmark = pytest.mark.usefixtures("zoo_dir")


def test_a_dropped_folder_is_listed_and_denoised(qtbot: QtBot, window: Window, scans: Path) -> None:
    assert window.welcome.isVisible()
    before = {path: path.read_bytes() for path in scans.rglob("*.*")}
    dropped(qtbot, window, scans)
    assert states(window) == {"a.png": State.WAITING, "box/b.tif": State.WAITING}
    assert not window.welcome.isVisible()
    run(qtbot, window)
    out = scans.with_name("scans-denoised")
    assert states(window) == {"a.png": State.DONE, "box/b.tif": State.DONE}
    assert np.array_equal(pictures.load(out / "a.png"), Denoiser("rgb-leaky")(pictures.load(scans / "a.png")))
    assert rows(out)["box/b.tif"]["model"] == "gray-leaky"
    assert {path: path.read_bytes() for path in scans.rglob("*.*")} == before
    assert window.run.status.text() == "2 pictures done"
    entry = window.session.entries.entry(scans / "a.png")
    assert entry is not None
    row = rows(out)["a.png"]
    assert entry.noise == pytest.approx((float(row["noise_before"]), float(row["noise_after"])), abs=0.005)
    assert f"noise {entry.noise[0]:.1f} → {entry.noise[1]:.1f}" in entry.facts
    assert "64 × 48" in entry.facts
    assert window.run.results.isEnabled()


def test_single_files_are_taken_without_their_neighbours(qtbot: QtBot, window: Window, scans: Path) -> None:
    pictures.save(scans / "other.png", pictures.scene())
    dropped(qtbot, window, scans / "a.png", scans / "box" / "b.tif")
    assert states(window) == {"a.png": State.WAITING, "b.tif": State.WAITING}
    run(qtbot, window)
    assert (scans.with_name("scans-denoised") / "a.png").exists()
    assert not (scans.with_name("scans-denoised") / "other.png").exists()
    assert (scans / "box-denoised" / "b.tif").exists()


def test_results_of_an_earlier_run_are_seen_and_not_made_again(qtbot: QtBot, opener: Opener, scans: Path) -> None:
    first = opener()
    dropped(qtbot, first, scans)
    run(qtbot, first)
    opener.close()
    made = rows(scans.with_name("scans-denoised"))["a.png"]
    again = opener()
    dropped(qtbot, again, scans)
    entry = again.session.entries.entry(scans / "a.png")
    assert entry is not None
    assert entry.state is State.DONE
    assert entry.noise == (float(made["noise_before"]), float(made["noise_after"]))
    run(qtbot, again)
    assert again.run.status.text() == "Nothing to do: all results are there already."
    assert rows(scans.with_name("scans-denoised"))["a.png"] == made


def test_a_paused_run_shows_it_and_goes_on(qtbot: QtBot, window: Window, scans: Path) -> None:
    dropped(qtbot, window, scans)
    window.run.start.click()
    window.run.pause.click()
    assert window.session.phase is Phase.PAUSED
    assert window.run.pause.text() == texts.text("resume")
    qtbot.waitUntil(lambda: State.WORKING in states(window).values(), timeout=PATIENCE)
    assert window.run.status.text() == "Paused at 0 of 2"
    with qtbot.waitSignal(window.session.ended, timeout=PATIENCE):
        window.run.pause.click()
    assert set(states(window).values()) == {State.DONE}


def test_a_cancelled_run_keeps_what_is_done_and_starts_again(qtbot: QtBot, window: Window, scans: Path) -> None:
    dropped(qtbot, window, scans)
    window.run.start.click()
    window.run.pause.click()
    with qtbot.waitSignal(window.session.ended, timeout=PATIENCE):
        window.run.cancel.click()
        assert window.session.phase is Phase.STOPPING
    assert window.session.phase is Phase.IDLE
    assert window.run.status.text() == texts.text("cancelled")
    assert State.WORKING not in states(window).values()
    run(qtbot, window)
    assert set(states(window).values()) == {State.DONE}


def test_a_broken_file_says_why_and_stops_nothing(qtbot: QtBot, window: Window, scans: Path) -> None:
    whole = pictures.save(scans / "whole.jpg", pictures.scene(200, 200))
    broken = scans / "broken.jpg"
    broken.write_bytes(whole.read_bytes()[:2000])
    dropped(qtbot, window, scans)
    run(qtbot, window)
    assert states(window) == {
        "a.png": State.DONE,
        "broken.jpg": State.FAILED,
        "whole.jpg": State.DONE,
        "box/b.tif": State.DONE,
    }
    assert window.run.status.text() == "3 pictures done, 1 could not be done"
    look_at(qtbot, window, broken)
    assert window.notice.isVisible()
    assert window.notice.words.text() == "broken.jpg: The file is damaged or cut off. Get a fresh copy of it."
    assert not window.comparison.view.isVisible()
    window.notice.button.click()
    details = window.findChild(Details)
    assert details is not None
    assert str(broken) in details.content.toPlainText()
    details.copy_button.click()
    assert str(broken) in QGuiApplication.clipboard().text()
    details.reject()
    look_at(qtbot, window, whole)
    assert not window.notice.isVisible()


def test_trouble_with_the_place_for_results_is_told(qtbot: QtBot, window: Window, scans: Path) -> None:
    out = scans.with_name("scans-denoised")
    pictures.save(out / "a.png", pictures.scene())
    dropped(qtbot, window, scans)
    assert window.notice.words.text() == texts.text("why_occupied")
    run(qtbot, window)
    assert window.notice.isVisible()
    assert window.run.status.text() == "Not finished: 0 of 2 done."
    assert np.array_equal(pictures.load(out / "a.png"), pictures.scene())


def test_results_go_where_they_were_told_to(qtbot: QtBot, opener: Opener, scans: Path, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    window = opener()
    dropped(qtbot, window, scans)
    opener.windows[0].session.preferences.keep("place", place)
    opener.close()
    window = opener()
    assert str(place) in _said(window.results)
    dropped(qtbot, window, scans)
    run(qtbot, window)
    assert (place / "scans-denoised" / "a.png").exists()
    assert not scans.with_name("scans-denoised").exists()
    window.results.reset.click()
    assert "beside the originals" in _said(window.results)
    qtbot.waitUntil(lambda: not window.session.scanner.is_busy, timeout=PATIENCE)
    assert set(states(window).values()) == {State.WAITING}


def _said(widget: QWidget) -> str:
    return " ".join(label.text() for label in widget.findChildren(QLabel))


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


def test_a_closed_window_with_a_tray_icon_goes_on_watching(
    qtbot: QtBot, window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", lambda: True)
    monkeypatch.setattr(QSystemTrayIcon, "showMessage", lambda *arguments: None)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    window.watch.watch(inbox)
    qtbot.waitUntil(lambda: window.watch.has_tray, timeout=PATIENCE)
    window.close()
    assert not window.isVisible()
    assert window.watch.is_watching
    window.watch.showing.emit()
    assert window.isVisible()
    window.watch.quitting.emit()
    qtbot.waitUntil(lambda: not window.watch.is_watching, timeout=PATIENCE)
    assert not window.isVisible()


def test_a_watch_that_ends_in_the_tray_brings_the_window_back(
    qtbot: QtBot, window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", lambda: True)
    monkeypatch.setattr(QSystemTrayIcon, "showMessage", lambda *arguments: None)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    window.watch.watch(inbox)
    qtbot.waitUntil(lambda: window.watch.has_tray, timeout=PATIENCE)
    window.close()
    assert not window.isVisible()
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


def test_settings_are_remembered(qtbot: QtBot, opener: Opener) -> None:
    window = opener()
    window.models.model.setCurrentIndex(window.models.model.findText("identity", Qt.MatchFlag.MatchContains))
    window.models.strength.setValue(7)
    window.resize(900, 650)
    opener.close()
    again = opener()
    assert "identity" in again.models.model.currentText()
    assert again.models.wanted.strength == 0.35
    assert again.session.wanted == again.models.wanted


@pytest.mark.parametrize("strength", ["much", "nan", "inf"])
def test_settings_of_another_version_or_by_hand_do_no_harm(
    qtbot: QtBot, opener: Opener, tmp_path: Path, strength: str
) -> None:
    (tmp_path / "settings.ini").write_text(
        f"[General]\nmodel=gone\nstrength={strength}\nplace=/nowhere/at/all\ngeometry=?\n"
    )
    window = opener()
    assert (window.session.wanted.model, window.session.wanted.strength) == ("auto", 1.0)
    assert window.session.place is None


def test_the_slider_goes_as_far_as_the_model_does(qtbot: QtBot, opener: Opener, zoo_dir: Path) -> None:
    models.write_conditioned(zoo_dir / "strong")
    window = opener()
    assert window.models.strength.maximum() == 20
    window.models.model.setCurrentIndex(window.models.model.findText("strong", Qt.MatchFlag.MatchContains))
    assert window.models.strength.maximum() == 40
    window.models.strength.setValue(40)
    window.models.model.setCurrentIndex(0)
    assert window.session.wanted.strength == 1


def test_files_named_at_the_start_are_denoised_at_once(qtbot: QtBot, window: Window, scans: Path) -> None:
    with qtbot.waitSignal(window.session.ended, timeout=PATIENCE):
        window.add([scans], start=True)
    assert set(states(window).values()) == {State.DONE}


def test_pictures_taken_off_the_list_are_not_denoised(qtbot: QtBot, window: Window, scans: Path) -> None:
    dropped(qtbot, window, scans)
    window.list.setCurrentIndex(window.session.entries.index_of(scans / "a.png"))
    QTest.keyClick(window.list, Qt.Key.Key_Delete)
    assert states(window) == {"box/b.tif": State.WAITING}
    run(qtbot, window)
    assert not (scans.with_name("scans-denoised") / "a.png").exists()
    assert (scans / "a.png").exists()
    dropped(qtbot, window, scans)
    assert states(window) == {"a.png": State.WAITING, "box/b.tif": State.DONE}


def test_nothing_is_removed_while_a_folder_is_looked_through(
    qtbot: QtBot, window: Window, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped(qtbot, window, scans)
    slow = tmp_path / "slow"
    pictures.save(slow / "c.png", pictures.scene())
    goes_on = threading.Event()
    look = scan._scan
    monkeypatch.setattr(scan, "_scan", lambda *arguments: goes_on.wait() and look(*arguments))
    drop(window, slow)
    window.list.setCurrentIndex(window.session.entries.index_of(scans / "a.png"))
    QTest.keyClick(window.list, Qt.Key.Key_Delete)
    goes_on.set()
    qtbot.waitUntil(lambda: not window.session.scanner.is_busy, timeout=PATIENCE)
    QTest.keyClick(window.list, Qt.Key.Key_Delete)
    assert states(window) == {"box/b.tif": State.WAITING, "c.png": State.WAITING}
    run(qtbot, window)
    assert set(states(window).values()) == {State.DONE}


def test_many_folders_are_looked_through_one_after_the_other(
    qtbot: QtBot, window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / f"day {number}" for number in range(30)]
    for folder in folders:
        pictures.save(folder / "a.png", pictures.scene())
    begun: list[Path] = []
    goes_on = threading.Event()
    look = scan._scan

    def slow(source: Source, order: Order) -> scan.Scanned:
        begun.append(source.root)
        goes_on.wait()
        return look(source, order)

    monkeypatch.setattr(scan, "_scan", slow)
    drop(window, *folders)
    qtbot.waitUntil(lambda: bool(begun), timeout=PATIENCE)
    assert begun == folders[:1]
    # A cleared list waits for nothing.
    window.session.clear()
    drop(window, folders[5])
    qtbot.waitUntil(lambda: begun == [folders[0], folders[5]], timeout=PATIENCE)
    goes_on.set()
    qtbot.waitUntil(lambda: not window.session.scanner.is_busy, timeout=PATIENCE)
    assert [entry.root for entry in window.session.entries.entries()] == [folders[5]]


def test_a_folder_dropped_again_brings_what_is_new_and_keeps_what_is_known(
    qtbot: QtBot, window: Window, scans: Path
) -> None:
    (scans / "empty.png").touch()
    dropped(qtbot, window, scans)
    run(qtbot, window)
    known = {entry.source: entry for entry in window.session.entries.entries()}
    assert known[scans / "empty.png"].reason == texts.text("why_empty")
    pictures.save(scans / "new.png", pictures.scene())
    dropped(qtbot, window, scans)
    found = {entry.source: entry for entry in window.session.entries.entries()}
    assert found.pop(scans / "new.png").state is State.WAITING
    assert {path: (entry.state, entry.message) for path, entry in found.items()} == {
        path: (entry.state, entry.message) for path, entry in known.items()
    }
    pictures.save(scans / "empty.png", pictures.scene())
    dropped(qtbot, window, scans)
    assert states(window)["empty.png"] is State.WAITING


def test_files_that_are_gone_before_the_start_are_told_and_not_waited_for(
    qtbot: QtBot, window: Window, scans: Path
) -> None:
    dropped(qtbot, window, scans)
    (scans / "a.png").unlink()
    run(qtbot, window)
    assert states(window) == {"a.png": State.FAILED, "box/b.tif": State.DONE}
    entry = window.session.entries.entry(scans / "a.png")
    assert entry is not None
    assert entry.reason == texts.text("why_cannot_open")
    assert window.session.total == 1


def test_a_file_that_was_replaced_is_shown_as_it_is_now(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    path = pictures.save(folder / "a.bmp", np.full((48, 64, 3), 40, np.uint8))
    dropped(qtbot, window, folder)
    settled(qtbot, window)
    thumbs = window.session.thumbs
    qtbot.waitUntil(lambda: thumbs.get(path) is not None, timeout=PATIENCE)
    # Of the same size in bytes, like each scan of a scanner.
    before = path.stat()
    pictures.save(path, np.full((48, 64, 3), 200, np.uint8))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    assert path.stat().st_size == before.st_size
    dropped(qtbot, window, folder)
    qtbot.waitUntil(lambda: thumbs.get(path) is not None, timeout=PATIENCE)
    pixmap = thumbs.get(path)
    assert pixmap is not None
    assert pixmap.toImage().pixelColor(5, 5).lightness() == 200

    def is_shown() -> bool:
        sheet = window.comparison.preview.sheet
        return sheet is not None and int(sheet.pixels[0, 0, 0]) == 200

    qtbot.waitUntil(is_shown, timeout=PATIENCE)


def test_what_could_not_be_kept_is_told(qtbot: QtBot, opener: Opener, tmp_path: Path) -> None:
    # A table of colours does not outlive new colours.
    path = tmp_path / "in" / "palette.png"
    path.parent.mkdir()
    Image.fromarray(pictures.scene()).quantize(16).save(path)
    window = opener()
    dropped(qtbot, window, path.parent)
    run(qtbot, window)
    note = rows(tmp_path / "in-denoised")["palette.png"]["notes"]
    assert note
    assert note in window.list.currentIndex().data(Qt.ItemDataRole.ToolTipRole)
    opener.close()
    again = opener()
    dropped(qtbot, again, path.parent)
    assert note in again.list.currentIndex().data(Qt.ItemDataRole.ToolTipRole)


def test_names_are_shown_as_they_are(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    name = "<b>a & b.png" if os.name != "nt" else "a & b.png"
    path = tmp_path / "in" / name
    path.parent.mkdir()
    path.touch()
    dropped(qtbot, window, path.parent)
    run(qtbot, window)
    assert window.notice.words.text().startswith(f"{name}: ")
    assert window.notice.words.textFormat() == Qt.TextFormat.PlainText
    tip = window.list.currentIndex().data(Qt.ItemDataRole.ToolTipRole)
    shown = QTextDocumentFragment.fromHtml(tip).toPlainText() if QtGui.Qt.mightBeRichText(tip) else tip
    assert str(path) in shown


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_bytes_of_a_name_that_are_no_unicode_are_seen(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    path = folder / os.fsdecode(b"caf\xe9.png")
    folder.mkdir()
    path.write_bytes(pictures.save(tmp_path / "a.png", pictures.scene()).read_bytes())
    dropped(qtbot, window, folder)
    assert window.list.currentIndex().data() == "caf\\xe9.png"
    run(qtbot, window)
    assert set(states(window).values()) == {State.DONE}


def test_ten_thousand_pictures_are_listed_and_only_those_seen_are_opened(
    qtbot: QtBot, window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[Path] = set()
    get = Thumbs.get

    def spy(thumbs: Thumbs, source: Path) -> object:
        asked.add(source)
        return get(thumbs, source)

    monkeypatch.setattr(Thumbs, "get", spy)
    entries = [Entry(tmp_path / f"{number:05}.png", tmp_path, tmp_path / "out" / "x", 1000) for number in range(10_000)]
    window.session.entries.put(entries)
    window.list.grab()
    assert window.session.entries.rowCount() == 10_000
    assert 0 < len(asked) < 60
    window.list.scrollToBottom()
    window.list.grab()
    assert entries[-1].source in asked
    assert len(asked) < 120


def test_thumbnails_come_for_all_kinds_of_files(qtbot: QtBot, tmp_path: Path) -> None:
    thumbs = Thumbs()
    model = EntryModel(thumbs)
    paths = [pictures.save(tmp_path / f"a{suffix}", pictures.scene()) for suffix in (".jpg", ".bmp", ".webp", ".ppm")]
    paths.append(tmp_path / "zstd.tif")  # of which libvips' wheels make black, without a word
    Image.fromarray(pictures.scene()).save(paths[-1], compression="zstd")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    model.put(Entry(path, tmp_path, path) for path in (*paths, broken))
    for path in (*paths, broken):
        with qtbot.waitSignal(thumbs.ready, timeout=PATIENCE):
            thumbs.get(path)
    for path in paths:
        pixmap = thumbs.get(path)
        assert pixmap is not None
        assert (pixmap.width(), pixmap.height()) == (64, 48)
        assert pixmap.toImage().pixelColor(32, 24).lightness() > 20
        entry = model.entry(path)
        assert entry is not None
        assert (entry.width, entry.height) == (64, 48)
    assert thumbs.get(broken) is None
    thumbs.close()
    assert all_ended(thumbs.threads, PATIENCE / 1000)


def test_a_thumbnail_that_fails_ends_none_of_the_others(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = thumbs_module._thumbnail

    def fail(source: Path) -> tuple[QImage, int, int]:
        if source.name != "good.png":
            raise MemoryError
        return make(source)

    monkeypatch.setattr(thumbs_module, "_thumbnail", fail)
    thumbs = Thumbs()
    good = pictures.save(tmp_path / "good.png", pictures.scene())
    for path in (*(tmp_path / f"{number}.png" for number in range(len(thumbs.threads))), good):
        with qtbot.waitSignal(thumbs.ready, timeout=PATIENCE):
            thumbs.get(path)
    assert thumbs.get(good) is not None
    thumbs.close()
    assert all_ended(thumbs.threads, PATIENCE / 1000)


@pytest.mark.parametrize("code", ["en", "de"])
def test_everything_has_a_name_for_screen_readers_and_keys_of_its_own(
    qtbot: QtBot, opener: Opener, scans: Path, code: str
) -> None:
    texts.use(code)
    try:
        window = opener()
        dropped(qtbot, window, scans)
        keys = [
            part[0].lower()
            for widget in [*window.findChildren(QAbstractButton), *window.findChildren(QLabel)]
            if not window.welcome.isAncestorOf(widget)
            for part in widget.text().split("&")[1:2]
        ]
        assert sorted(keys) == sorted(set(keys))
        for widget in window.findChildren(QWidget):
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isVisible():
                named = widget.accessibleName() or (widget.text() if isinstance(widget, QPushButton) else "")
                assert named or _has_words(widget), widget
        spoken = window.session.entries.index(0).data(Qt.ItemDataRole.AccessibleTextRole)
        assert "a.png" in spoken
        assert texts.text("state_waiting") in spoken
    finally:
        texts.use("en")


def _has_words(widget: QWidget) -> bool:
    return isinstance(widget, QAbstractButton) and bool(widget.text())
