"""A file through process_file: what became of it, and where its result is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from folderdenoise.batch import Outcome, Settings, process_file
from folderdenoise.engine import Denoiser
from folderdenoise.folder import Task

from .cases import RGB

SHARED = Path(__file__).parents[2] / "shared" / "data" / "files"


def denoised(source: Path, settings: Settings | None = None, output: str | None = None) -> tuple[Outcome, Path]:
    """The outcome of a file, and where its result is."""
    out = source.parent / "out"
    out.mkdir(exist_ok=True)
    task = Task(source, source.name, out / (output or source.name))
    return process_file(task, Denoiser(precision="f32"), settings or Settings()), task.output


def done(source: Path, settings: Settings | None = None, output: str | None = None) -> Path:
    """The result of a file that must give one."""
    outcome, result = denoised(source, settings, output)
    assert outcome.status == "done", outcome.notes
    return result


def frames(kind: str, path: Path, **options: Any) -> None:
    """Three frames that differ, each shown for its own time."""
    steps = [Image.fromarray(np.roll(RGB, 9 * i, axis=1)) for i in range(3)]
    steps[0].save(path, kind, save_all=True, append_images=steps[1:], duration=[80, 120, 200], loop=4, **options)
