"""The studies' statistics, the choice of settings, and verdicts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("tensorflow", reason="training needs the extra 'train': pip install '.[train]'")


from train import findings, statistics, studies, study_report, units
from train.architectures import UNet, kmac_per_pixel
from train.findings import Findings
from train.studies import CLAIMS, GRIDS, MODELS, Goal, Setting, Unit

# ------------------------------------------------------------------------------------------------------ statistics


def test_the_interval_is_that_of_the_paired_t_test(rng: np.random.Generator) -> None:
    first, second = rng.normal(0.9, 0.01, 5), rng.normal(0.92, 0.02, 5)
    found = statistics.difference(first.tolist(), second.tolist())
    interval = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-12)
    assert found.mean == pytest.approx(second.mean() - first.mean())
    assert found.pairs == 5


def test_the_interval_of_known_values() -> None:
    # Differences 1, 2, 3: mean 2, deviation 1, and t is 4.302653 for two degrees of freedom.
    found = statistics.difference([0.0, 0.0, 0.0], [1.0, 2.0, 3.0])
    assert (found.low, found.high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))
    assert not found.is_shown
    assert statistics.difference([0.0, 0.0], [-1.0, -1.01]).is_shown


def test_percent_is_taken_seed_by_seed() -> None:
    found = statistics.percent([1.0, 2.0], [1.1, 2.4])
    assert found.mean == pytest.approx(15.0)


@pytest.mark.parametrize("pair", [([1.0], [2.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_too_few_or_unequal_seeds_give_no_interval(pair: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="two sequences of one length"):
        statistics.difference(*pair)


# ------------------------------------------------------------------------------------- settings, goals and verdicts


def store(
    runs: Path, one: Unit, figures: dict[str, float], noisy: dict[str, float] | None = None, **others: object
) -> None:
    """A stored result without the run behind it."""
    bad = {"psnr": 9.0, "ssim": 0.2, "mae": 0.2, "mse": 0.1}
    result = units.Result(
        figures=bad | figures, noisy=bad | (noisy or {}), test_images=10, parameters=1, kmac_per_pixel=1.0, seconds=1.0,
        wall_seconds=2.0, passes=1, megapixels=1.0, data="none", finished="2026-01-01", hardware="2 CPU cores",
        settings=one.settings,
    )  # fmt: skip
    folder = runs / one.key
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(vars(result) | others))


def store_grid(runs: Path, study_number: int, figures: Callable[[Setting], dict[str, float]]) -> None:
    (grid,) = (grid for grid in GRIDS if grid.study == study_number)
    for one in findings.grid_units(grid, quick=False):
        store(runs, one, figures(one.setting))


def test_a_better_simple_model_is_as_far_off_as_a_worse_one() -> None:
    goals = (Goal("psnr", 20.0), Goal("ssim", 0.9), Goal("mse", 0.01))
    noisy = {"psnr": 10.0, "ssim": 0.1, "mse": 0.1}
    assert findings.distance({"psnr": 20.0, "ssim": 0.9, "mse": 0.01}, noisy, goals) == pytest.approx(0.0)
    better = findings.distance({"psnr": 23.0, "ssim": 0.9, "mse": 0.001}, noisy, goals)
    worse = findings.distance({"psnr": 17.0, "ssim": 0.9, "mse": 0.1}, noisy, goals)
    assert better == pytest.approx(worse) == pytest.approx(math.hypot(3, 10))
    # 1 - SSIM halved is 3.01 dB.
    assert findings.distance({"psnr": 20.0, "ssim": 0.95, "mse": 0.01}, noisy, goals) == pytest.approx(3.0103, abs=1e-3)


def test_noisy_images_better_than_the_studys_result_count_against_a_setting() -> None:
    goals = (Goal("psnr", 20.0),)
    assert findings.distance({"psnr": 20.0}, {"psnr": 22.0}, goals) == pytest.approx(2.0)


def test_the_nearest_setting_is_chosen_not_the_most_flattering(tmp_path: Path) -> None:
    near = Setting("fashion-mnist", 28, 0.4)

    def figures(setting: Setting) -> dict[str, float]:
        return {"psnr": 20.4, "ssim": 0.75} if setting == near else {"psnr": 25.0, "ssim": 0.95}

    store_grid(tmp_path, 2, figures)
    found = Findings(tmp_path, quick=False)
    assert found.chosen == {2: near, 3: None}
    assert {one.setting for one in found.units(MODELS["gray-deep"])} == {near}
    assert len(found.units(MODELS["gray-deep"])) >= 3
    assert found.units(MODELS["rgb-relu"]) == []
    assert study_report.choice(GRIDS[0], found) == f"Chosen: {near}."


def test_a_chosen_setting_that_does_not_fit_is_told(tmp_path: Path) -> None:
    store_grid(tmp_path, 2, lambda _: {"psnr": 25.0, "ssim": 0.7554})
    told = study_report.choice(GRIDS[0], Findings(tmp_path, quick=False))
    assert "Even that is 4.4 dB off" in told


def test_nothing_is_chosen_from_a_part_of_the_grid(tmp_path: Path) -> None:
    store_grid(tmp_path, 2, lambda _: {"psnr": 20.6, "ssim": 0.75})
    assert Findings(tmp_path, quick=False).chosen[2] is not None
    (tmp_path / findings.grid_units(GRIDS[0], quick=False)[-1].key / "result.json").unlink()
    assert Findings(tmp_path, quick=False).chosen[2] is None


@pytest.mark.parametrize(
    ("mae", "words"),
    [
        (0.03271, "**fell short** by 1e-05"),
        (0.0327, "reached, not the aim"),
        (0.0279, "reached, and the aim"),
        (math.nan, "**fell short** by nan"),
    ],
)
def test_a_row_says_what_was_measured(tmp_path: Path, mae: float, words: str) -> None:
    model = MODELS["gray-mnist"]
    store(tmp_path, studies.unit(model, model.setting, 1, quick=False), {"mae": mae})
    verdict = next(one for one in Findings(tmp_path, quick=False).verdicts() if one.model is model)
    assert (verdict.reach, verdict.words) == (0.0327, words)


def test_the_mean_over_seeds_decides_and_a_missing_run_says_so(tmp_path: Path) -> None:
    store_grid(tmp_path, 2, lambda _: {"psnr": 20.63, "ssim": 0.7554})
    found = Findings(tmp_path, quick=False)
    for one, psnr in zip(found.units(MODELS["gray-deep"]), (24.0, 22.0, 20.0), strict=True):
        store(tmp_path, one, {"psnr": psnr, "ssim": 0.9})
    for one in found.units(MODELS["gray-hybrid"]):
        store(tmp_path, one, {"psnr": 20.9, "ssim": 0.7771})
    verdicts = {(one.model.name, one.goal): one for one in found.verdicts()}
    words = {(name, goal.metric, goal.above): one.words for (name, goal), one in verdicts.items()}
    assert words["gray-deep", "psnr", None] == "**fell short** by 0.7 dB"
    assert words["gray-deep", "ssim", None] == "reached"
    assert words["gray-hybrid", "psnr", None] == "reached, not the aim"
    assert words["gray-hybrid", "ssim", "gray-mse"] == "reached"
    assert words["rgb-cifar", "mae", None] == "not measured yet"
    change = found.compare(CLAIMS[-1], "ssim")
    assert change is not None
    assert change.absolute.mean == pytest.approx(0.9 - 0.7771)
    assert found.compare(CLAIMS[0], "ssim") is None


def test_what_is_compared_are_the_seeds_that_both_models_have(tmp_path: Path) -> None:
    store_grid(tmp_path, 2, lambda _: {"psnr": 20.63, "ssim": 0.7554})
    found = Findings(tmp_path, quick=False)
    for one, ssim in zip(found.units(MODELS["gray-hybrid"])[:2], (0.6, 0.7), strict=True):
        store(tmp_path, one, {"psnr": 20.0, "ssim": ssim})
    for one, ssim in zip(found.units(MODELS["gray-deep"]), (0.7, 0.8, 0.99), strict=True):
        store(tmp_path, one, {"psnr": 22.0, "ssim": ssim})
    (line,) = (line for line in study_report._claims(found).splitlines() if "`gray-deep` | SSIM" in line)
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[3:7] == ["0.6500 → 0.7500", "+0.10000 [+0.10000, +0.10000]", cells[5], "2"]
    # Decibels are a ratio already: a percentage of them means nothing.
    (line,) = (line for line in study_report._claims(found).splitlines() if "`gray-deep` | PSNR" in line)
    assert "%" not in line


def test_a_card_names_the_size_that_its_model_was_trained_at() -> None:
    for side in (128, 256):
        one = studies.unit(MODELS["rgb-relu"], Setting("photos", side, 0.1), 1, quick=False)
        assert f"resized to {side}×{side}" in one.recipe.summary


def test_equal_to_the_other_model_is_not_above_it(tmp_path: Path) -> None:
    store_grid(tmp_path, 2, lambda _: {"psnr": 20.63, "ssim": 0.78})
    found = Findings(tmp_path, quick=False)
    store(tmp_path, found.units(MODELS["gray-hybrid"])[0], {"ssim": 0.78})
    above = next(one for one in found.verdicts() if one.goal.above)
    assert "fell short" in above.words


def test_what_an_interval_lets_one_conclude() -> None:
    up = statistics.Difference(0.01, 0.005, 0.015, 5)
    wide = statistics.Difference(0.01, -0.005, 0.025, 5)
    assert study_report.conclusion(up, up, "ssim", 0.014) == "better; the study's figure is inside the interval"
    assert study_report.conclusion(up, up, "mse", 0.2) == "**worse**; the study's figure is outside the interval"
    assert study_report.conclusion(wide, wide, "ssim", None) == "no difference shown"


def test_a_result_of_other_settings_does_not_count(tmp_path: Path) -> None:
    model = MODELS["gray-mnist"]
    one = studies.unit(model, model.setting, 1, quick=False)
    store(tmp_path, one, {}, settings=one.settings | {"batch_size": "7"})
    assert units.finished(one, tmp_path) is None


def test_what_is_compared_differs_in_one_thing_and_siblings_cost_less() -> None:
    relu, leaky = (studies.unit(MODELS[name], Setting("photos", 256, 0.1), 2, quick=False) for name in
                   ("rgb-relu", "rgb-leaky"))  # fmt: skip
    differing = {key for key in relu.settings if relu.settings[key] != leaky.settings[key]}
    assert differing == {"network"}
    assert leaky.settings["network"].replace("'leaky'", "'relu'") == relu.settings["network"]
    for sibling in MODELS.values():
        for original in sibling.sibling_of:
            network = sibling.recipe.network
            assert isinstance(network, UNet)
            ours, theirs = network.build(), MODELS[original].recipe.network.build()
            assert kmac_per_pixel(ours) < kmac_per_pixel(theirs)
