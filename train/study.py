"""``python -m train study``: the three studies from their settings to ``STUDY.md``, in as many sittings as it takes.

Every training run is a unit whose result is stored; what is stored is not done again. First the grids and the first
study, then, in the settings that the grids have chosen, the second and the third.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import keras

from folderdenoise.errors import FolderDenoiseError, UsageError
from train import cards, export, study_report, studydata, workshop
from train.datasets import ArraySource
from train.findings import Findings, grid_units
from train.studies import GRIDS, MODELS, PARTS, Grid, Model, Unit
from train.units import Places, Result, finished, train_and_measure

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sitting:
    """How to work: ``jobs`` runs at once, and none begun once ``minutes`` have passed (None: no limit)."""

    jobs: int = 1
    minutes: float | None = None


def study(places: Places, parts: Sequence[str], quick: bool, sitting: Sitting) -> Path:
    """Do what is missing of ``parts`` (all if empty), export the models that are done, and write the report.

    Returns the path of ``STUDY.md``, which tells of everything stored so far. With ``quick`` every run is one pass over
    a few images, and nothing is exported. Raises :class:`UsageError` if a part needs images that are not there.
    """
    models, grids = _selected(places, parts)
    deadline = None if sitting.minutes is None else time.monotonic() + 60.0 * sitting.minutes
    findings = Findings(places.runs, quick)
    first = [one for grid in grids for one in grid_units(grid, quick)]
    first += [one for model in models if model.setting for one in findings.units(model)]
    _work(first, places, sitting.jobs, deadline)
    findings = Findings(places.runs, quick)
    for grid in grids:
        log.info(
            "study %d: %s", grid.study, findings.chosen[grid.study] or "no setting chosen yet: its grid is not done"
        )
    _work([one for model in models for one in findings.units(model)], places, sitting.jobs, deadline)
    if not quick:
        for model in models:
            if model.ships:
                export_once(model, findings, places)
    return study_report.write(findings, places, quick)


def _selected(places: Places, parts: Sequence[str]) -> tuple[list[Model], list[Grid]]:
    """The models of ``parts``, and the grids that they need or that were named."""
    wanted = set(parts or PARTS)
    if studydata.photos(places.data) is None:
        third = {model.part for model in MODELS.values() if model.study == 3} | {"grid-3"}
        if parts and wanted & third:
            raise UsageError(f"{', '.join(sorted(wanted & third))}: put a folder of images at photos/ below --data DIR")
        if not parts:
            log.warning("study 3 is left out: it needs a folder of images at photos/ below --data DIR")
        wanted -= third
    models = [model for model in MODELS.values() if model.part in wanted]
    needed = {model.study for model in models}
    return models, [grid for grid in GRIDS if grid.part in wanted or grid.study in needed]


def _work(units: Sequence[Unit], places: Places, jobs: int, deadline: float | None) -> None:
    """Do those of ``units`` that are not done yet."""
    missing = list({one.key: one for one in units if finished(one, places.runs) is None}.values())

    def is_over() -> bool:
        return deadline is not None and time.monotonic() >= deadline

    if jobs == 1:
        for index, one in enumerate(missing):
            if is_over():
                break
            log.info("%s (%d of %d)", one.key, index + 1, len(missing))
            train_and_measure(one, places)
        return
    pending: set[Future[None]] = set()
    # Not forked: a copy of a process in which TensorFlow has run hangs.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(jobs, context, _share_cores, (jobs,)) as pool:
            for index, one in enumerate(missing):
                if len(pending) == jobs:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                if is_over():
                    break
                log.info("%s (%d of %d)", one.key, index + 1, len(missing))
                pending.add(pool.submit(train_and_measure, one, places))
            for future in pending:
                future.result()
    except BrokenProcessPool as error:
        raise FolderDenoiseError(
            "a training process was killed, out of memory perhaps: run the command again, with fewer --jobs; "
            "what is finished is kept"
        ) from error


def _share_cores(jobs: int) -> None:
    """In a worker: as many threads as its share. TensorFlow asks for them when it first computes."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = threads


def export_once(model: Model, findings: Findings, places: Places) -> None:
    """Put the first seed of ``model``, never the best one, into ``places.out``, unless it is there already."""
    result = findings.results(model).get(1)
    if result is None:
        return
    one = findings.units(model)[0]
    run = places.runs / one.key
    marker, folder = run / "exported.txt", places.out / model.name
    if marker.is_file() and marker.read_text(encoding="utf-8") == _graph_hash(folder):
        return
    images = studydata.load(places.data, one.setting.data, one.setting.side)
    recipe = one.recipe
    source = ArraySource(images.train, images.held_out, recipe.noise, recipe.batch_size, recipe.seed, images.words)
    facts = export.TrainingFacts(
        f"python -m train study --only {model.part} --data data",
        result.seconds,
        result.megapixels,
        result.data,
        images.licence,
        recipe.noise_words,
    )
    trained = keras.models.load_model(run / "model.keras", compile=False)
    export.export(trained, recipe, folder, facts, workshop.probes(source))
    cards.record_metric(folder, _metric(one, result, facts.command))
    marker.write_text(_graph_hash(folder), encoding="utf-8")
    log.info("wrote %s", folder)


def _graph_hash(folder: Path) -> str:
    """What the card in ``folder`` says of its graph; empty without a card."""
    card = folder / "card.json"
    return str(json.loads(card.read_text(encoding="utf-8"))["sha256"]) if card.is_file() else ""


def _metric(one: Unit, result: Result, command: str) -> dict[str, str | int | float]:
    """The figures of ``result`` as a card keeps them."""
    figures: dict[str, str | int | float] = {
        "test_set": str(one.setting).split(",")[0] + ", test part",
        "noise": one.recipe.noise_words,
        "protocol": "clipped, not rounded",
        "images": result.test_images,
    }
    for metric, digits in (("psnr", 2), ("ssim", 4), ("mae", 5), ("mse", 6)):
        figures[f"{metric}_noisy"] = round(result.noisy[metric], digits)
        figures[metric] = round(result.figures[metric], digits)
    return figures | {"command": command}
