"""What the tests of several rooms share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from . import models


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
