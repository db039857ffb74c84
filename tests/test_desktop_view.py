"""Before and after in the window: what is seen is what a run saves, and what is looked at comes first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from . import models, pictures
from .conftest import why_no_qt

if reason := why_no_qt():
    pytest.skip(reason, allow_module_level=True)

from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from folderdenoise.cli import main
from folderdenoise.desktop.latest import all_ended
from folderdenoise.desktop.preview import Preview
from folderdenoise.desktop.sheet import Sheet
from folderdenoise.desktop.window import Window
from folderdenoise.engine import Denoiser
from folderdenoise.errors import SuspectResultError

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

from .windows import PATIENCE, dropped, look_at, pixels, run, settled

pytestmark = pytest.mark.usefixtures("zoo_dir")


@pytest.mark.parametrize("kind", ["8 bit", "16 bit", "gray", "turned"])
def test_the_view_shows_what_a_run_saves(qtbot: QtBot, window: Window, tmp_path: Path, kind: str) -> None:

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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hidden_colours_are_kept_from_the_network_as_a_run_does_it(zoo_dir: Path, tmp_path: Path, dtype: type) -> None:
    import tifffile

    models.write_blur(zoo_dir / "rgb-leaky")
    top = np.iinfo(dtype).max
    image = np.full((96, 96, 4), top // 8, dtype)
    image[..., 3] = top
    # White that nobody sees: it would bleed into what is seen, and of 16 bits it would be said to be bright.
    image[24:72, 30:70] = (top, top, top, 0)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", extrasamples=["unassalpha"])
    command = ["run", str(tmp_path / "a.tif"), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(main, command).exit_code == 0
    sheet = Sheet(tmp_path / "a.tif")
    for piece in ((0, 0, 96, 48), (0, 48, 96, 96)):
        sheet.compute(piece, Denoiser(), 1.0, lambda: None)
    saved = tifffile.imread(tmp_path / "out" / "a.tif")
    assert np.abs(saved[..., :3].astype(int) - sheet.after).max() <= 1
    assert np.abs(sheet.after[12:24, 30:70].astype(int) - top // 8).max() <= 1 + top // 2000


def test_an_alpha_that_hides_everything_is_not_meant(zoo_dir: Path, tmp_path: Path) -> None:
    models.write_blur(zoo_dir / "rgb-leaky")
    image = np.dstack([pictures.scene(64, 64), np.zeros((64, 64), np.uint8)])
    Image.fromarray(image).save(tmp_path / "a.png")
    sheet = Sheet(tmp_path / "a.png")
    sheet.compute((0, 0, 64, 64), Denoiser(), 1.0, lambda: None)
    assert np.abs(sheet.after.astype(int) - Denoiser()(image[..., :3])).max() <= 1
    assert not np.array_equal(sheet.after, image[..., :3])


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
        assert all_ended(preview.threads, PATIENCE / 1000)
        gc.collect()
        assert not list(folder.iterdir())
    finally:
        tempfile.tempdir = None


def test_after_a_model_that_failed_another_one_is_shown(
    qtbot: QtBot, window: Window, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Sheet.compute

    def fail(sheet: Sheet, piece: tuple[int, int, int, int], denoiser: Denoiser, *rest: Any) -> None:
        if denoiser.card_for(3).name != "identity":
            raise SuspectResultError("the result is constant: try another model")
        compute(sheet, piece, denoiser, *rest)

    monkeypatch.setattr(Sheet, "compute", fail)
    dropped(qtbot, window, scans / "a.png")
    settled(qtbot, window)
    assert not window.comparison.view.isVisible()
    window.models.model.setCurrentIndex(window.models.model.findText("identity", Qt.MatchFlag.MatchContains))
    settled(qtbot, window)
    assert window.comparison.view.isVisible()


def test_on_a_screen_of_another_density_the_picture_still_fits(
    qtbot: QtBot, window: Window, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped(qtbot, window, scans / "a.png")
    settled(qtbot, window)
    view = window.comparison.view
    monkeypatch.setattr(view, "devicePixelRatioF", lambda: 0.25)
    QApplication.sendEvent(view, QEvent(QEvent.Type.DevicePixelRatioChange))
    assert view.zoom == min(view.width() / 64, view.height() / 48) / 4
