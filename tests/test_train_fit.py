"""Runs of seconds on tiny networks: they learn, stop, resume, and keep what they promise to keep."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="training needs the extra 'train': pip install '.[train]'")

import keras

from folderdenoise.errors import UsageError
from train import callbacks, export, workshop
from train.architectures import Autoencoder, UNet
from train.crops import CropSource, Pool
from train.datasets import ArraySource
from train.fit import fit, noise_level_target
from train.noise import Gaussian
from train.recipes import RECIPES, Cosine
from train.start import load_start

from . import pictures

PLAIN = dataclasses.replace(
    RECIPES["gray-mse"],
    network=Autoencoder(1, (4, 6), output="linear"),
    schedule=Cosine(rate=1e-2, warmup=2, ema=0.8),
)
CONDITIONED = dataclasses.replace(
    RECIPES["gray-leaky"],
    network=UNet(1, (4,), blocks=1, middle=1, head_width=4),
    schedule=Cosine(rate=1e-2, warmup=2, ema=0.8),
)


def small_images(seed: int = 1) -> ArraySource:
    """Twelve batches of 8 an epoch, 16×16 gray."""
    scene = pictures.scene(160, 240, channels=1)
    tiles = scene.reshape(10, 16, 15, 16).transpose(0, 2, 1, 3).reshape(150, 16, 16, 1)
    return ArraySource(tiles[:96], tiles[96:112], Gaussian(0.15), 8, seed, "tiles")


def crops() -> CropSource:
    """Patches of 16, then of 24 from half of the schedule on; eight batches an epoch."""
    photos = [pictures.scene(48, 64, 1, seed)[..., None] for seed in range(3)]
    source = CropSource([Pool(photos[1:], Gaussian(0.15))], photos[:1], 8, ((0.0, 16), (0.5, 24)), 1, "crops")
    source.steps_per_epoch = 8
    return source


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def saved(run: Path) -> dict[str, float]:
    return json.loads((run / "progress.json").read_text())


class KilledError(Exception):
    """Stands for the end of the process."""


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the run after batch number ``step``; checkpoints are saved after every epoch until then."""
    monkeypatch.setattr(callbacks, "CHECKPOINT_SECONDS", 0.0)
    batch_end = callbacks.Clock.on_train_batch_end

    def dying(self: callbacks.Clock, batch: int, logs: dict[str, float] | None = None) -> None:
        batch_end(self, batch, logs)
        if self._progress.step == step:
            raise KilledError

    monkeypatch.setattr(callbacks.Clock, "on_train_batch_end", dying)


@dataclasses.dataclass
class Run:
    """A finished run of CONDITIONED over two epochs, and what was seen of every step."""

    folder: Path
    model: keras.Model
    rates: list[float]
    batches: dict[int, np.ndarray]


@pytest.fixture(scope="module")
def conditioned(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("conditioned") / "run"
    rates, batches = [], {}
    batch_end = callbacks.Clock.on_train_batch_end
    source = crops()
    make = source.batch

    def spy(self: callbacks.Clock, batch: int, logs: dict[str, float] | None = None) -> None:
        rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))
        batch_end(self, batch, logs)

    def recorded(step: int, progress: float) -> tuple[np.ndarray, np.ndarray]:
        batch = make(step, progress)
        batches[step] = batch[1]
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks.Clock, "on_train_batch_end", spy)
        patch.setattr(source, "batch", recorded)
        model = fit(CONDITIONED, source, folder, epochs=2, mixed_bfloat16=False)
    return Run(folder, model, rates, batches)


def test_loss_falls_and_history_has_a_row_for_every_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = small_images()
    model = fit(PLAIN, source, tmp_path / "run", epochs=4)
    rows = history(tmp_path / "run")
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert [int(row["step"]) for row in rows] == [12, 24, 36, 48]
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])
    assert float(rows[-1]["val_loss"]) < 0.6 * float(rows[0]["val_loss"])
    clean, noisy = source.validation()
    error = float(np.square(keras.ops.convert_to_numpy(model(noisy)["denoised"]) - clean).mean())
    # That of the averaged weights, not of the last ones.
    assert error == pytest.approx(float(rows[-1]["val_loss"]), rel=0.2)
    assert saved(tmp_path / "run") == saved(tmp_path / "run") | {"step": 48, "epoch": 4, "pixels": 4 * 96 * 256}
    assert "Epoch 4/4" in capsys.readouterr().out


