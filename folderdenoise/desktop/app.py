"""Starting the window: what Qt needs is looked for first, since Qt itself ends the process where it lacks something."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError

_INSTALL = "Install it, in the folder of folderdenoise: pip install '.[desktop]'"
_LIBRARIES = (
    "On Debian and Ubuntu: apt install libegl1 libgl1 libxkbcommon-x11-0 libdbus-1-3 libfontconfig1 libxcb-cursor0 "
    "libxcb-icccm4 libxcb-keysyms1 libxcb-shape0"
)


def run(paths: Sequence[Path], *, start: bool = False) -> int:
    """Open the window with ``paths`` in its list, until it is closed; ``start``: and denoise them at once.

    Raises UsageError where there is no PySide6, a library that it needs is missing, or there is no display.
    """
    check()
    from PySide6.QtCore import QLibraryInfo, QLocale, QTranslator
    from PySide6.QtWidgets import QApplication

    from . import texts
    from .icon import icon
    from .preferences import Preferences
    from .window import Window

    # Ctrl-C in the terminal ends it: Qt's own loop would not see it. Nothing half-written gets a name.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    app = QApplication([sys.argv[0]])
    app.setApplicationName("folderdenoise")
    app.setApplicationDisplayName("folderdenoise")
    app.setDesktopFileName("folderdenoise")
    app.setWindowIcon(icon())
    language = QLocale.system().uiLanguages()
    texts.use(language[0] if language else "en")
    # Qt's own dialogs.
    translator = QTranslator(app)
    if translator.load(QLocale.system(), "qtbase", "_", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)):
        app.installTranslator(translator)
    window = Window(Preferences.of_user())
    window.show()
    window.add(paths, start=start)
    code = app.exec()
    if not window.end():
        # A file that is under way may take minutes; nothing of it is published any more.
        os._exit(code)
    return code


def check() -> None:
    """Raise UsageError where the window cannot be opened, saying what to do."""
    if importlib.util.find_spec("PySide6") is None:
        raise UsageError(f"The window needs PySide6, which is not installed. {_INSTALL}")
    try:
        import PySide6.QtWidgets  # noqa: F401
    except ImportError as error:
        raise UsageError(f"The window cannot be opened: {error}. {_LIBRARIES}") from error
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM"):
        return
    if os.environ.get("WAYLAND_DISPLAY"):
        return
    if not os.environ.get("DISPLAY"):
        raise UsageError("There is no display here to open a window on. Use 'folderdenoise run FOLDER' instead.")
    if library := missing_library():
        raise UsageError(f"The window cannot be opened: {library}. {_LIBRARIES}")


def missing_library() -> str | None:
    """What the loader says of the first library that Qt lacks for a window on X11; None where it lacks nothing, as on
    other systems than Linux, where it brings all."""
    if not sys.platform.startswith("linux"):
        return None
    from PySide6.QtCore import QLibraryInfo

    plugins = Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath))
    try:
        ctypes.CDLL(str(plugins / "platforms" / "libqxcb.so"))
    except OSError as error:
        # In the packaged program PyInstaller raises an error of its own about the loader's.
        return str(error.__cause__ or error)
    return None
