"""What the tests of several rooms share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from . import models

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
