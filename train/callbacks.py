"""What happens around the batches of a run: its clock, its learning rate, ``history.csv`` and its checkpoints."""

from __future__ import annotations

import csv
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from train.recipes import Cosine

CHECKPOINT_SECONDS = 120.0
_BATCHES_A_MEGAPIXEL = 100
"""More than have been drawn for a megapixel: a batch of a U-Net has 65,536 pixels and more."""


@dataclass
class Progress:
    """How far a run has come. Saved with every checkpoint; the limits are those of the latest call."""

    step: int = 0
    epoch: int = 0
    seconds: float = 0.0
    pixels: int = 0
    command: str = ""
    """What trained the run, for the card: the call that began it, and each that resumed it."""
    rate_scale: float = 1.0
    """What the schedule's rate is multiplied by: less for a run that started from trained weights."""
    earlier_seconds: float = 0.0
    earlier_megapixels: float = 0.0
    """What the weights that the run started from had cost, by their card."""
    limit_steps: int | None = None
    limit_seconds: float | None = None

    @property
    def first_batch(self) -> int:
        """Of the endless series of batches, the one that the run begins with: one that the weights it started from have
        not seen, which would come again otherwise, since batches are seeded by their number."""
        return int(self.earlier_megapixels * _BATCHES_A_MEGAPIXEL)

    @property
    def share(self) -> float:
        """Progress in [0, 1] by whichever limit is nearer."""
        return self.share_at(self.step)

    def share_at(self, step: int) -> float:
        """Progress in [0, 1] at ``step``, which may lie ahead; the clock is that of now."""
        by_step = step / self.limit_steps if self.limit_steps else 0.0
        by_time = self.seconds / self.limit_seconds if self.limit_seconds else 0.0
        return min(1.0, max(by_step, by_time))


class Clock(keras.callbacks.Callback):
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


class CosineRate(keras.callbacks.Callback):
    """The rate of a :class:`~train.recipes.Cosine` schedule at every step."""

    def __init__(self, schedule: Cosine, progress: Progress) -> None:
        super().__init__()
        self._schedule, self._progress = schedule, progress

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        share = self._progress.share
        warm = min(1.0, (self._progress.step + 1) / self._schedule.warmup)
        cosine = 0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * share))
        self.model.optimizer.learning_rate = self._schedule.rate * self._progress.rate_scale * warm * cosine


def cut_history(path: Path, step: int) -> None:
    """Drop the rows past ``step``: epochs that were trained after the last checkpoint and are trained again now."""
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if int(row["step"]) <= step]
    if not rows:
        path.unlink()
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


class History(keras.callbacks.Callback):
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


class Checkpoint(keras.callbacks.Callback):
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
