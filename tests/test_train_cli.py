"""``python -m train`` as a person meets it: commands, messages, exit codes, and figures that can be checked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from skimage.metrics import structural_similarity

from folderdenoise import zoo
from train.cli import main

from . import models, pictures

ROOT = Path(__file__).parent.parent
needs_tensorflow = pytest.mark.skipif(
    "not __import__('importlib.util').util.find_spec('tensorflow')",
    reason="training needs the extra 'train': pip install '.[train]'",
)


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def digits(count: int) -> np.ndarray:
    """Images as simple as digits: one bright stroke on black, ``(count, 28, 28)`` uint8."""
    rng = np.random.default_rng(count)
    images = np.zeros((count, 28, 28), np.uint8)
    for image in images:
        top, left = rng.integers(4, 16, 2)
        image[top : top + rng.integers(3, 9), left : left + rng.integers(3, 9)] = 255
    return images


def python(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which ``gray-mse`` was trained for an epoch, by the real program."""
    pytest.importorskip("tensorflow", reason="training needs the extra 'train': pip install '.[train]'")
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "data").mkdir()
    np.savez(folder / "data" / "fashion_mnist.npz", x_train=digits(6000), x_test=digits(10))
    arguments = ("fit", "gray-mse", "--data", folder / "data", "--epochs", "1", "--out", "zoo", "--runs", "runs")
    return folder, python("-m", "train", *arguments, cwd=folder)


def test_fit_writes_a_model_that_the_tool_runs(
    workplace: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, done = workplace
    assert done.returncode == 0, done.stderr
    assert "wrote zoo/gray-mse" in done.stdout.replace(os.sep, "/")
    assert re.search(r"^169/169 .*val_loss", done.stdout, re.MULTILINE)  # 5400 images in batches of 32
    assert "Traceback" not in done.stderr
    assert {path.name for path in (folder / "zoo" / "gray-mse").iterdir()} == {
        "card.json",
        "model.keras",
        "model.onnx",
    }
    card = json.loads((folder / "zoo" / "gray-mse" / "card.json").read_text("utf-8"))
    # Where the data lay on this machine is nobody's business.
    assert card["command"] == "python -m train fit gray-mse --data data --epochs 1 --out zoo --runs runs"
    assert card["training_data"] == "fashion-mnist, 5400 images of 28×28"

    clean = np.concatenate(list(digits(7)), axis=1)
    pictures.save(tmp_path / "in" / "row.png", pictures.noisy(clean, 0.3 * 255))
    ran = python(
        *("-m", "folderdenoise", "run", "in", "--model", "gray-mse", "--out", "out"),
        cwd=tmp_path,
        FOLDERDENOISE_MODELS=str(folder / "zoo"),
    )
    assert ran.returncode == 0, ran.stderr
    denoised = pictures.load(tmp_path / "out" / "row.png").astype(float)
    before = np.square(pictures.load(tmp_path / "in" / "row.png") - clean.astype(float)).mean()
    assert np.square(denoised - clean).mean() < 0.6 * before


def test_fit_does_not_overwrite_a_run_and_resumes_it_on_demand(
    workplace: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = workplace
    places = ("--data", folder / "data", "--out", folder / "zoo", "--runs", folder / "runs")
    again = invoke("fit", "gray-mse", "--epochs", "1", *places)
    assert again.exit_code == 2
    assert "--resume" in again.output
    resumed = invoke("fit", "gray-mse", "--epochs", "2", "--resume", *places)
    assert resumed.exit_code == 0, "".join(traceback.format_exception(*resumed.exc_info))
    assert len((folder / "runs" / "gray-mse" / "history.csv").read_text().splitlines()) == 3
    exported = invoke("export", "gray-mse", *places)
    assert exported.exit_code == 0, "".join(traceback.format_exception(*exported.exc_info))
    card = json.loads((folder / "zoo" / "gray-mse" / "card.json").read_text("utf-8"))
    assert card["training"]["megapixels"] == pytest.approx(2 * 5400 * 28 * 28 / 1e6, abs=0.1)
    # The card says what trained the weights, not what exported them.
    assert card["command"].startswith("python -m train fit gray-mse --data data ")
    assert card["command"].count("python -m train") == 2
    assert str(folder) not in card["command"]


@needs_tensorflow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "no-such"], "no recipe called 'no-such': choose one of gray-mnist"),
        (["fit", "gray-mse", "--minutes", "1", "--epochs", "1"], "--minutes and --epochs"),
        (["fit", "rgb-leaky"], "--data DIR"),
        (["fit", "rgb-leaky", "--data", "nowhere"], "nowhere: no such folder"),
        (["fit", "gray-mse", "--data", "nowhere"], "nowhere: holds no fashion"),
        (["fit", "rgb-leaky", "--noisy", "some"], "--noisy and --clean belong together"),
        (["fit", "gray-mse", "--data", ".", "--resume"], "nothing to resume"),
        (["fit", "gray-mse", "--epochs", "0"], "--epochs"),
        (["fit", "gray-mse", "--minutes", "0"], "--minutes"),
        (["fit"], "RECIPE"),
        (["export", "gray-mse", "--data", "."], "checkpoint.keras"),
        (["export", "no-such"], "no recipe called"),
        (["evaluate", "./here", "--sigma", "25"], "--clean"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_code_2_and_says_why(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "fashion_mnist.npz", x_train=digits(20), x_test=digits(2))
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "models").exists()


