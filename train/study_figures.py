"""The report's figures: which are drawn of which run, and how the report shows them."""

from __future__ import annotations

import csv

import numpy as np

from train import plots
from train.findings import Findings
from train.studies import MODELS, Model
from train.studydata import METRICS
from train.units import Places

FIGURES = "study"
OVERVIEW = f"![All models before and after]({FIGURES}/comparison.png)"


def draw_all(findings: Findings, places: Places) -> list[Model]:
    """Draw every figure that there are results for into ``places.out``; the models that have some."""
    done = [model for model in MODELS.values() if findings.results(model)]
    for model in done:
        _draw(model, findings, places)
    if done:
        rows = [(model.name, *before_and_after(model, findings)) for model in done]
        plots.comparison(places.out / FIGURES / "comparison.png", rows)
    return done


def before_and_after(model: Model, findings: Findings) -> tuple[dict[str, float], dict[str, float]]:
    """Mean figures over the seeds: of the noisy images, and of the denoised ones."""
    results = list(findings.results(model).values())
    before = {metric: float(np.mean([one.noisy[metric] for one in results])) for metric in METRICS}
    return before, {metric: float(np.mean([one.figures[metric] for one in results])) for metric in METRICS}


def _draw(model: Model, findings: Findings, places: Places) -> None:
    """Triplets and distributions of the first seed that is done, loss curves of all."""
    units = {one.recipe.seed: places.runs / one.key for one in findings.units(model)}
    done = {seed: units[seed] for seed in findings.results(model)}
    first = next(iter(done.values()))
    title = f"{model.name}: {findings.setting(model)}"
    folder = places.out / FIGURES
    with np.load(first / "samples.npz") as samples:
        plots.triplets(
            folder / f"{model.name}-triplets.png", title, samples["clean"], samples["noisy"], samples["denoised"]
        )
    with np.load(first / "scores.npz") as scores:
        plots.distributions(folder / f"{model.name}-distributions.png", title, dict(scores))
    histories = {}
    for seed, run in done.items():
        with (run / "history.csv").open(newline="", encoding="utf-8") as file:
            histories[f"seed {seed}"] = [_loss(row) for row in csv.DictReader(file)]
    plots.curves(folder / f"{model.name}-curves.png", f"{title}, loss: {model.recipe.loss}", histories)


def _loss(row: dict[str, str]) -> dict[str, str]:
    """A row of ``history.csv`` with the loss of the images alone, without that of a U-Net's noise level."""
    losses = {name: row.get(name.replace("loss", "denoised_loss"), row[name]) for name in ("loss", "val_loss")}
    return {"epoch": row["epoch"], **losses}


def pictures(model: Model, findings: Findings) -> str:
    """The figures of ``model`` in Markdown, paths relative to the report."""
    kinds = {"triplets": "the first test images", "curves": "loss", "distributions": "PSNR and SSIM before and after"}
    lines = [f"### `{model.name}`: {findings.setting(model)}"]
    lines += [f"![{model.name}: {words}]({FIGURES}/{model.name}-{kind}.png)" for kind, words in kinds.items()]
    return "\n\n".join(lines)
