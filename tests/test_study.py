"""The studies: statistics, the choice of settings, verdicts, figures, and a quick study from end to end."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from scipy import stats

pytest.importorskip("tensorflow", reason="training needs the extra 'train': pip install folderdenoise[train]")

import matplotlib

from folderdenoise.engine import Denoiser
from train import findings, plots, statistics, studies, study, study_figures, study_report, studydata, units
from train.architectures import UNet, kmac_per_pixel
from train.cli import main
from train.datasets import square
from train.findings import Findings
from train.studies import CLAIMS, GRIDS, MODELS, QUICK_IMAGES, Goal, Setting, Unit

from . import pictures

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


def rows(report: Path, name: str) -> list[list[str]]:
    """Rows of the first table of the report, of one model."""
    lines = report.read_text(encoding="utf-8").split("## Study by study")[1].split("\n## ")[0].splitlines()
    return [cells for line in lines if (cells := [cell.strip() for cell in line.split("|")[1:-1]])[:1] == [f"`{name}`"]]


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


# ---------------------------------------------------------------------------------------------------------- figures


def is_drawn(path: Path) -> bool:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    return min(pixels.shape) > 100 and np.ptp(pixels) > 100


@pytest.mark.parametrize("channels", [1, 3])
def test_plots_are_written_and_leave_matplotlib_alone(tmp_path: Path, rng: np.random.Generator, channels: int) -> None:
    before = dict(matplotlib.rcParams)
    clean, noisy, denoised = rng.random((3, 2, 16, 16, channels)).astype(np.float32)
    history = [{"epoch": str(i), "loss": str(1 / i), "val_loss": str(2 / i)} for i in (1, 2, 3)]
    scores = {name: rng.random(40) for name in ("psnr", "ssim", "noisy_psnr", "noisy_ssim")}
    figures = {"psnr": 20.0, "ssim": 0.5, "mae": 0.1}
    plots.triplets(tmp_path / "new" / "a.png", "a", clean, noisy, denoised)
    plots.curves(tmp_path / "b.png", "b", {"seed 1": history, "seed 2": history})
    plots.distributions(tmp_path / "c.png", "c", scores)
    plots.comparison(tmp_path / "d.png", [("one", figures, figures), ("two", figures, figures)])
    assert all(is_drawn(path) for path in (tmp_path / "new" / "a.png", *(tmp_path / f"{n}.png" for n in "bcd")))
    assert dict(matplotlib.rcParams) == before


# ----------------------------------------------------------------------------------------------------- a quick study


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny stand-ins for all four sets."""
    folder = tmp_path_factory.mktemp("data")
    for name, file, side, channels in (
        ("mnist", "mnist", 28, 1),
        ("fashion-mnist", "fashion_mnist", 28, 1),
        ("cifar10", "cifar10_subset", 32, 3),
    ):
        images = np.stack([pictures.scene(side, side, channels, seed) for seed in range(50)])
        (folder / name).mkdir()
        np.savez(folder / name / f"{file}.npz", x_train=images[:40], x_test=images[40:])
    (folder / "photos").mkdir()
    for seed in range(7):
        pictures.save(folder / "photos" / f"{seed}.png", pictures.scene(130, 140, 3, seed))
    return folder


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["study", *map(str, words)])


