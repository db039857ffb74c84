"""Room for pixels: in memory while there is little of it, in scratch files on the disk beyond that.

A scratch file is mapped into memory, so that every room works on it as on any array. Mapped pages count as memory
of the process until they are let go: who walks over a large array calls :func:`release` now and then.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

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

    Leave its ``with`` block only when the arrays are no longer in use: that removes the files. Without ``folder``
    everything is in memory.
    """

    def __init__(self, folder: Path | None = None, in_memory: int = IN_MEMORY) -> None:
        self._folder = folder
        self._left = in_memory
        self._files: list[Path] = []

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file in self._files:
            with contextlib.suppress(OSError):  # on Windows while something still looks at it; the name says what it is
                file.unlink()
        self._files.clear()

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """An array to be filled. Raises OutputError where the disk has no room for it."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if self._folder is None or size <= self._left:
            self._left -= size
            return np.empty(shape, dtype)
        try:
            path = self._file(self._folder)
            _reserve(path, size)
        except OSError as error:
            raise OutputError(
                f"{self._folder}: no room for {size / 2**30:.1f} GiB of scratch files for a large image "
                f"({error.strerror or error}). Free some, or choose another disk with --out."
            ) from error
        array = np.memmap(path, np.dtype(dtype), "r+", shape=shape)
        try:
            path.unlink()  # the map keeps it alive: so it is gone whatever ends the process
        except OSError:  # Windows
            self._files.append(path)
        return array

    def _file(self, folder: Path) -> Path:
        path = folder / f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
        path.touch(exist_ok=False)
        return path


def _reserve(path: Path, size: int) -> None:
    """Give a file its disk space now: running out of it while writing to mapped memory would end the process."""
    with path.open("r+b") as file:
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
