"""Room for pixels: in memory while there is little of it, in scratch files on the disk beyond that.

A scratch file is mapped into memory, so that every room works on it as on any array. Mapped pages count as memory
of the process until they are let go: who walks over a large array calls :func:`release` now and then.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import OutputError
from .tree import TEMPORARY_SUFFIX

Array: TypeAlias = NDArray[Any]

IN_MEMORY = 512 << 20
"""Bytes that the pixels of one file, as read and as denoised, may take in memory."""

_BLOCK = 16 << 20


class Scratch:
    """Gives out arrays, the first ``in_memory`` bytes of them in memory, the others in files in ``folder``.

    The files have no names: each is gone with its array, whatever ends the process. Without ``folder`` everything is in
    memory.
    """

    def __init__(self, folder: Path | None = None, in_memory: int = IN_MEMORY) -> None:
        self._folder = folder
        self._left = in_memory

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """An array to be filled. Raises OutputError where the disk has no room for it."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if self._folder is None or size <= self._left:
            self._left -= size
            return np.empty(shape, dtype)
        try:
            # On Linux it never has a name, elsewhere for a moment; Windows removes it when the last one lets go.
            with tempfile.TemporaryFile(dir=self._folder, prefix=".", suffix=TEMPORARY_SUFFIX, buffering=0) as file:
                _reserve(file, size)
                return np.memmap(file, np.dtype(dtype), "r+", shape=shape)  # which keeps it open
        except OSError as error:
            raise OutputError(
                f"{self._folder}: no room for {size / 2**30:.1f} GiB of scratch files for a large image "
                f"({error.strerror or error}). Free some, or choose another disk with --out."
            ) from error


def _reserve(file: IO[bytes], size: int) -> None:
    """Give a file its disk space now: running out of it while writing to mapped memory would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    while size > 0:
        size -= file.write(bytes(min(size, _BLOCK)))


def root(array: Array) -> np.memmap[Any, Any] | None:
    """The whole scratch file that ``array`` is (a part of); None for an array in memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array if isinstance(array, np.memmap) else None


def release(*arrays: Array) -> None:
    """Let go of the memory behind scratch files: it comes back from the disk when it is looked at again."""
    for array in arrays:
        whole = root(array)
        if whole is not None and hasattr(mmap, "MADV_DONTNEED") and isinstance(whole.base, mmap.mmap):
            whole.base.madvise(mmap.MADV_DONTNEED)


def bands(array: Array) -> Iterator[slice]:
    """Slices of rows, of a few megabytes each, from top to bottom; memory is let go after each."""
    step = max(1, _BLOCK // max(1, array[:1].nbytes))
    for top in range(0, len(array), step):
        yield slice(top, top + step)
        release(array)
