"""What the stored runs of the studies amount to: settings chosen, goals reached or not, claims tested.

Nothing here trains or draws; everything is worked out from the results on disk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from train import statistics
from train.statistics import Difference
from train.studies import (
    GRIDS,
    LOWER_IS_BETTER,
    MODELS,
    QUICK_SEEDS,
    Claim,
    Goal,
    Grid,
    Model,
    Setting,
    Unit,
    unit,
)
from train.units import Result, finished


@dataclass(frozen=True)
class Tried:
    """One setting of a grid: its simple model's result, and how far that is from what the study reported."""

    unit: Unit
    result: Result
    distance: float


@dataclass(frozen=True)
class Comparison:
    """Means over the same seeds of two models, and by how much the second lies above the first."""

    before: float
    after: float
    absolute: Difference
    percent: Difference


@dataclass(frozen=True)
class Verdict:
    """A goal beside what was measured: the mean over ``seeds`` runs."""

    model: Model
    goal: Goal
    setting: Setting | None
    reach: float | None
    measured: float | None
    seeds: int

    @property
    def words(self) -> str:
        if self.measured is None or self.reach is None:
            return "not measured yet"
        missing = self.measured - self.reach
        if self.goal.metric not in LOWER_IS_BETTER:
            missing = -missing
        reached = missing < 0 if self.goal.above else missing <= 0
        if not reached:  # also when something diverged to NaN
            return f"**fell short** by {abs(missing):.3g}{' dB' if self.goal.metric == 'psnr' else ''}"
        if self.goal.aim is None:
            return "reached"
        gained = (
            self.measured <= self.goal.aim if self.goal.metric in LOWER_IS_BETTER else self.measured >= self.goal.aim
        )
        return "reached, and the aim" if gained else "reached, not the aim"


def grid_units(grid: Grid, quick: bool) -> list[Unit]:
    """The simple model in every setting of ``grid``, first seed."""
    return [unit(MODELS[grid.model], setting, 1, quick) for setting in (grid.quick if quick else grid.settings)]


def distance(figures: dict[str, float], noisy: dict[str, float], goals: tuple[Goal, ...]) -> float:
    """How badly a setting fits a study: 0 if its simple model has exactly the reported figures.

    Every figure is taken as an error e in decibels (−PSNR, 10 lg MSE, 10 lg (1 − SSIM)), so that none needs a weight.
    The distance is √(Σ (e_simple − e_study)² + Σ max(0, e_study − e_noisy)²) over the study's figures of its simple
    model. The studies give none for the noisy images; the second sum counts against a setting whose images are, before
    any training, better than the study's were after it. A simple model that is better than the study's is as far off
    as one that is worse.
    """
    total = 0.0
    for goal in goals:
        if goal.study is None:
            continue
        study = _decibels(goal.metric, goal.study)
        total += (_decibels(goal.metric, figures[goal.metric]) - study) ** 2
        total += max(0.0, study - _decibels(goal.metric, noisy[goal.metric])) ** 2
    return math.sqrt(total)


def _decibels(metric: str, value: float) -> float:
    if metric == "psnr":
        return -value
    return 10 * math.log10(1 - value if metric == "ssim" else value)


class Findings:
    """The stored results below ``runs``, of the full study or of the ``quick`` one."""

    def __init__(self, runs: Path, quick: bool) -> None:
        self._runs, self._quick = runs, quick
        self.grids = {grid.study: self._tried(grid) for grid in GRIDS}
        self.chosen = {grid.study: self._choose(grid) for grid in GRIDS}

    def units(self, model: Model) -> list[Unit]:
        """The runs of ``model``; none while its setting is not chosen."""
        setting = self.setting(model)
        seeds = range(1, 1 + (min(model.seeds, QUICK_SEEDS) if self._quick else model.seeds))
        return [unit(model, setting, seed, self._quick) for seed in seeds] if setting else []

    def setting(self, model: Model) -> Setting | None:
        return model.setting or self.chosen[model.study]

    def results(self, model: Model) -> dict[int, Result]:
        """Finished runs of ``model`` by seed."""
        found = {one.recipe.seed: finished(one, self._runs) for one in self.units(model)}
        return {seed: result for seed, result in found.items() if result is not None}

    def mean(self, model: Model, metric: str) -> float | None:
        """Mean of a figure over the seeds of ``model``."""
        values = [result.figures[metric] for result in self.results(model).values()]
        return sum(values) / len(values) if values else None

    def verdicts(self) -> list[Verdict]:
        """One a goal, in the order of the studies."""
        return [self._verdict(model, goal) for model in MODELS.values() for goal in model.goals]

    def compare(self, claim: Claim, metric: str) -> Comparison | None:
        """Over the seeds that both models have; None with fewer than two."""
        first, second = self.results(MODELS[claim.first]), self.results(MODELS[claim.second])
        seeds = sorted(first.keys() & second.keys())
        if len(seeds) < 2:
            return None
        before, after = ([results[seed].figures[metric] for seed in seeds] for results in (first, second))
        return Comparison(
            sum(before) / len(seeds),
            sum(after) / len(seeds),
            statistics.difference(before, after),
            statistics.percent(before, after),
        )

    def _verdict(self, model: Model, goal: Goal) -> Verdict:
        reach = self.mean(MODELS[goal.above], goal.metric) if goal.above else goal.study
        seeds = len(self.results(model))
        return Verdict(model, goal, self.setting(model), reach, self.mean(model, goal.metric), seeds)

    def _tried(self, grid: Grid) -> list[Tried]:
        tried = []
        for one in grid_units(grid, self._quick):
            result = finished(one, self._runs)
            if result is not None:
                tried.append(Tried(one, result, distance(result.figures, result.noisy, grid.goals)))
        return tried

    def _choose(self, grid: Grid) -> Setting | None:
        """The setting that fits best, once all have been tried: no choice from a part of the grid."""
        tried = self.grids[grid.study]
        if len(tried) < len(grid_units(grid, self._quick)):
            return None
        return min(tried, key=lambda one: one.distance).unit.setting
