"""One training run of a study: trained, measured, and stored so that it need not be done again.

A finished run is ``runs/KEY/`` with ``result.json`` (written last), ``model.keras``, ``history.csv``, ``scores.npz``
(per test image, before and after) and ``samples.npz`` (the first test images). One that was cut short has no
``result.json`` and is begun anew: a run must not depend on interruptions.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import keras
import numpy as np

from train import export, studydata
from train.architectures import kmac_per_pixel
from train.datasets import ArraySource
from train.fit import Progress, fit
from train.noise import Batch
from train.studies import Unit
from train.studydata import Floats

log = logging.getLogger(__name__)
SAMPLES = 4


@dataclass(frozen=True)
class Places:
    """Where the images are, where the runs are kept, and where the models and the report go."""

    data: Path | None
    runs: Path
    out: Path


@dataclass(frozen=True)
class Result:
    """What a finished run is kept as. ``figures`` and ``noisy`` are means over the test images."""

    figures: dict[str, float]
    noisy: dict[str, float]
    test_images: int
    parameters: int
    kmac_per_pixel: float
    seconds: float
    wall_seconds: float
    passes: int
    megapixels: float
    data: str
    finished: str
    hardware: str
    settings: dict[str, str]


class PaddedSource:
    """A source whose images are padded at the right and bottom, by mirroring, to a multiple: as tiles are."""

    def __init__(self, source: ArraySource, multiple: int) -> None:
        self._source, self._multiple = source, multiple
        self.steps_per_epoch, self.description = source.steps_per_epoch, source.description

    def batch(self, step: int, progress: float) -> Batch:
        clean, noisy = self._source.batch(step, progress)
        return _padded(clean, self._multiple), _padded(noisy, self._multiple)

    def validation(self) -> Batch:
        clean, noisy = self._source.validation()
        return _padded(clean, self._multiple), _padded(noisy, self._multiple)


def _padded(images: Floats, multiple: int) -> Floats:
    rows, columns = (-length % multiple for length in images.shape[1:3])
    return np.pad(images, ((0, 0), (0, rows), (0, columns), (0, 0)), mode="reflect")


def finished(unit: Unit, runs: Path) -> Result | None:
    """The stored result of ``unit``; None if there is none, or one of other settings."""
    path = runs / unit.key / "result.json"
    if not path.is_file():
        return None
    result = Result(**json.loads(path.read_text(encoding="utf-8")))
    return result if result.settings == unit.settings else None


def train_and_measure(unit: Unit, places: Places) -> None:
    """Train ``unit``, measure it on the test images and store the result."""
    began = time.monotonic()
    keras.backend.clear_session()
    folder = places.runs / unit.key
    if folder.exists():
        shutil.rmtree(folder)
    images = studydata.load(places.data, unit.setting.data, unit.setting.side)
    train = images.train[: unit.limit]
    network = unit.recipe.network
    arrays = ArraySource(
        train, images.held_out[: unit.limit], unit.recipe.noise, unit.recipe.batch_size, unit.recipe.seed, images.words
    )
    source = PaddedSource(arrays, network.size_multiple)
    passes = max(1, round(unit.megapixels * 1e6 / (len(train) * unit.setting.side**2)))
    model = fit(unit.recipe, source, folder, epochs=passes)
    model = export.deployable(model, network)
    test = studydata.test_set(places.data, unit.setting, unit.limit)
    denoised = _denoise(model, test.noisy, network.size_multiple)
    scores = studydata.score(denoised, test.clean)

    model.save(folder / "model.keras")
    (folder / "checkpoint.keras").unlink()
    np.savez_compressed(
        folder / "scores.npz",
        **{f"noisy_{name}": values for name, values in test.scores.items()},
        **scores,
    )
    np.savez_compressed(
        folder / "samples.npz", clean=test.clean[:SAMPLES], noisy=test.noisy[:SAMPLES], denoised=denoised[:SAMPLES]
    )
    progress = Progress(**json.loads((folder / "progress.json").read_text(encoding="utf-8")))
    result = Result(
        figures={name: float(values.mean()) for name, values in scores.items()},
        noisy={name: float(values.mean()) for name, values in test.scores.items()},
        test_images=len(test.clean),
        parameters=int(model.count_params()),
        kmac_per_pixel=round(kmac_per_pixel(model), 2),
        seconds=round(progress.seconds, 1),
        wall_seconds=round(time.monotonic() - began, 1),
        passes=progress.epoch,
        megapixels=round(progress.step * unit.recipe.batch_size * unit.setting.side**2 / 1e6, 1),
        data=images.words,
        finished=date.today().isoformat(),
        hardware=f"{os.cpu_count()} CPU cores",
        settings=unit.settings,
    )
    aside = folder / "result.new.json"
    aside.write_text(json.dumps(asdict(result), indent=2), encoding="utf-8")
    aside.replace(folder / "result.json")


def _denoise(model: keras.Model, noisy: Floats, multiple: int) -> Floats:
    """The output for all of ``noisy``, clipped to [0, 1] and not rounded."""
    height, width = noisy.shape[1:3]
    batch = max(1, 2**18 // (height * width))
    answer: Any = model.predict(_padded(noisy, multiple), batch_size=batch, verbose=0)
    return np.clip(answer["denoised"][:, :height, :width], 0.0, 1.0)