def test_a_killed_run_goes_on_as_if_it_had_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(PLAIN, small_images(), tmp_path / "whole", epochs=3)
    with monkeypatch.context() as patch:
        kill_at(30, patch)
        with pytest.raises(KilledError):
            fit(PLAIN, small_images(), tmp_path / "killed", epochs=3)
    assert saved(tmp_path / "killed")["step"] == 24
    resumed = fit(PLAIN, small_images(), tmp_path / "killed", epochs=3, resume=True)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert other == pytest.approx(one, abs=1e-4)
    for one, other in zip(history(tmp_path / "whole"), history(tmp_path / "killed"), strict=True):
        assert float(one["val_loss"]) == pytest.approx(float(other["val_loss"]), rel=1e-3)
    assert saved(tmp_path / "killed")["pixels"] == saved(tmp_path / "whole")["pixels"]


def test_a_killed_run_with_growing_patches_and_averaged_weights_goes_on_as_well(
    conditioned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at(13, patch)
        with pytest.raises(KilledError):
            fit(CONDITIONED, crops(), tmp_path, epochs=2, mixed_bfloat16=False)
    assert saved(tmp_path)["step"] == 8
    # An epoch that was trained after the last checkpoint is trained again, and has one row all the same.
    [row] = history(tmp_path)
    with (tmp_path / "history.csv").open("a") as file:
        file.write(",".join(["2", "16", *("9" for _ in range(len(row) - 2))]) + "\n")
    source = crops()
    make, asked = source.batch, {}
    monkeypatch.setattr(source, "batch", lambda step, progress: asked.setdefault(step, make(step, progress)))
    resumed = fit(CONDITIONED, source, tmp_path, epochs=2, resume=True, mixed_bfloat16=False)
    assert min(asked) == 8
    for step in range(8, 16):
        assert (asked[step][1] == conditioned.batches[step]).all()
    for one, other in zip(conditioned.model.get_weights(), resumed.get_weights(), strict=True):
        assert other == pytest.approx(one, abs=1e-3)
    whole, pieces = history(conditioned.folder), history(tmp_path)
    assert [(row["epoch"], row["step"]) for row in pieces] == [("1", "8"), ("2", "16")]
    for one, other in zip(whole, pieces, strict=True):
        for name in ("loss", "val_loss", "val_noise_level_loss"):
            assert float(other[name]) == pytest.approx(float(one[name]), rel=0.01)


def test_averaged_weights_ship_and_the_checkpoint_keeps_those_that_were_trained(conditioned: Run) -> None:
    checkpoint = keras.models.load_model(conditioned.folder / "checkpoint.keras")
    averages = [keras.ops.convert_to_numpy(value) for value in checkpoint.optimizer._model_variables_moving_average]
    trained = [keras.ops.convert_to_numpy(value) for value in checkpoint.trainable_variables]
    assert max(np.abs(one - other).max() for one, other in zip(trained, averages, strict=True)) > 1e-4
    for one, other in zip(conditioned.model.trainable_variables, averages, strict=True):
        assert keras.ops.convert_to_numpy(one) == pytest.approx(other, abs=1e-6)


def test_a_finished_run_can_be_prolonged(tmp_path: Path) -> None:
    finished = fit(PLAIN, small_images(), tmp_path, epochs=2)
    # Nothing is left to train: the same model once more.
    again = fit(PLAIN, small_images(), tmp_path, epochs=2, resume=True)
    for one, other in zip(finished.get_weights(), again.get_weights(), strict=True):
        assert (one == other).all()
    fit(PLAIN, small_images(), tmp_path, epochs=3, resume=True)
    assert [int(row["step"]) for row in history(tmp_path)] == [12, 24, 36]


def test_the_schedule_of_a_conditioned_run(conditioned: Run) -> None:
    rates = conditioned.rates
    assert rates[0] == pytest.approx(0.5e-2)  # the first of two steps of warm-up
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[8] == pytest.approx(0.5e-2, rel=0.01)
    assert rates[-1] < 0.05e-2
    # Batches are made ahead, yet each has the patch size that belongs to its own step.
    sizes = [conditioned.batches[step].shape[1] for step in range(16)]
    assert sizes == [16] * 8 + [24] * 8


def test_minutes_end_a_run_whatever_the_recipe_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(callbacks, "time", types.SimpleNamespace(monotonic=lambda: float(next(ticks))))
    source = crops()
    source.steps_per_epoch = 10**6
    model = fit(PLAIN, source, tmp_path, minutes=0.5)
    # A second a step, on this clock.
    assert saved(tmp_path) == saved(tmp_path) | {"step": 30, "seconds": 30.0, "limit_steps": None, "epoch": 1}
    [row] = history(tmp_path)
    assert row["step"] == "30"
    # The schedule was fitted to the time: it is at its end.
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) < 0.02 * PLAIN.schedule.rate
    # The time is up: the same limit again trains no further, a longer one does.
    fit(PLAIN, source, tmp_path, minutes=0.5, resume=True)
    assert saved(tmp_path)["step"] == 30
    fit(PLAIN, source, tmp_path, minutes=0.6, resume=True)
    assert saved(tmp_path)["step"] == 36


