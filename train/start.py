"""Training on from a trained U-Net: of the same network, of a larger one, or of a gray one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from folderdenoise.errors import UsageError
from train.architectures import UNet
from train.callbacks import Progress
from train.recipes import Recipe

START_RATE = 0.5
"""Share of a schedule's rate at which a run that starts from trained weights begins."""


def load_start(model: keras.Model, recipe: Recipe, start: Path) -> None:
    """Put the weights of the exported model ``start`` into ``model``, that of ``recipe``.

    ``model`` may be wider and have more blocks: it then computes at first what ``start`` does (T. Chen, I. Goodfellow,
    J. Shlens: Net2Net, ICLR 2016, https://arxiv.org/abs/1511.05641; here new channels are not copies of old ones but
    new, and nothing old listens to them yet). It may be gray where ``start`` is of colour: a gray image then gives the
    mean over the channels of what three of it gave. Raises :class:`UsageError` if ``start`` is not there, or is no
    model of that kind of network.
    """
    if not isinstance(recipe.network, UNet):
        raise UsageError(f"{recipe.name}: only U-Nets can be started from an exported model")
    if not start.is_file():
        raise UsageError(f"{start}: no such model.keras to start from")
    trained = keras.models.load_model(start, compile=False)
    becomes_gray = recipe.network.channels == 1 and trained.inputs[0].shape[-1] == 3
    fresh = {layer.name: layer for layer in model.layers if layer.weights}
    try:
        for layer in trained.layers:
            if not layer.weights:
                continue
            new = fresh.pop(layer.name, None)
            if new is None:
                raise ValueError(f"there is no place for its {layer.name}")
            transposed = isinstance(layer, keras.layers.Conv2DTranspose)
            values = layer.get_weights()
            if becomes_gray:
                values = [_grayed(value, layer.name) for value in values]
            new.set_weights(
                [_grown(mine, value, transposed) for mine, value in zip(new.get_weights(), values, strict=True)]
            )
        # Blocks that are new begin as the identity by themselves.
        if any("_block" not in name for name in fresh):
            raise ValueError(f"it lacks {', '.join(sorted(name for name in fresh if '_block' not in name))}")
    except ValueError as error:
        raise UsageError(
            f"{start}: is not a model of the network of {recipe.name}, or of a smaller one: {error}"
        ) from error


def remember_start(progress: Progress, start: Path) -> None:
    """Take over how the weights came to be, for the new card, where the old one lies beside them."""
    path = start.with_name("card.json")
    if path.is_file():
        card = json.loads(path.read_text(encoding="utf-8"))
        progress.command = card["command"]
        progress.earlier_seconds = float(card["training"].get("seconds", 0.0))
        progress.earlier_megapixels = float(card["training"].get("megapixels", 0.0))


def _grown(mine: NDArray[Any], trained: NDArray[Any], transposed: bool) -> NDArray[Any]:
    """``trained`` in a corner of a kernel or bias like ``mine``, so that the old outputs are what they were."""
    if any(more < less for more, less in zip(mine.shape, trained.shape, strict=True)):
        raise ValueError(f"{mine.shape} has no room for {trained.shape}")
    grown = mine.copy()
    if grown.ndim == 4:
        # (height, width, in, out), and (height, width, out, in) of a transposed convolution.
        outputs = trained.shape[2 if transposed else 3]
        old = np.moveaxis(grown, 2 if transposed else 3, 0)[:outputs]
        old[...] = 0.0
    grown[tuple(slice(length) for length in trained.shape)] = trained
    return grown


def _grayed(weight: NDArray[np.float32], layer: str) -> NDArray[np.float32]:
    """A weight of a colour U-Net, so that a gray image gives the mean over the channels of what three of it gave."""
    if layer in ("first", "level0") and weight.ndim == 4:
        return weight.sum(axis=2, keepdims=True)
    if layer == "residual":
        return weight.mean(axis=2, keepdims=True) if weight.ndim == 4 else weight.mean(keepdims=True)
    return weight
