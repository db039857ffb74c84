"""Pictures of the real window at work: drops examples/scans on it, denoises them, looks at one before and after.

    python packaging/screenshots.py                        docs/window.png and docs/window-dark.png
    python packaging/screenshots.py --language de --scale 1.5 --out /tmp/look

Without a display it starts Xvfb for itself (apt install xvfb).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from folderdenoise.desktop.window import Window

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_MS = 300_000
SIZE = (1180, 800)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder for the pictures")
    parser.add_argument("--language", default="en", choices=["en", "de"])
    parser.add_argument("--scale", default="1", help="as QT_SCALE_FACTOR")
    parser.add_argument("--picture", default="portrait.jpg", help="the picture that is looked at")
    parser.add_argument("--empty", action="store_true", help="only the window as it is at its first start")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["QT_SCALE_FACTOR"] = options.scale
    with display(), tempfile.TemporaryDirectory() as place:
        take(options, Path(place))


@contextlib.contextmanager
def display() -> Iterator[None]:
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY"):
        yield
        return
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "2400x1600x24", "-nolisten", "tcp"]
    # One whose colours Qt can change while it runs.
    os.environ["XDG_CURRENT_DESKTOP"] = "GNOME"
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as answer:
        number = answer.readline().strip()
    if not number:
        sys.exit("Xvfb did not start. Install it (apt install xvfb), or run this on a desktop.")
    os.environ["DISPLAY"] = f":{number}"
    # Nothing of the desktop that this is started from.
    os.environ.pop("WAYLAND_DISPLAY", None)
    try:
        yield
    finally:
        del os.environ["DISPLAY"]
        server.terminate()
        server.wait()


def take(options: argparse.Namespace, place: Path) -> None:
    from PySide6.QtCore import QSettings, Qt
    from PySide6.QtWidgets import QApplication

    from folderdenoise.desktop import app as starting
    from folderdenoise.desktop import texts
    from folderdenoise.desktop.preferences import Preferences
    from folderdenoise.desktop.runbar import Phase
    from folderdenoise.desktop.window import Window

    starting.check()
    app = QApplication(sys.argv[:1])
    texts.use(options.language)
    scans = shutil.copytree(ROOT / "examples" / "scans", place / "scans")
    # What a folder really holds.
    (scans / "archive" / "torn copy.jpg").write_bytes((scans / "album" / "cafe.jpg").read_bytes()[:5000])
    window = Window(Preferences(QSettings(str(place / "settings.ini"), QSettings.Format.IniFormat)))
    window.resize(*SIZE)
    window.show()
    if options.empty:
        for name, scheme in (("empty", Qt.ColorScheme.Light), ("empty-dark", Qt.ColorScheme.Dark)):
            grab(window, options.out / f"{name}.png", scheme)
    else:
        drop(window, scans)
        until(lambda: window.run.start.isEnabled(), "the pictures in the list")
        window.run.start.click()
        until(lambda: window.session.phase is Phase.IDLE, "the run")
        entries = window.session.entries
        chosen = next(entry for entry in entries.entries() if entry.source.name == options.picture)
        window.list.setCurrentIndex(entries.index_of(chosen.source))
        until(lambda: window.comparison.is_settled, "the picture")
        window.comparison.view.set_divider(0.46)
        for name, scheme in (("window", Qt.ColorScheme.Light), ("window-dark", Qt.ColorScheme.Dark)):
            grab(window, options.out / f"{name}.png", scheme)
    window.close()
    window.end()
    app.processEvents()


def drop(window: Window, path: Path) -> None:
    from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
    from PySide6.QtGui import QDragEnterEvent, QDropEvent
    from PySide6.QtWidgets import QApplication

    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    # As they come from a file manager.
    how = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(window, QDragEnterEvent(QPoint(200, 200), *how))
    QApplication.sendEvent(window, QDropEvent(QPointF(200, 200), *how))


def grab(window: Window, path: Path, scheme: object) -> None:
    import numpy as np
    import pyvips
    from PySide6.QtGui import QGuiApplication, QImage

    QGuiApplication.styleHints().setColorScheme(scheme)
    pause(800)
    # The screen, not the widget: what a user sees.
    shot = window.screen().grabWindow(window.winId()).toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(shot.constBits(), np.uint8).reshape(shot.height(), shot.bytesPerLine())
    pixels = np.ascontiguousarray(rows[:, : 3 * shot.width()]).reshape(shot.height(), shot.width(), 3)
    # A well chosen palette: a quarter of the bytes, and nobody sees it.
    pyvips.Image.new_from_array(pixels).pngsave(str(path), palette=True, Q=95, dither=0.8, effort=10)
    print(f"{path}: {shot.width()} x {shot.height()}, {path.stat().st_size // 1000} kB")


def until(condition: Callable[[], bool], what: str) -> None:
    from PySide6.QtCore import QElapsedTimer

    timer = QElapsedTimer()
    timer.start()
    while not condition():
        if timer.hasExpired(PATIENCE_MS):
            sys.exit(f"Waited in vain for {what}.")
        pause(50)


def pause(milliseconds: int) -> None:
    from PySide6.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


if __name__ == "__main__":
    main()