def test_resuming_nothing_and_fitting_over_a_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to resume"):
        fit(PLAIN, small_images(), tmp_path / "run", epochs=1, resume=True)
    fit(PLAIN, small_images(), tmp_path / "run", epochs=1)
    before = (tmp_path / "run" / "checkpoint.keras").read_bytes()
    with pytest.raises(UsageError, match=r"holds an earlier run: add --resume .* with --runs"):
        fit(PLAIN, small_images(), tmp_path / "run", epochs=1)
    with pytest.raises(UsageError, match="--start begins a new run, --resume goes on with one"):
        fit(PLAIN, small_images(), tmp_path / "run", epochs=2, resume=True, start=tmp_path / "model.keras")
    assert (tmp_path / "run" / "checkpoint.keras").read_bytes() == before


def test_what_a_run_left_that_died_before_its_first_checkpoint_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("epoch,step,seconds,loss,val_loss\n1,12,0.5,9,9\n")
    fit(PLAIN, small_images(), tmp_path, epochs=1)
    [row] = history(tmp_path)
    assert row["loss"] != "9"


def test_an_unreadable_batch_ends_the_run_with_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_images()

    def failing(step: int, progress: float) -> tuple[np.ndarray, np.ndarray]:
        raise KilledError(f"batch {step}")

    monkeypatch.setattr(source, "batch", failing)
    with pytest.raises(KilledError, match="batch 0"):
        fit(PLAIN, source, tmp_path, epochs=1)


def test_noise_level_target_is_the_standard_deviation_of_what_was_added(rng: np.random.Generator) -> None:
    clean = rng.random((2, 64, 96, 3), dtype=np.float32)
    sigma = np.where(np.arange(96) < 48, 0.05, 0.2)[None, None, :, None]
    noisy = (clean + sigma * rng.normal(size=clean.shape)).astype(np.float32)
    target = noise_level_target(noisy, clean)
    assert target.shape == (2, 8, 12, 1)
    assert target.dtype == np.float32
    assert target[:, :, :3] == pytest.approx(0.05, rel=0.15)
    assert target[:, :, -3:] == pytest.approx(0.2, rel=0.15)
    assert target[:, :, -3:].mean() == pytest.approx(0.2, rel=0.02)
    assert not noise_level_target(clean, clean).any()


