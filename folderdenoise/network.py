"""One image's way through a graph: tiles in, denoised tiles out, whatever channels image and model have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import stronger
from .errors import SuspectResultError
from .graphs import AnyGraph
from .runtime import feed_for
from .tiles import Floats

SUSPECT_ADVICE = "The model may not suit this image: try another one."


class Network:
    """Tiles of one image, (1, h, w, C) float32, to the same denoised; the noise that the model saw is noted.

    ``channels`` is the image's C, 1 or 3. ``before_tile`` is called before each inference. Raises SuspectResultError
    for an answer that is not finite.
    """

    def __init__(self, graph: AnyGraph, channels: int, strength: float, before_tile: Callable[[], None] | None) -> None:
        self._before_tile = before_tile
        self._graph = graph
        self._channels = channels
        self._strength = strength
        self._noise_sum = 0.0
        self._noise_count = 0

    @property
    def noise_level(self) -> float | None:
        """Mean deviation of the noise over all tiles so far, on the [0, 1] scale; None from a model that is silent."""
        return self._noise_sum / self._noise_count if self._noise_count else None

    def __call__(self, tile: Floats) -> Floats:
        if self._before_tile is not None:
            self._before_tile()
        card = self._graph.card
        outputs = self._graph.infer(feed_for(card.inputs, self._to_model(tile), stronger.told(self._strength)))
        if not np.isfinite(outputs["denoised"]).all():
            raise SuspectResultError(f"{card.name}: the result has NaN or infinite values. {SUSPECT_ADVICE}")
        if "noise_level" in outputs:
            self._noise_sum += float(outputs["noise_level"].sum(dtype=np.float64))
            self._noise_count += outputs["noise_level"].size
        answer = outputs["denoised"]
        if self._strength > 1:
            answer = stronger.smoothed(answer, outputs["noise_level"], self._strength)
        result = self._from_model(answer)
        if not card.has_strength and self._strength != 1:
            result = tile + np.float32(self._strength) * (result - tile)
        return result

    def _to_model(self, tile: Floats) -> Floats:
        wanted = self._graph.card.channels
        if wanted == self._channels:
            return tile
        if wanted == 1:  # a grayscale model takes the channels as a batch
            return np.ascontiguousarray(tile.transpose(3, 1, 2, 0))
        return np.repeat(tile, 3, axis=3)

    def _from_model(self, answer: Floats) -> Floats:
        wanted = self._graph.card.channels
        if wanted == self._channels:
            return answer
        if wanted == 1:
            return np.transpose(answer, (3, 1, 2, 0))
        mean: Floats = answer.mean(axis=3, keepdims=True)
        return mean


def eightfold(network: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """A network that answers with the mean of its answers to the tile in all four turns, plain and mirrored.

    What it does to a picture then no longer depends on which way up that is, and what it makes up by chance averages
    out (R. Timofte, R. Rothe, L. Van Gool: "Seven ways to improve example-based single image super resolution",
    CVPR 2016, https://arxiv.org/abs/1511.02228). Tiles may be of any shape that the network takes either way round.
    """

    def answer(tile: Floats) -> Floats:
        total = np.zeros_like(tile)
        for mirrored in (False, True):
            for turns in range(4):
                seen = tile[:, :, ::-1] if mirrored else tile
                back = np.rot90(network(np.ascontiguousarray(np.rot90(seen, turns, (1, 2)))), -turns, (1, 2))
                total += back[:, :, ::-1] if mirrored else back
        total /= 8
        return total

    return answer
