"""The window as its user meets it: real widgets, real small files, the tiny zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from . import models, pictures
from .conftest import why_no_qt

if reason := why_no_qt():
    pytest.skip(reason, allow_module_level=True)

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QLabel, QPushButton, QWidget

from folderdenoise.desktop import texts
from folderdenoise.desktop.entries import State
from folderdenoise.desktop.runbar import Phase
from folderdenoise.desktop.widgets import Details
from folderdenoise.desktop.window import Window
from folderdenoise.engine import Denoiser

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

from .windows import PATIENCE, Opener, dropped, look_at, rows, run, states

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


def _said(widget: QWidget) -> str:
    return " ".join(label.text() for label in widget.findChildren(QLabel))