@needs_tensorflow
def test_pairs_that_do_not_match_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "b.png"):
        pictures.save(tmp_path / "noisy" / name, pictures.scene(70, 70, 1))
    pictures.save(tmp_path / "clean" / "c.png", pictures.scene(70, 70, 1))
    done = invoke("fit", "gray-leaky", "--noisy", tmp_path / "noisy", "--clean", tmp_path / "clean")
    assert done.exit_code == 2
    for name in ("a.png", "b.png", "c.png"):
        assert name in caplog.text
    assert "usable pairs" in done.output


# ------------------------------------------------------------------------------------------------------- evaluate


def by_hand(clean: list[np.ndarray], sigma: float, protocol: str) -> list[float]:
    """Noisy PSNR and SSIM, then those of a model that darkens by 0.005, without a line of the project's."""
    rows = []
    for index, image in enumerate(clean):
        noisy = image + np.random.default_rng(index).normal(size=image.shape) * sigma
        if protocol == "files":
            noisy = np.clip(np.rint(noisy), 0, 255)
        darker = np.clip(np.rint(noisy - 0.005 * 255), 0, 255)
        row = []
        for candidate in (noisy, darker):
            row.append(10 * np.log10(255**2 / np.square(candidate - image).mean()))
            options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
            row.append(structural_similarity(candidate, image.astype(float), channel_axis=2, **options))
        rows.append(row)
    return np.mean(rows, axis=0).tolist()


@pytest.mark.parametrize("protocol", ["files", "raw"])
def test_evaluate_gives_the_figures_of_an_independent_computation(protocol: str, tmp_path: Path) -> None:
    models.write_conditioned(tmp_path / "darker")
    clean = [pictures.scene(40, 52, seed=seed) for seed in range(3)]
    for index, image in enumerate(clean):
        pictures.save(tmp_path / "set" / f"{index}.png", image)
    arguments = ("evaluate", tmp_path / "darker", "--clean", tmp_path / "set", "--sigma", "25", "--protocol", protocol)
    result = invoke(*arguments)
    assert result.exit_code == 0
    assert result.output.startswith(f"set, 3 images, sigma 25, {protocol}: ")
    figures = [float(text) for text in re.findall(r"(\d+\.\d+) dB \((\d\.\d+)\)", result.output) for text in text]
    expected = by_hand(clean, 25, protocol)
    assert figures == pytest.approx(expected, abs=0.006)
    assert figures[1::2] == pytest.approx(expected[1::2], abs=2e-4)
    assert zoo.find(tmp_path / "darker").metrics == ()


def test_evaluate_records_its_figures_in_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models.write_conditioned(tmp_path / "zoo" / "darker")
    monkeypatch.setenv("FOLDERDENOISE_MODELS", str(tmp_path / "zoo"))
    clean = [pictures.scene(40, 52)]
    pictures.save(tmp_path / "set" / "0.png", clean[0])
    for sigma, protocol in (("15", "files"), ("25", "files"), ("25", "raw"), ("25", "files")):
        arguments = ("darker", "--clean", tmp_path / "set", "--sigma", sigma, "--protocol", protocol, "--record")
        assert invoke("evaluate", *arguments).exit_code == 0
    recorded = zoo.find("darker").metrics
    assert [(row["noise"], row["protocol"]) for row in recorded] == [
        ("Gaussian, sigma 15/255", "clipped, 8 bits"),
        ("Gaussian, sigma 25/255", "not clipped, not rounded"),
        ("Gaussian, sigma 25/255", "clipped, 8 bits"),
    ]
    last = recorded[-1]
    assert (last["test_set"], last["images"]) == ("set", 1)
    assert last["command"] == "python -m train evaluate darker --clean set --sigma 25"
    expected = by_hand(clean, 25, "files")
    assert [last["psnr_noisy"], last["psnr"]] == pytest.approx(expected[::2], abs=0.006)
    assert [last["ssim_noisy"], last["ssim"]] == pytest.approx(expected[1::2], abs=2e-4)


def test_evaluate_needs_nothing_that_trains(tmp_path: Path) -> None:
    models.write_conditioned(tmp_path / "darker")
    pictures.save(tmp_path / "set" / "0.png", pictures.scene(40, 52))
    program = "import sys; sys.modules.update(keras=None, tensorflow=None); from train.cli import main; main()"
    arguments = ("evaluate", "darker", "--clean", "set", "--sigma", "25", "--record")
    done = python("-c", program, *arguments, cwd=tmp_path, FOLDERDENOISE_MODELS=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "darker" / "card.json").read_text("utf-8"))["metrics"]) == 1


def test_evaluate_of_a_grayscale_model_is_on_luma(tmp_path: Path) -> None:
    models.write_conditioned(tmp_path / "darker", channels=1)
    gray = pictures.scene(40, 52, channels=1)
    pictures.save(tmp_path / "set" / "gray.png", np.repeat(gray[..., None], 3, axis=2))
    result = invoke("evaluate", tmp_path / "darker", "--clean", tmp_path / "set", "--sigma", "25")
    expected = by_hand([gray[..., None]], 25, "files")
    figures = [float(text) for text in re.findall(r"(\d+\.\d+) dB", result.output)]
    assert figures == pytest.approx(expected[::2], abs=0.006)


def test_evaluate_without_a_model_or_images_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    missing = invoke("evaluate", tmp_path / "gone", "--clean", tmp_path / "set", "--sigma", "25")
    assert missing.exit_code == 5
    assert "gone" in missing.output
    models.write_conditioned(tmp_path / "darker")
    empty = invoke("evaluate", tmp_path / "darker", "--clean", tmp_path / "set", "--sigma", "25")
    assert empty.exit_code == 2
    assert "set: no images that can be read" in empty.output
