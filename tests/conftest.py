"""What the tests of several rooms share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from . import models, pictures

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from folderdenoise.desktop.window import Window
    from folderdenoise.order import Order

    from .windows import Opener

if sys.platform.startswith("linux"):
    # The window's tests need no display.
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def why_no_qt() -> str | None:
    """Why there can be no window here, or None."""
    try:
        import PySide6.QtWidgets  # noqa: F401
    except ImportError as error:
        return f"PySide6 cannot be imported ({error}); docs/window.md says what it needs"
    return None


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Without Qt, pytest-qt would end the whole run; its tests skip then."""
    if why_no_qt() is not None:
        pluginmanager.unregister(name="pytest-qt")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240501)


@pytest.fixture
def zoo_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of tiny models, searched before the shipped one: rgb-leaky and gray-leaky (5 × 5 means) and
    identity."""
    folder = tmp_path / "zoo"
    models.write_blur(folder / "rgb-leaky", channels=3)
    models.write_blur(folder / "gray-leaky", channels=1)
    models.write_identity(folder / "identity", channels=3)
    monkeypatch.setenv("FOLDERDENOISE_MODELS", str(folder))
    return folder


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder with two noisy pictures, one of them in a folder of its own."""
    folder = tmp_path / "scans"
    pictures.save(folder / "a.png", pictures.noisy(pictures.scene(), 20))
    pictures.save(folder / "box" / "b.tif", pictures.noisy(pictures.scene(channels=1), 20))
    return folder


@pytest.fixture
def opener(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    """Opens windows of one user, who says yes to every question."""
    from PySide6.QtWidgets import QMessageBox

    from .windows import Opener

    monkeypatch.setattr(QMessageBox, "question", lambda *arguments: QMessageBox.StandardButton.Yes)
    opener = Opener(qtbot, tmp_path / "settings.ini")
    yield opener
    opener.close()


@pytest.fixture
def window(opener: Opener) -> Window:
    return opener()


@pytest.fixture
def order(tmp_path: Path, zoo_dir: Path) -> Order:
    """Three good images, one of them gray, and one bad, all done once."""
    from folderdenoise.order import Order

    from .running import again

    pictures.save(tmp_path / "in" / "a.png", pictures.noisy(pictures.scene(), 20))
    pictures.save(tmp_path / "in" / "b.png", pictures.noisy(pictures.scene(seed=2), 20))
    pictures.save(tmp_path / "in" / "gray.png", pictures.noisy(pictures.scene(channels=1), 20))
    (tmp_path / "in" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    order = Order(tmp_path / "in", tmp_path / "out", precision="f32")
    assert again(order).files == {"a.png": "done", "b.png": "done", "gray.png": "done", "bad.png": "failed"}
    (tmp_path / "in" / "bad.png").unlink()
    return order