@pytest.fixture(scope="module")
def quick(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder of a quick study: the grid with two processes, then two parts that build on it."""
    runs = tmp_path_factory.mktemp("runs")
    common = ("--quick", "--data", data, "--runs", runs)
    first = run(*common, "--only", "grid-2", "--jobs", "2")
    assert first.exit_code == 0, first.output
    result = run(*common, "--only", "gray-hybrid", "--only", "rgb-relu")
    assert result.exit_code == 0, result.output
    return runs / "quick"


def test_a_quick_study_trains_measures_and_reports(quick: Path) -> None:
    found = Findings(quick, quick=True)
    for name in ("gray-hybrid", "gray-hybrid-mse", "gray-hybrid-unet", "rgb-relu"):
        results = found.results(MODELS[name])
        assert len(results) == min(MODELS[name].seeds, 2)
        assert all(0 < one.figures["mae"] < 1 for one in results.values())
    report = quick / "STUDY.md"
    text = report.read_text(encoding="utf-8")
    assert "quick run" in text
    assert str(found.chosen[2]) in text
    links = [line.split("(")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert len(links) == 1 + 3 * 5
    assert all(is_drawn(quick / link) for link in links)
    for metric, column in (("psnr", 0), ("ssim", 1)):
        mean = found.mean(MODELS["gray-hybrid"], metric)
        assert rows(report, "gray-hybrid")[column][6].startswith(f"{mean:.{(3, 5)[column]}f}")
    # Nothing trained for one pass over a few images comes near the studies, and the rows say so.
    assert all("fell short" in row[-1] for row in rows(report, "rgb-relu"))
    assert rows(report, "gray-deep")[0][-1] == "not measured yet"
    change = next(line for line in text.splitlines() if "`gray-hybrid-mse` → `gray-hybrid` | SSIM" in line)
    difference = found.mean(MODELS["gray-hybrid"], "ssim") - found.mean(MODELS["gray-hybrid-mse"], "ssim")
    assert f"| {difference:+.5f} [" in change
    assert not list(quick.rglob("*.onnx"))


def test_the_curves_of_a_unet_are_those_of_its_images(
    quick: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {}
    monkeypatch.setattr(plots, "curves", lambda path, title, histories: drawn.update({path.name: histories}))
    found = Findings(quick, quick=True)
    study_figures.draw_all(found, units.Places(data, quick, tmp_path))
    for name, column in (("gray-hybrid", "val_loss"), ("gray-hybrid-unet", "val_denoised_loss")):
        (one, *_) = found.units(MODELS[name])
        with (quick / one.key / "history.csv").open(newline="", encoding="utf-8") as file:
            stored = [row[column] for row in csv.DictReader(file)]
        assert [row["val_loss"] for row in drawn[f"{name}-curves.png"]["seed 1"]] == stored


def test_the_stored_figures_are_those_of_the_stored_model(quick: Path, data: Path) -> None:
    import keras
    from skimage.metrics import peak_signal_noise_ratio

    (one, *_) = Findings(quick, quick=True).units(MODELS["rgb-relu"])
    result = units.finished(one, quick)
    assert result is not None
    photos = [np.asarray(Image.open(data / "photos" / f"{index}.png")) for index in (0, 5)]
    psnr = []
    for index, photo in enumerate(photos):
        # 130 rows by 140 columns: the central square, then down to 128.
        clean = square(photo[:, 5:135], 128) / 255.0
        noise = np.random.default_rng(index).standard_normal(clean.shape) * one.setting.sigma
        noisy = np.clip(clean + noise, 0, 1).astype(np.float32)
        answer = keras.models.load_model(quick / one.key / "model.keras", compile=False)(noisy[None])["denoised"]
        psnr.append(peak_signal_noise_ratio(clean, np.clip(np.asarray(answer)[0], 0, 1), data_range=1))
    assert result.test_images == 2
    assert result.figures["psnr"] == pytest.approx(np.mean(psnr), abs=1e-3)


def test_finished_runs_are_not_repeated_and_unfinished_ones_are(
    quick: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(study, "train_and_measure", lambda one, places: begun.append(one.key))
    monkeypatch.setattr(study.study_report, "write", lambda *_: quick / "STUDY.md")
    common = ("--quick", "--data", data, "--runs", quick.parent, "--only", "gray-hybrid")
    assert run(*common).exit_code == 0
    assert begun == []
    lost = Findings(quick, quick=True).units(MODELS["gray-hybrid"])[1]
    stored = quick / lost.key / "result.json"
    text = stored.read_text()
    stored.unlink()
    try:
        assert run(*common).exit_code == 0
        assert begun == [lost.key]
        # With the time over, nothing is begun.
        assert run(*common, "--minutes", "0").exit_code == 0
        assert begun == [lost.key]
    finally:
        stored.write_text(text)


def test_a_run_that_was_cut_short_is_begun_anew(tmp_path: Path, data: Path) -> None:
    model = MODELS["rgb-cifar"]
    one = studies.unit(model, model.setting, 1, quick=True)
    (tmp_path / one.key).mkdir()
    (tmp_path / one.key / "checkpoint.keras").write_text("half")
    units.train_and_measure(one, units.Places(data, tmp_path, tmp_path))
    result = units.finished(one, tmp_path)
    assert result is not None
    assert result.test_images == min(10, QUICK_IMAGES)
    assert "36 of the 50,000 training images (of a subset of 40" in result.data


def test_an_exported_study_model_runs_in_the_tool_and_is_exported_once(
    quick: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, places = Findings(quick, quick=True), units.Places(data, quick, tmp_path)
    study.export_once(MODELS["gray-hybrid"], found, places)
    denoiser = Denoiser(tmp_path / "gray-hybrid")
    # A pinch of it: what one pass has taught would be refused as a denoised picture.
    assert denoiser(pictures.scene(45, 61, 1), strength=0.01).shape == (45, 61)
    card = denoiser.card_for(1)
    result = found.results(MODELS["gray-hybrid"])[1]
    assert card.metrics[0]["psnr"] == pytest.approx(result.figures["psnr"], abs=0.005)
    assert card.metrics[0]["mae"] == pytest.approx(result.figures["mae"], abs=5e-6)
    assert card.training_data == result.data
    assert "--only gray-hybrid" in card.command
    monkeypatch.setattr(study.export, "export", lambda *_: pytest.fail("exported again"))
    study.export_once(MODELS["gray-hybrid"], found, places)


def test_photographs_are_never_tested_on_what_was_trained_on(data: Path) -> None:
    images = studydata.load(data, "photos", 128)
    parts = [{image.tobytes() for image in part} for part in (images.train, images.held_out, images.test)]
    assert [len(part) for part in parts] == [4, 1, 2]
    assert len(set.union(*parts)) == 7


def test_without_photographs_the_third_study_is_left_out_or_refused(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(study, "train_and_measure", lambda one, places: begun.append(one.name))
    refused = run("--quick", "--runs", tmp_path, "--only", "rgb-relu")
    assert refused.exit_code == 2
    assert "rgb-relu: put a folder of images at photos/ below --data" in refused.output
    with caplog.at_level("INFO"):
        assert run("--quick", "--runs", tmp_path).exit_code == 0
    assert "study 3 is left out" in caplog.text
    assert "gray-mnist" in begun
    assert not {"rgb-relu", "rgb-leaky"} & set(begun)


def test_an_unknown_part_names_those_there_are(tmp_path: Path) -> None:
    result = run("--only", "gray-msee", "--runs", tmp_path)
    assert result.exit_code == 2
    assert "gray-msee" in result.output
    assert "gray-mse, gray-hybrid" in result.output