def test_a_unet_is_fine_tuned_from_its_exported_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = CONDITIONED.network.build()
    exported.save(tmp_path / "model.keras")
    card = {"command": "what came before", "training": {"seconds": 7200, "megapixels": 1500.0}}
    (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
    source = small_images()
    rates: list[float] = []
    batch_begin = callbacks.CosineRate.on_train_batch_begin

    def listening(self: callbacks.CosineRate, batch: int, logs: dict[str, float] | None = None) -> None:
        batch_begin(self, batch, logs)
        rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    monkeypatch.setattr(callbacks.CosineRate, "on_train_batch_begin", listening)
    run = tmp_path / "run"
    tuned = fit(CONDITIONED, source, run, epochs=1, start=tmp_path / "model.keras", mixed_bfloat16=False)
    moved = [np.abs(a - b).max() for a, b in zip(exported.get_weights(), tuned.get_weights(), strict=True)]
    assert 0 < max(moved) < 0.5
    # Trained weights are not shaken by the full rate, nor by a run that goes on with the tuning.
    assert max(rates) < 0.55 * CONDITIONED.schedule.rate
    fit(CONDITIONED, source, run, epochs=2, resume=True, command="what came last")
    progress = json.loads((run / "progress.json").read_text(encoding="utf-8"))
    assert progress["command"] == "what came before; what came last"
    assert (progress["earlier_seconds"], progress["earlier_megapixels"]) == (7200, 1500)
    assert len(rates) == 24
    assert max(rates) < 0.55 * CONDITIONED.schedule.rate
    with pytest.raises(UsageError, match=r"gone\.keras: no such"):
        fit(CONDITIONED, source, tmp_path / "other", epochs=1, start=tmp_path / "gone.keras")
    with pytest.raises(UsageError, match="only U-Nets"):
        fit(PLAIN, source, tmp_path / "another", epochs=1, start=tmp_path / "model.keras")


def test_a_run_from_trained_weights_sees_other_batches_than_they_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    source = small_images()
    drawn = source.batch

    def draw(step: int, progress: float) -> tuple[np.ndarray, np.ndarray]:
        clean, noisy = drawn(step, progress)
        seen.append(noisy.tobytes())
        return clean, noisy

    monkeypatch.setattr(source, "batch", draw)
    fit(CONDITIONED, source, tmp_path / "first", epochs=1, mixed_bfloat16=False).save(tmp_path / "model.keras")
    before = set(seen)
    seen.clear()
    card = {"command": "the first", "training": {"seconds": 60, "megapixels": 0.3}}
    (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
    run = tmp_path / "second"
    fit(CONDITIONED, source, run, epochs=1, start=tmp_path / "model.keras", mixed_bfloat16=False)
    fit(CONDITIONED, source, run, epochs=2, resume=True)
    # Some are made ahead and not used.
    assert len(set(seen)) >= 2 * 12
    assert not before & set(seen)


def test_a_gray_unet_begins_as_the_colour_one_it_is_started_from(tmp_path: Path, rng: np.random.Generator) -> None:
    colour = dataclasses.replace(CONDITIONED.network, channels=3).build()
    colour.set_weights([0.3 * rng.normal(size=weight.shape) for weight in colour.get_weights()])
    colour.save(tmp_path / "model.keras")
    still = dataclasses.replace(CONDITIONED, schedule=Cosine(rate=0.0, weight_decay=0.0))
    start = tmp_path / "model.keras"
    gray = fit(still, small_images(), tmp_path / "run", epochs=1, start=start, mixed_bfloat16=False)
    image = rng.random((1, 16, 24, 1), dtype=np.float32)
    expected = colour(np.repeat(image, 3, axis=3), training=False)
    given = gray(image, training=False)
    for name, value in given.items():
        shown = keras.ops.convert_to_numpy(expected[name]).mean(axis=3, keepdims=True)
        assert keras.ops.convert_to_numpy(value) == pytest.approx(shown, abs=1e-4)
        assert np.abs(shown - image.mean()).max() > 0.05


def test_a_larger_unet_begins_as_the_smaller_one_and_makes_use_of_its_size(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    small = dataclasses.replace(CONDITIONED.network, widths=(4, 6)).build()
    small.set_weights([0.3 * rng.normal(size=weight.shape) for weight in small.get_weights()])
    start = tmp_path / "model.keras"
    small.save(start)
    larger = dataclasses.replace(CONDITIONED.network, widths=(6, 9), blocks=2, middle=3)
    learning = dataclasses.replace(CONDITIONED, network=larger)
    grown = larger.build()
    load_start(grown, learning, start)
    image = rng.random((1, 16, 24, 1), dtype=np.float32)
    expected = {name: keras.ops.convert_to_numpy(value) for name, value in small(image, training=False).items()}
    for name, value in grown(image, training=False).items():
        assert keras.ops.convert_to_numpy(value) == pytest.approx(expected[name], abs=1e-5)
    taught = fit(learning, small_images(), tmp_path / "taught", epochs=1, start=start, mixed_bfloat16=False)
    heard = taught.get_layer("up0_block0_conv1").get_weights()[0]
    assert np.abs(heard[:, :, 4:, :4]).max() > 0  # the old channels listen to the new ones
    assert np.abs(taught.get_layer("middle_block2_conv2").get_weights()[0]).max() > 0
    narrow = dataclasses.replace(CONDITIONED, network=dataclasses.replace(larger, widths=(3, 6)))
    for smaller, why in ((narrow, "no room for"), (CONDITIONED, "no place for its down0")):
        with pytest.raises(UsageError, match=why):
            load_start(smaller.network.build(), smaller, start)


def test_an_export_may_be_the_mean_of_a_run_and_of_the_model_it_was_started_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / "start" / "model.keras"
    start.parent.mkdir()
    before = CONDITIONED.network.build()
    before.save(start)
    source = small_images()
    places = workshop.Places(None, None, None, tmp_path / "out", tmp_path / "runs")
    tuned = fit(CONDITIONED, source, places.runs / CONDITIONED.name, epochs=1, start=start, command="fit")
    seen: list[Any] = []
    monkeypatch.setattr(workshop, "_source", lambda *given: source)
    monkeypatch.setattr(export, "export", lambda *given: seen.extend(given))
    workshop.export_checkpoint(CONDITIONED, places, start, "export")
    model, _, _, facts, _ = seen
    weights = [each.get_weights() for each in (model, before, tuned)]
    assert max(np.abs(old - new).max() for old, new in zip(weights[1], weights[2], strict=True)) > 1e-3
    for mean, old, new in zip(*weights, strict=True):
        assert mean == pytest.approx((old + new) / 2, abs=1e-5)
    assert facts.command == "fit; export"
