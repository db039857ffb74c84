"""The studies: figures, and a quick study from end to end."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

pytest.importorskip("tensorflow", reason="training needs the extra 'train': pip install '.[train]'")

import matplotlib

from folderdenoise.engine import Denoiser
from train import plots, studies, study, study_figures, studydata, units
from train.cli import main
from train.datasets import square
from train.findings import Findings
from train.studies import MODELS, QUICK_IMAGES

from . import pictures
from .reports import study_rows

# ------------------------------------------------------------------------------------------------------ statistics


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
        assert study_rows(report, "gray-hybrid")[column][6].startswith(f"{mean:.{(3, 5)[column]}f}")
    # Nothing trained for one pass over a few images comes near the studies, and the rows say so.
    assert all("fell short" in row[-1] for row in study_rows(report, "rgb-relu"))
    assert study_rows(report, "gray-deep")[0][-1] == "not measured yet"
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
