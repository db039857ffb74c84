"""The window's list: what is in it, how it is named and shown, and what becomes of it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from . import pictures
from .conftest import why_no_qt

if reason := why_no_qt():
    pytest.skip(reason, allow_module_level=True)

from PySide6 import QtGui
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QTextDocumentFragment
from PySide6.QtTest import QTest

from folderdenoise.desktop import scan, texts
from folderdenoise.desktop import thumbs as thumbs_module
from folderdenoise.desktop.entries import Entry, EntryModel, State
from folderdenoise.desktop.latest import all_ended
from folderdenoise.desktop.sources import Source
from folderdenoise.desktop.thumbs import Thumbs
from folderdenoise.desktop.window import Window
from folderdenoise.job import Order

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

from .windows import PATIENCE, Opener, drop, dropped, rows, run, settled, states

pytestmark = pytest.mark.usefixtures("zoo_dir")


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
