"""What the workers of a test's cluster load first, so that files do to them what no file in the repository does.

A file named ``poison...`` ends its worker, whenever it is met. A file named ``hold...`` stops its worker for ever when
its result is half-written, the first time: the worker's process id is then in a file of the same name with ``.held``.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from folderdenoise import batch, images, pages
from folderdenoise.batch import Outcome, Settings
from folderdenoise.engine import Denoiser
from folderdenoise.folder import Task

_process_file = batch.process_file
_write = images.write
_source = threading.local()


def process_file(task: Task, denoiser: Denoiser, settings: Settings) -> Outcome:
    if task.source.name.startswith("poison"):
        os._exit(1)
    _source.path = task.source
    return _process_file(task, denoiser, settings)


def write(file: images.ImageFile, path: Path) -> None:
    _write(file, path)
    held = _source.path.with_suffix(".held")
    if held.name.startswith("hold") and not held.exists():
        path.write_bytes(path.read_bytes()[:99])
        aside = held.with_suffix(".aside")
        aside.write_text(str(os.getpid()))
        aside.rename(held)
        threading.Event().wait()


def dask_setup(worker: object) -> None:
    batch.process_file = process_file
    pages.images.write = write
