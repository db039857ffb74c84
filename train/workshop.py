"""From a recipe to a model folder: data, training, export, and figures for the card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from folderdenoise.errors import UsageError
from train import export, loading
from train.datasets import PairedSource, Source
from train.fit import Progress, fit, use_averages
from train.recipes import Recipe
from train.start import load_start

# What a photograph-sized window of a small image set amounts to: parity and overlap want more than 28 pixels.
_PROBE_SIDE = 512
_PAIR_PATCH = 64


@dataclass(frozen=True)
class Places:
    """Where things are: training data, and the folders that ``NAME/`` is written into."""

    data: Path | None
    noisy: Path | None
    clean: Path | None
    out: Path
    runs: Path


def fit_and_export(
    recipe: Recipe,
    places: Places,
    minutes: float | None,
    epochs: int | None,
    resume: bool,
    command: str,
    start: Path | None = None,
    mixed_bfloat16: bool = True,
) -> Path:
    """Train ``recipe`` to its end, from ``start`` if it is given, and export it; returns the model's folder."""
    source = _source(recipe, places)
    run = places.runs / recipe.name
    model = fit(
        recipe,
        source,
        run,
        minutes=minutes,
        epochs=epochs,
        resume=resume,
        mixed_bfloat16=mixed_bfloat16,
        command=command,
        start=start,
    )
    return _export(recipe, model, source, places, run)


def export_checkpoint(recipe: Recipe, places: Places, average: Path | None = None, command: str = "") -> Path:
    """Export the latest checkpoint of a run, with the averaged weights where the schedule keeps them.

    With ``average``, an exported U-Net, each weight is the mean of both models': of one that was fine-tuned and the one
    it was started from the mean is often better than either (M. Wortsman et al.: Model soups, ICML 2022,
    https://arxiv.org/abs/2203.05482). ``command`` is then added to what the card says. Raises :class:`UsageError` where
    there is no checkpoint, or ``average`` is no such model.
    """
    run = places.runs / recipe.name
    if not (run / "checkpoint.keras").is_file():
        raise UsageError(f"{run}: holds no checkpoint.keras: train first, or name the right folder with --runs")
    source = _source(recipe, places)
    model = keras.models.load_model(run / "checkpoint.keras")
    use_averages(model)
    if average is None:
        return _export(recipe, model, source, places, run)
    other = recipe.network.build()
    load_start(other, recipe, average)
    both = zip(model.get_weights(), other.get_weights(), strict=True)
    model.set_weights([(mine + its) / 2 for mine, its in both])
    return _export(recipe, model, source, places, run, command)


def _source(recipe: Recipe, places: Places) -> Source:
    if (places.noisy is None) != (places.clean is None):
        raise UsageError("--noisy and --clean belong together: name both folders")
    if places.noisy is not None and places.clean is not None:
        pairs = loading.load_pairs(places.noisy, places.clean, recipe.network.channels, _PAIR_PATCH)
        return PairedSource(pairs, max(1, len(pairs) // 10), recipe.batch_size, _PAIR_PATCH, recipe.seed)
    return recipe.data.load(places.data, recipe.noise, recipe.batch_size, recipe.seed)


def _export(recipe: Recipe, model: keras.Model, source: Source, places: Places, run: Path, command: str = "") -> Path:
    progress = Progress(**json.loads((run / "progress.json").read_text(encoding="utf-8")))
    licence, noise = _provenance(recipe, places)
    facts = export.TrainingFacts(
        "; ".join(part for part in (progress.command, command) if part),
        progress.earlier_seconds + progress.seconds,
        progress.earlier_megapixels + progress.pixels / 1e6,
        source.description,
        licence,
        noise,
        _mean_shift(source),
    )
    folder = places.out / recipe.name
    export.export(model, recipe, folder, facts, probes(source))
    return folder


def _provenance(recipe: Recipe, places: Places) -> tuple[str, str]:
    """The licence of the training images and the noise on them, as far as anybody said."""
    if places.noisy is not None and places.clean is not None:
        return loading.stated_licence(places.clean), "that of the pairs of files"
    if recipe.training_data_licence is not None or places.data is None:
        return recipe.training_data_licence or "not stated", recipe.noise_words
    return loading.stated_licence(places.data), recipe.noise_words


def _mean_shift(source: Source) -> float:
    """How far real pairs differ in their mean, at most: stains do, noise of mean zero does not."""
    if not isinstance(source, PairedSource):
        return 0.0
    clean, noisy = source.validation()
    return float(np.abs((clean - noisy).mean(axis=(1, 2))).max())


def probes(source: Source) -> list[NDArray[np.uint8]]:
    """Images large enough to measure an overlap on: the held-out ones, small ones tiled by mirroring."""
    clean, _ = source.validation()
    probes = []
    for image in clean[:12]:
        pad = [max(0, _PROBE_SIDE - length) for length in image.shape[:2]]
        mirrored = np.pad(image, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="symmetric")
        probes.append(np.rint(mirrored * 255).astype(np.uint8))
    return probes
