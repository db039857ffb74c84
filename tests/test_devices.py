"""Where the network computes: what is there, what is asked for, and what happens when it does not work."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from folderdenoise import Denoiser, devices, doctor, runtime, zoo
from folderdenoise.cli import main
from folderdenoise.errors import ModelError, UsageError
from folderdenoise.onnx_graph import OnnxGraph
from tests import models, pictures


@pytest.fixture
def other_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ONNX Runtime's own processor provider stands in for a card."""
    monkeypatch.setattr(devices, "_ACCELERATORS", {"CPUExecutionProvider": ("cuda", "stand-in")})


@pytest.fixture
def no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "targets", lambda: ["CPU"])
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])


@pytest.mark.parametrize("strength", [0.5, 1.7])
def test_the_other_runtime_gives_the_same_pixels(other_runtime, tmp_path, strength):
    image = np.random.default_rng(1).random((90, 110, 3), np.float32)
    folder = models.write_conditioned(tmp_path / "conditioned")
    on_card = Denoiser(folder, device="cuda")
    assert on_card.device.title == "stand-in"
    assert on_card.device_note is None
    expected = Denoiser(folder, device="cpu", precision="f32").denoise(image, strength)
    result = on_card.denoise(image, strength)
    np.testing.assert_allclose(result.pixels, expected.pixels, atol=1e-6)
    assert result.noise_level == pytest.approx(expected.noise_level, rel=1e-5)
    assert result.precision == "f32"


@pytest.mark.parametrize(("wish", "word"), [("gpu", "graphics card"), ("cuda", "NVIDIA card")])
def test_a_card_that_is_not_there_gives_way_to_the_processor(no_cards, zoo_dir, wish, word):
    denoiser = Denoiser("rgb-leaky", device=wish)
    assert denoiser.device.name == "cpu"
    assert f"No {word} was found here: computing on the processor" in denoiser.device_note


def test_a_card_whose_driver_does_not_start_gives_way_to_the_processor(monkeypatch, zoo_dir):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    denoiser = Denoiser("rgb-leaky")
    image = np.full((40, 40, 3), 0.5, np.float32)
    np.testing.assert_allclose(denoiser(image)[8:-8, 8:-8], image[8:-8, 8:-8], atol=1e-5)
    assert denoiser.device.name == "cpu"
    assert "does not work here: computing on the processor" in denoiser.device_note


def test_without_a_wish_the_processor_computes(no_cards, zoo_dir):
    denoiser = Denoiser("rgb-leaky")
    assert (denoiser.device.name, denoiser.device_note) == ("cpu", None)


@pytest.mark.parametrize(
    ("library", "told"),
    [
        ("libonnxruntime_providers_cuda.so", "['cpu', 'cuda'] True"),
        ("libonnxruntime_providers_shared.so", "['cpu'] False"),
        (None, "['cpu'] False"),
    ],
)
def test_only_a_runtime_that_was_built_for_a_card_is_loaded_to_look_for_one(tmp_path, library, told):
    if sys.platform == "darwin":
        pytest.skip("every ONNX Runtime for macOS was built for CoreML")
    if library:
        capi = tmp_path / "onnxruntime" / "capi"
        capi.mkdir(parents=True)
        (capi / library).touch()
        (capi.parent / "__init__.py").write_text("def get_available_providers(): return ['CUDAExecutionProvider']\n")
    program = (
        "import sys\nfrom folderdenoise import devices, runtime\nruntime.targets = lambda: ['CPU']\n"
        "print([one.name for one in devices.available()], 'onnxruntime' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert answer.stdout.strip() == told


def test_bf16_and_a_card_exclude_each_other(zoo_dir):
    with pytest.raises(UsageError, match="f32 here"):
        Denoiser("rgb-leaky", device="cuda", precision="bf16")


def test_a_device_that_does_not_exist(zoo_dir):
    with pytest.raises(UsageError, match="device must be one of auto, cpu, gpu, cuda"):
        Denoiser("rgb-leaky", device="tpu")  # type: ignore[arg-type]


def test_a_damaged_graph_is_told_by_the_other_runtime_too(tmp_path):
    folder = models.write_blur(tmp_path / "blur")
    (folder / "model.onnx").write_bytes(b"no graph")
    models.rewrite_card(folder, sha256=hashlib.sha256(b"no graph").hexdigest())
    with pytest.raises(ModelError, match=r"model\.onnx.*cannot be loaded"):
        OnnxGraph(zoo.find(folder), "CPUExecutionProvider")


def test_a_run_says_where_it_computes_when_not_where_asked(no_cards, zoo_dir, tmp_path: Path):
    pictures.save(tmp_path / "in" / "a.png", pictures.scene())
    result = CliRunner().invoke(main, ["run", str(tmp_path / "in"), "--device", "cuda"])
    assert result.exit_code == 0
    assert "No NVIDIA card was found here" in result.output
    assert "in the folder of folderdenoise: pip install '.[cuda]'" in result.output
    assert (tmp_path / "in-denoised" / "metrics.csv").exists()


def test_the_doctor_times_each_model_on_each_device(other_runtime, zoo_dir, monkeypatch):
    trials = list(doctor.trials(seconds=0.01))
    assert {(trial.model, trial.device.name) for trial in trials} == {
        (model, device) for model in ("rgb-leaky", "gray-leaky") for device in ("cpu", "cuda")
    }
    assert all(trial.megapixels_per_second > 0 for trial in trials)


@pytest.mark.parametrize("faster", [True, False])
def test_the_doctor_says_which_precision_a_run_takes(no_cards, zoo_dir, monkeypatch, faster):
    monkeypatch.setattr(doctor, "has_bf16", lambda: True)
    monkeypatch.setattr(doctor, "prefers_bf16", lambda: faster)
    trials = [doctor.Trial("rgb-leaky", devices.cpu(), "f32", 1.0)]
    monkeypatch.setattr(doctor, "trials", lambda: trials)
    output = CliRunner().invoke(main, ["doctor"]).output
    assert ("faster in bf16" if faster else "no faster in bf16") in output
    assert ("no faster" in output) != faster
    assert ("in bf16, all others in f32." in output) == faster
    assert ("Images are computed" in output) != faster


def test_the_doctor_tells_of_a_damaged_model_and_goes_on(no_cards, zoo_dir):
    (zoo_dir / "rgb-leaky" / "model.onnx").write_bytes(b"no graph")
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert "does not work" in result.output
    assert "gray-leaky" in result.output
    assert "mages are computed on the" in result.output
