"""The bare network: one tile through a compiled graph, again and again, with nothing read or written."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from folderdenoise.devices import cpu
from folderdenoise.graphs import compiled
from folderdenoise.runtime import feed_for
from folderdenoise.zoo import ModelCard


class BareNetwork:
    """The graph of ``card`` on the processor, compiled, with a random tile of ``tall`` by ``wide`` pixels for it.

    ``threads`` (None: as many as cores) are shared by ``streams`` inferences at once.
    """

    def __init__(
        self, card: ModelCard, precision: str, tall: int, wide: int, threads: int | None, streams: int
    ) -> None:
        self._graph = compiled(card, precision, threads, cpu(), streams)
        tile: NDArray[np.float32] = np.random.default_rng(0).random((1, tall, wide, card.channels), np.float32)
        self._feed = feed_for(card.inputs, tile)
        self._streams = streams

    def seconds(self, count: int) -> float:
        """Of ``count`` inferences. The first ones ever set things up: let as many as streams go before."""
        with ThreadPoolExecutor(self._streams) as pool:
            began = time.perf_counter()
            list(pool.map(lambda _: self._graph.infer(self._feed), range(count)))
            return time.perf_counter() - began
