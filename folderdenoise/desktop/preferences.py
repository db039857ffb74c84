"""What the window remembers from one start to the next."""

from __future__ import annotations

import math
from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings


class Preferences:
    """Typed access to the settings: they come back as text, or from another version, or edited by hand."""

    def __init__(self, settings: QSettings) -> None:
        self._settings = settings

    @classmethod
    def of_user(cls) -> Preferences:
        """Where the system keeps such things."""
        return cls(QSettings("folderdenoise", "folderdenoise"))

    def text(self, key: str, default: str = "") -> str:
        """A text."""
        return str(self._settings.value(key, default))

    def number(self, key: str, default: float) -> float:
        """A number; the default where it is none."""
        try:
            number = float(str(self._settings.value(key, default)))
        except ValueError:
            return default
        return number if math.isfinite(number) else default

    def folder(self, key: str) -> Path | None:
        """A folder, if one is remembered and still there."""
        name = self.text(key)
        return Path(name) if name and Path(name).is_dir() else None

    def state(self, key: str) -> QByteArray:
        """The state of a widget, as it gave it."""
        value = self._settings.value(key)
        return value if isinstance(value, QByteArray) else QByteArray()

    def keep(self, key: str, value: str | float | Path | QByteArray | None) -> None:
        """Remember a value; None forgets it."""
        if value is None:
            self._settings.remove(key)
        else:
            self._settings.setValue(key, str(value) if isinstance(value, Path) else value)

    def save(self) -> None:
        """Write them to the disk."""
        self._settings.sync()
