"""The window as its user meets it: real widgets, real small files, the tiny zoo."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from . import models, pictures
from .conftest import why_no_qt

if reason := why_no_qt():
    pytest.skip(reason, allow_module_level=True)

from PySide6.QtCore import QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QMessageBox, QPushButton, QSystemTrayIcon, QWidget

from folderdenoise.desktop import texts
from folderdenoise.desktop.entries import Entry, EntryModel, State
from folderdenoise.desktop.preferences import Preferences
from folderdenoise.desktop.preview import Preview
from folderdenoise.desktop.runbar import Phase
from folderdenoise.desktop.sheet import Sheet
from folderdenoise.desktop.thumbs import Thumbs
from folderdenoise.desktop.widgets import Details
from folderdenoise.desktop.window import Window
from folderdenoise.engine import Denoiser

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

PATIENCE = 90_000
"""Milliseconds after which a condition is given up: a loaded machine is slow."""

pytestmark = pytest.mark.usefixtures("zoo_dir")


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
            assert window.end()
            window.deleteLater()


@pytest.fixture
def opener(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    monkeypatch.setattr(QMessageBox, "question", lambda *arguments: QMessageBox.StandardButton.Yes)
    opener = Opener(qtbot, tmp_path / "settings.ini")
    yield opener
    opener.close()


@pytest.fixture
def window(opener: Opener) -> Window:
    return opener()


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    pictures.save(folder / "a.png", pictures.noisy(pictures.scene(), 20))
    pictures.save(folder / "box" / "b.tif", pictures.noisy(pictures.scene(channels=1), 20))
    return folder


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


@pytest.mark.parametrize("kind", ["8 bit", "16 bit", "gray", "turned"])
def test_the_view_shows_what_a_run_saves(qtbot: QtBot, window: Window, tmp_path: Path, kind: str) -> None:
    from PIL import Image

    image = pictures.noisy(pictures.scene(300, 400, 1 if kind == "gray" else 3), 20)
    path = tmp_path / "in" / "a.tif"
    pictures.save(path, image)
    if kind == "16 bit":
        import tifffile

        # A camera of 12 bits leaves the upper bits empty.
        tifffile.imwrite(path, image.astype(np.uint16) * 16, photometric="rgb")
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(image).save(path, exif=exif)
    dropped(qtbot, window, path)
    settled(qtbot, window)
    computed = _whole(qtbot, window)
    run(qtbot, window)
    saved = pictures.load(tmp_path / "in-denoised" / "a.tif")  # Pillow turns it upright
    if kind == "16 bit":
        import tifffile

        saved = np.rint(tifffile.imread(tmp_path / "in-denoised" / "a.tif") / 257).astype(np.uint8)
    saved = np.repeat(saved[..., np.newaxis], 3, axis=2) if kind == "gray" else saved
    assert computed.shape == saved.shape
    assert np.abs(computed.astype(int) - saved).max() <= 1
    assert computed.std() > 1


def _whole(qtbot: QtBot, window: Window) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The result as it is shown, pixel by pixel."""
    view = window.comparison.view
    view.full()
    sheet = window.comparison.preview.sheet
    assert sheet is not None
    qtbot.waitUntil(lambda: view.frame is not None and view.frame.after.width() == sheet.width, timeout=PATIENCE)
    settled(qtbot, window)
    assert view.frame is not None
    return pixels(view.frame.after)


