"""The training loop: seeded batches, schedules, checkpoints, resume, ``history.csv``."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from folderdenoise.errors import UsageError
from train import losses
from train.architectures import NOISE_LEVEL_STRIDE, UNet
from train.callbacks import Checkpoint, Clock, CosineRate, History, Progress, cut_history
from train.datasets import Source
from train.optimizers import ConvMuon
from train.recipes import Recipe
from train.start import START_RATE, load_start, remember_start

log = logging.getLogger(__name__)


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
    mixed_bfloat16: bool = True,
    command: str = "",
    start: Path | None = None,
) -> keras.Model:
    """Train ``recipe`` on ``source`` and return the model with the weights to ship.

    ``run`` receives ``history.csv`` (one row an epoch), ``checkpoint.keras`` and ``progress.json``. With ``resume`` a
    run goes on from there, to the limits given now. ``command`` is what the card will name. ``start`` is an exported
    U-Net (a ``model.keras``) to train on from, of the recipe's network or of a smaller one. Raises :class:`UsageError`
    if there is nothing to resume, or if there is and ``resume`` was not asked for, or if ``start`` is no such model, or
    if both ``start`` and ``resume`` are given.
    """
    if resume and start is not None:
        raise UsageError("--start begins a new run, --resume goes on with one: give one of them")
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
            raise UsageError(
                f"{run}: holds an earlier run: add --resume to go on with it, or name another folder with --runs"
            )
        run.mkdir(parents=True, exist_ok=True)
        model = _compiled(recipe, mixed_bfloat16)
        if start is not None:
            load_start(model, recipe, start)
            progress.rate_scale = START_RATE
            remember_start(progress, start)
    cut_history(run / "history.csv", progress.step)
    progress.command = "; ".join(part for part in (progress.command, command) if part)
    progress.limit_steps, progress.limit_seconds = steps, None if minutes is None else minutes * 60.0

    conditioned = isinstance(recipe.network, UNet)
    callbacks = [
        Clock(progress),
        History(run / "history.csv", progress),
        CosineRate(recipe.schedule, progress),
        Checkpoint(run, progress),
    ]

    _train(model, source, progress, conditioned, callbacks)
    use_averages(model)
    return model


def use_averages(model: keras.Model) -> None:
    """Put the averaged weights, which its optimizer keeps, into ``model``."""
    model.optimizer.finalize_variable_values(model.trainable_variables)


def _train(
    model: keras.Model,
    source: Source,
    progress: Progress,
    conditioned: bool,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Train until ``progress`` is at its limit or a callback stops the run.

    Not ``Model.fit``: under TensorFlow it takes the patch size of the first two batches for that of all, and it
    replaces the weights by their averages before the last checkpoint is saved.
    """
    if progress.share >= 1.0:
        return
    clean, noisy = source.validation()
    targets = _targets(clean, noisy, conditioned)
    steps = source.steps_per_epoch
    timed = progress.limit_steps is None
    told = keras.callbacks.CallbackList(
        callbacks,
        add_progbar=True,
        model=model,
        verbose=1 if sys.stdout.isatty() else 2,
        # How many epochs a time is good for is not known: Keras then counts none.
        epochs=1 if timed else progress.epoch + math.ceil((progress.limit_steps - progress.step) / steps),
        steps=steps,
    )
    model.stop_training = False
    told.on_train_begin()
    with contextlib.closing(_feed(source, progress, conditioned)) as feed:
        while not model.stop_training:
            epoch = progress.epoch
            if timed:
                log.info("Epoch %d, %.0f%% of the time", epoch + 1, 100 * progress.share)
            told.on_epoch_begin(epoch)
            logs = _epoch(model, feed, steps, told)
            scores = model.evaluate(noisy, targets, batch_size=16, verbose=0, return_dict=True)
            told.on_epoch_end(epoch, logs | {f"val_{name}": value for name, value in scores.items()})
    told.on_train_end()


def _epoch(
    model: keras.Model, feed: Iterator[tuple[Any, dict[str, Any]]], steps: int, told: keras.callbacks.CallbackList
) -> dict[str, float]:
    """Train for ``steps`` batches, or fewer if a callback stops the run; the mean losses over their images."""
    sums: dict[str, float] = {}
    images = 0
    for index in range(steps):
        told.on_train_batch_begin(index)
        noisy, targets = next(feed)
        images += len(noisy)
        for name, value in model.train_on_batch(noisy, targets, return_dict=True).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(noisy)
        told.on_train_batch_end(index, {name: value / images for name, value in sums.items()})
        if model.stop_training:
            break
    return {name: value / images for name, value in sums.items()}


def _compiled(recipe: Recipe, mixed_bfloat16: bool) -> keras.Model:
    conditioned = isinstance(recipe.network, UNet)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed_bfloat16 else "float32")
    try:
        model = recipe.network.build()
    finally:
        keras.config.set_dtype_policy(previous)
    schedule = recipe.schedule
    optimizer = ConvMuon(
        schedule.rate,
        weight_decay=schedule.weight_decay,
        global_clipnorm=schedule.clip_norm,
        use_ema=True,
        ema_momentum=schedule.ema,
    )
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
        clean, noisy = source.batch(progress.first_batch + step, progress.share_at(step))
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
