"""The training loop: seeded batches, schedules, checkpoints, resume, ``history.csv``."""

from __future__ import annotations

import csv
import json
import logging
import math
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from folderdenoise.errors import UsageError
from train import losses
from train.architectures import NOISE_LEVEL_STRIDE, UNet
from train.datasets import Source
from train.recipes import Cosine, Plateau, Recipe

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 120.0


@dataclass
class Progress:
    """How far a run has come. Saved with every checkpoint; the limits are those of the latest call."""

    step: int = 0
    epoch: int = 0
    seconds: float = 0.0
    pixels: int = 0
    limit_steps: int | None = None
    limit_seconds: float | None = None

    @property
    def share(self) -> float:
        """Progress in [0, 1] by whichever limit is nearer."""
        by_step = self.step / self.limit_steps if self.limit_steps else 0.0
        by_time = self.seconds / self.limit_seconds if self.limit_seconds else 0.0
        return min(1.0, max(by_step, by_time))


def noise_level_target(noisy: NDArray[np.float32], clean: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the estimator head learns: the local standard deviation of what was added, ``(N, H/8, W/8, 1)``.

    The root of the mean square over all channels in each 8×8 block, the squares smoothed over the neighbouring blocks
    so that the estimate of white noise varies by a few percent only.
    """
    k = NOISE_LEVEL_STRIDE
    square = np.square(noisy - clean).mean(axis=3)
    n, height, width = square.shape
    blocks = square.reshape(n, height // k, k, width // k, k).mean(axis=(2, 4))
    smooth = [cv2.GaussianBlur(block, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT_101) for block in blocks]
    return np.sqrt(np.stack(smooth))[..., None].astype(np.float32)


def fit(
    recipe: Recipe,
    source: Source,
    run: Path,
    *,
    minutes: float | None = None,
    epochs: int | None = None,
    resume: bool = False,
    mixed_bfloat16: bool | None = None,
) -> keras.Model:
    """Train ``recipe`` on ``source`` and return the model with the weights to ship.

    ``run`` receives ``history.csv`` (one row an epoch), ``checkpoint.keras`` and ``progress.json``. With ``resume`` a
    run goes on from there, to the limits given now. Raises :class:`UsageError` if there is nothing to resume, or if
    there is and ``resume`` was not asked for.
    """
    keras.utils.set_random_seed(recipe.seed)
    steps = None if minutes is not None else (epochs or recipe.epochs) * source.steps_per_epoch
    progress = Progress()
    checkpoint = run / "checkpoint.keras"
    if resume:
        if not checkpoint.is_file():
            raise UsageError(f"{run}: nothing to resume: it holds no checkpoint.keras; leave out --resume")
        progress = Progress(**json.loads((run / "progress.json").read_text()))
        model = keras.models.load_model(checkpoint)
    else:
        if checkpoint.exists():
            raise UsageError(f"{run}: holds an earlier run: add --resume to go on with it, or remove that folder")
        run.mkdir(parents=True, exist_ok=True)
        model = _compiled(recipe, mixed_bfloat16)
    progress.limit_steps, progress.limit_seconds = steps, None if minutes is None else minutes * 60.0

    conditioned = isinstance(recipe.network, UNet)
    callbacks: list[keras.callbacks.Callback] = [_Clock(progress), _History(run / "history.csv", progress)]
    if isinstance(recipe.schedule, Cosine):
        callbacks.append(_CosineRate(recipe.schedule, progress))
    else:
        callbacks.extend(_plateau(recipe.schedule))
    callbacks.append(_Checkpoint(run, progress))

    clean, noisy = source.validation()
    if progress.share < 1.0:
        model.fit(
            _feed(source, progress, conditioned),
            steps_per_epoch=source.steps_per_epoch,
            initial_epoch=progress.epoch,
            epochs=10**9 if steps is None else math.ceil(steps / source.steps_per_epoch),
            validation_data=(noisy, _targets(clean, noisy, conditioned)),
            validation_batch_size=16,
            callbacks=callbacks,
            verbose=1 if sys.stdout.isatty() else 2,
        )
    if model.optimizer.use_ema:
        model.optimizer.finalize_variable_values(model.trainable_variables)
        recalibrate(model, source, batches=64)
    return model


def recalibrate(model: keras.Model, source: Source, batches: int) -> None:
    """Measure the BatchNorm statistics anew for the weights as they are now, over ``batches`` fresh batches.

    Averaged weights never ran a batch themselves, so the running statistics belong to other weights (Y. Wu and
    J. Johnson, "Rethinking 'Batch' in BatchNorm", 2021, https://arxiv.org/abs/2105.07576, section 3.1).
    """
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for index in range(batches):
        # momentum k/(k+1) makes the running value the plain mean of all batches so far.
        for norm in norms:
            norm.momentum = index / (index + 1)
        _, noisy = source.batch(10**9 + index, 1.0)
        model(noisy, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _compiled(recipe: Recipe, mixed_bfloat16: bool | None) -> keras.Model:
    conditioned = isinstance(recipe.network, UNet)
    use_bfloat16 = conditioned if mixed_bfloat16 is None else mixed_bfloat16
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if use_bfloat16 else "float32")
    try:
        model = recipe.network.build()
    finally:
        keras.config.set_dtype_policy(previous)
    schedule = recipe.schedule
    if isinstance(schedule, Cosine):
        optimizer: keras.optimizers.Optimizer = keras.optimizers.AdamW(
            schedule.rate,
            weight_decay=schedule.weight_decay,
            global_clipnorm=schedule.clip_norm,
            use_ema=True,
            ema_momentum=schedule.ema,
        )
    else:
        optimizer = keras.optimizers.Adam(schedule.rate)
    loss: dict[str, Any] = {"denoised": losses.by_name(recipe.loss)}
    if conditioned:
        loss["noise_level"] = "mean_absolute_error"
    # XLA compiles convolutions on a CPU to slower code than oneDNN's.
    model.compile(optimizer, loss, jit_compile=keras.backend.backend() == "jax")
    return model


def _targets(clean: NDArray[np.float32], noisy: NDArray[np.float32], conditioned: bool) -> dict[str, Any]:
    targets = {"denoised": clean}
    if conditioned:
        targets["noise_level"] = noise_level_target(noisy, clean)
    return targets


def _feed(source: Source, progress: Progress, conditioned: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Batches from ``progress.step`` on, made ahead by a worker thread."""

    def make(step: int) -> tuple[Any, dict[str, Any]]:
        clean, noisy = source.batch(step, progress.share)
        return noisy, _targets(clean, noisy, conditioned)

    ahead: deque[Future[tuple[Any, dict[str, Any]]]] = deque()
    step = progress.step
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:
        while True:
            while len(ahead) < 4:
                ahead.append(pool.submit(make, step))
                step += 1
            batch = ahead.popleft().result()
            progress.pixels += batch[0].shape[0] * batch[0].shape[1] * batch[0].shape[2]
            yield batch


class _Clock(keras.callbacks.Callback):
    """Counts steps, seconds and epochs, and stops the run at its limit."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress, self._last = progress, 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._last = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        now = time.monotonic()
        self._progress.seconds += now - self._last
        self._last = now
        self._progress.step += 1
        if self._progress.share >= 1.0:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._progress.epoch = epoch + 1
        # Validation is not training time.
        self._last = time.monotonic()


class _CosineRate(keras.callbacks.Callback):
    def __init__(self, schedule: Cosine, progress: Progress) -> None:
        super().__init__()
        self._schedule, self._progress = schedule, progress

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        share = self._progress.share
        warm = min(1.0, (self._progress.step + 1) / self._schedule.warmup)
        cosine = 0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * share))
        self.model.optimizer.learning_rate = self._schedule.rate * warm * cosine
        if share >= self._schedule.finish:
            loss = self.model.loss["denoised"]
            if isinstance(loss, losses.CharbonnierThenMSE):
                loss.finish.assign(1.0)


def _plateau(schedule: Plateau) -> list[keras.callbacks.Callback]:
    return [
        keras.callbacks.ReduceLROnPlateau(factor=schedule.factor, patience=schedule.patience, verbose=0),
        keras.callbacks.EarlyStopping(patience=schedule.stop_patience, restore_best_weights=True, verbose=0),
    ]


class _History(keras.callbacks.Callback):
    """One row an epoch; rows of a resumed run follow those before."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__()
        self._path, self._progress = path, progress

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        row: dict[str, Any] = {"epoch": epoch + 1, "step": self._progress.step}
        row["seconds"] = round(self._progress.seconds, 1)
        row.update({key: f"{value:.6g}" for key, value in (logs or {}).items()})
        new = not self._path.exists()
        with self._path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)


class _Checkpoint(keras.callbacks.Callback):
    """Saves model, optimizer and progress after an epoch, when the last save is old enough, and at the end."""

    def __init__(self, run: Path, progress: Progress) -> None:
        super().__init__()
        self._run, self._progress, self._saved = run, progress, time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
            self._save()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._save()

    def _save(self) -> None:
        # Written aside and renamed: a kill in mid-save leaves the checkpoint before.
        aside = self._run / "checkpoint.new.keras"
        self.model.save(aside)
        state = self._run / "progress.new.json"
        state.write_text(json.dumps(asdict(self._progress)))
        aside.replace(self._run / "checkpoint.keras")
        state.replace(self._run / "progress.json")
        self._saved = time.monotonic()
