"""How a run shares out the machine: processor threads, inferences and files at once, and memory."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import machine
from .errors import UsageError
from .scratch import IN_MEMORY
from .tiles import DEFAULT_CORE

# What a network takes for each pixel of a tile: 380 to 410 bytes for the production models, 750 for the studies' at
# full resolution (OpenVINO, peak of the process; benchmarks/modes.py).
TILE_BYTES = 800
# The program itself, its libraries and a model's weights.
_BASE_BYTES = 300 << 20
_CORES = (DEFAULT_CORE, 1024, 512, 256)
# Twice the widest overlap in use, and the ramp between tiles.
_SHARED = 160
_WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class Resources:
    """``threads`` for the network in all (None: the runtime chooses), shared by ``streams`` inferences at once;
    ``jobs`` files at once; ``tile``: side of the tiles in pixels (None: the default); ``memory``: bytes for the pixels
    of all files under way.
    """

    threads: int | None
    streams: int
    jobs: int
    tile: int | None
    memory: int

    @property
    def in_memory(self) -> int:
        """Bytes that the pixels of one file may take in memory; beyond that they go to scratch files."""
        return min(IN_MEMORY, self.memory)


def choose(
    *,
    threads: int | None = None,
    jobs: int | None = None,
    tile: int | None = None,
    memory: int | None = None,
    files: int | None = None,
) -> Resources:
    """What a run takes, from what was asked for (None: not said) and what the machine has.

    ``memory`` is for the whole process, in bytes; by default half of what is free. ``files`` is how many there are to
    do, if known. Raises UsageError for less memory than one small tile takes.

    As many inferences run at once as there are threads, each on its own: cores that work on pictures of their own need
    not wait for each other. Fewer, on more threads each, where there are fewer files or where memory is short.
    """
    left = budget(memory) - _BASE_BYTES
    sides = _sides(tile)
    # Half for the network, half for the pixels of files.
    side = next((side for side in sides if _tile_bytes(side) <= left // 2), sides[-1])
    if memory is not None and memory < least(tile):
        advice = "a smaller --tile" if tile is not None else "more"
        raise UsageError(
            f"--memory {memory / 2**30:.2f} is too little: {least(tile) / 2**30:.2f} is the least here. Give {advice}."
        )
    count = threads or machine.cores()
    most = max(1, left // 2 // _tile_bytes(side))
    streams = max(1, min(count, most, jobs or count, count if files is None else files))
    return Resources(
        # Left alone, the runtime knows best which kinds of cores to take, but it does not see a container's limits.
        threads=threads or (count if count < machine.all_cores() else None),
        streams=streams,
        # One file more than inferences: while it is read or written, its processor works for the others.
        jobs=jobs or streams + 1,
        tile=tile if side == sides[0] else side,
        memory=max(left - streams * _tile_bytes(side), 64 << 20),
    )


def least(tile: int | None) -> int:
    """Bytes that a process takes at the least: with one tile at a time, of the side ``tile`` or as small as may be."""
    return _BASE_BYTES + 2 * _tile_bytes(_sides(tile)[-1])


def budget(memory: int | None) -> int:
    """Bytes that a run may take: what was asked for, by default half of what is free."""
    return machine.free_memory() // 2 if memory is None else memory


def bound_pools(given: Resources) -> None:
    """Let the libraries around the network take no more threads, all files under way together, than the network."""
    import cv2

    from . import images

    each = max(1, (given.threads or machine.cores()) // given.jobs)
    cv2.setNumThreads(each)
    images.set_threads(each)


def _sides(tile: int | None) -> tuple[int, ...]:
    """The sides that tiles may have, the largest first."""
    return (tile,) if tile is not None else tuple(core + _SHARED for core in _CORES)


def _tile_bytes(side: int) -> int:
    return TILE_BYTES * side * side


class Room:
    """``size`` bytes of memory that the files under way share, in the order in which they ask."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, needed: int, step: Callable[[], None]) -> Iterator[None]:
        """Within the block ``needed`` bytes are taken. Waits for them, calling ``step`` now and then, which may raise.

        What needs more than there is at all waits until nothing else is under way.
        """
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
        try:
            while not self._take(ticket, needed):
                step()
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._used -= needed
                self._changed.notify_all()

    def _take(self, ticket: object, needed: int) -> bool:
        with self._changed:
            # Nobody is overtaken: else a large file would wait for as long as small ones come.
            if self._waiting[0] is ticket and (self._used == 0 or self._used + needed <= self._size):
                self._used += needed
                return True
            self._changed.wait(_WAIT_SECONDS)
            return False