def test_the_divider_and_the_strength_change_what_is_seen(qtbot: QtBot, window: Window, scans: Path) -> None:
    dropped(qtbot, window, scans)
    look_at(qtbot, window, scans / "a.png")
    view = window.comparison.view
    view.set_divider(1.0)
    original = pixels(view.grab().toImage())
    view.set_divider(0.0)
    result = pixels(view.grab().toImage())
    assert not np.array_equal(original, result)
    view.set_divider(0.5)
    both = pixels(view.grab().toImage())
    half, height = both.shape[1] // 2, both.shape[0]
    low = slice(height * 3 // 4, height)  # below the labels and the grip
    assert np.array_equal(both[low, : half - 8], original[low, : half - 8])
    assert np.array_equal(both[low, half + 8 :], result[low, half + 8 :])

    window.models.strength.setValue(0)
    qtbot.waitUntil(lambda: _after_is_before(window), timeout=PATIENCE)
    window.models.strength.setValue(window.models.strength.maximum())
    qtbot.waitUntil(lambda: not _after_is_before(window), timeout=PATIENCE)
    window.models.model.setCurrentIndex(window.models.model.findText("identity", Qt.MatchFlag.MatchContains))
    qtbot.waitUntil(lambda: _after_is_before(window), timeout=PATIENCE)


def _after_is_before(window: Window) -> bool:
    frame = window.comparison.view.frame
    is_there = window.comparison.is_settled and frame is not None
    return is_there and frame is not None and np.array_equal(pixels(frame.before), pixels(frame.after))


def test_the_view_is_used_with_the_keyboard(qtbot: QtBot, window: Window, scans: Path) -> None:
    dropped(qtbot, window, scans)
    look_at(qtbot, window, scans / "a.png")
    view = window.comparison.view
    view.setFocus()
    place = view.divider
    QTest.keyClick(view, Qt.Key.Key_Left)
    assert view.divider < place
    QTest.keyClicks(view, "1")
    assert view.zoom == 1
    QTest.keyClicks(view, "+")
    assert view.zoom == 1.25
    for _ in range(30):
        QTest.keyClicks(view, "+")
    assert view.zoom == 16
    before = pixels(view.grab().toImage())
    QTest.keyClick(view, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert not np.array_equal(pixels(view.grab().toImage()), before)
    QTest.keyClicks(view, "0")
    assert view.zoom == min(view.width() / 64, view.height() / 48, 4)


def test_dragging_moves_the_divider_at_it_and_the_picture_elsewhere(
    qtbot: QtBot, window: Window, tmp_path: Path
) -> None:
    dropped(qtbot, window, pictures.save(tmp_path / "in" / "a.png", pictures.noisy(pictures.scene(900, 1300), 20)))
    settled(qtbot, window)
    view = window.comparison.view
    view.full()
    middle = QPoint(view.width() // 2, view.height() // 3)
    _drag(view, middle, middle + QPoint(60, 0))
    assert view.divider == pytest.approx((middle.x() + 60) / view.width(), abs=0.01)
    settled(qtbot, window)
    qtbot.waitUntil(lambda: view.frame is not None and view.frame.rect[0] > 0, timeout=PATIENCE)
    left = view.frame.rect[0] if view.frame else 0
    _drag(view, QPoint(40, 40), QPoint(140, 40))
    qtbot.waitUntil(lambda: view.frame is not None and view.frame.rect[0] == left - 100, timeout=PATIENCE)
    assert view.divider == pytest.approx((middle.x() + 60) / view.width(), abs=0.01)


def _drag(widget: QWidget, start: QPoint, end: QPoint) -> None:
    QTest.mousePress(widget, Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(widget, end)
    QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, pos=end)


def test_what_is_visible_is_computed_before_the_rest(
    qtbot: QtBot, window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[int, int, int, int]] = []
    compute = Sheet.compute

    def spy(sheet: Sheet, piece: tuple[int, int, int, int], *rest: Any) -> None:
        compute(sheet, piece, *rest)
        done.append(piece)

    monkeypatch.setattr(Sheet, "compute", spy)
    path = pictures.save(tmp_path / "in" / "a.png", pictures.noisy(pictures.scene(1600, 2400), 20))
    dropped(qtbot, window, path)
    settled(qtbot, window)
    view = window.comparison.view
    view.full()
    qtbot.waitUntil(lambda: view.frame is not None and view.frame.rect[0] > 0, timeout=PATIENCE)
    done.clear()
    window.models.strength.setValue(10)
    qtbot.waitUntil(lambda: bool(done) and window.comparison.is_settled, timeout=PATIENCE)
    left, top, right, bottom = done[0]
    # The result is to be seen in the right half of the view.
    assert right - left < 0.6 * view.width() + 64
    assert bottom - top < view.height() + 64
    assert left <= 1200 < right
    assert top <= 800 < bottom
    assert sum((piece[2] - piece[0]) * (piece[3] - piece[1]) for piece in done) >= 1600 * 2400
    sheet = window.comparison.preview.sheet
    assert sheet is not None
    whole = Denoiser("rgb-leaky")(sheet.pixels, 0.5)
    assert cv2.norm(sheet.after, whole, cv2.NORM_INF) <= 1


def test_a_dark_picture_of_16_bits_is_computed_as_a_run_does_it(zoo_dir: Path, tmp_path: Path) -> None:
    import tifffile

    # It takes 0.005 away from what the network sees: that shows how much brighter the picture was made for it.
    models.write_conditioned(zoo_dir / "rgb-leaky")
    image = pictures.scene(64, 64).astype(np.uint16) * 16
    image[:32] //= 4
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    sheet = Sheet(tmp_path / "a.tif")
    for piece in ((0, 0, 64, 32), (0, 32, 64, 64)):
        sheet.compute(piece, Denoiser(), 1.0, lambda: None)
    expected = Denoiser()(image)
    assert np.abs(expected.astype(int) - image).max() > 5
    assert np.abs(sheet.after.astype(int) - expected).max() <= 1


def test_a_newer_strength_ends_the_computation_of_an_older_one(
    qtbot: QtBot, window: Window, zoo_dir: Path, tmp_path: Path
) -> None:
    models.write_slow(zoo_dir / "rgb-leaky")
    path = pictures.save(tmp_path / "in" / "a.png", pictures.noisy(pictures.scene(1200, 1600), 20))
    dropped(qtbot, window, path)
    preview = window.comparison.preview
    qtbot.waitUntil(lambda: preview.sheet is not None, timeout=PATIENCE)
    sheet = preview.sheet
    assert sheet is not None
    # Minutes of work, if it were done.
    window.models.model.setCurrentIndex(window.models.model.findText("identity", Qt.MatchFlag.MatchContains))
    settled(qtbot, window)
    assert np.array_equal(sheet.after, sheet.pixels)


def test_pages_of_a_file_are_shown_one_by_one(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "in" / "book.tif"
    path.parent.mkdir()
    pages = [Image.fromarray(pictures.scene(channels=1, seed=seed)) for seed in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    dropped(qtbot, window, path)
    settled(qtbot, window)
    page = window.comparison.page
    assert page.isVisible()
    assert page.maximum() == 3
    page.setValue(3)
    sheet = window.comparison.preview.sheet
    qtbot.waitUntil(lambda: window.comparison.preview.sheet is not sheet, timeout=PATIENCE)
    settled(qtbot, window)
    shown = window.comparison.preview.sheet
    assert shown is not None
    assert np.array_equal(shown.pixels[..., 0], np.asarray(pages[2]))


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


def test_settings_of_another_version_or_by_hand_do_no_harm(qtbot: QtBot, opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "settings.ini").write_text("[General]\nmodel=gone\nstrength=much\nplace=/nowhere/at/all\ngeometry=?\n")
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


def test_a_preview_that_was_closed_leaves_nothing_behind(qtbot: QtBot, tmp_path: Path, scans: Path) -> None:
    import gc
    import tempfile

    folder = tmp_path / "temporary"
    folder.mkdir()
    tempfile.tempdir = str(folder)
    try:
        preview = Preview()
        with qtbot.waitSignal(preview.opened, timeout=PATIENCE):
            preview.open(scans / "a.png", 0, None)
        assert list(folder.iterdir())
        preview.close()
        gc.collect()
        assert not list(folder.iterdir())
    finally:
        tempfile.tempdir = None
