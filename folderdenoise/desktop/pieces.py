"""Which part of a picture is computed next: what is to be seen first, then the rest. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..screen import Rect

CELL = 32
"""Side in pixels of the cells in which is kept what is done."""
_MOST_CELLS = 1200  # 1.2 megapixels: a view of ordinary size is one piece
_BLOCK = 20  # cells: what is more is done in blocks of 640 pixels, so that a change of mind waits for no more than one

Cells = NDArray[np.bool_]


def cells_for(width: int, height: int) -> Cells:
    """A map of a picture in which nothing is done."""
    return np.zeros((-(height // -CELL), -(width // -CELL)), np.bool_)


def next_piece(done: Cells, wanted: Sequence[Rect], width: int, height: int) -> Rect | None:
    """The next part to compute, in pixels, made of whole cells; None when all is done.

    ``done`` is the map of a picture of ``width`` by ``height`` pixels, ``wanted`` its parts in the order in which they
    are wanted; the whole picture comes after them.
    """
    for rect in (*wanted, (0, 0, width, height)):
        piece = _within(done, rect, width, height)
        if piece is not None:
            return piece
    return None


def mark(done: Cells, piece: Rect) -> None:
    """Note that a part that :func:`next_piece` gave is done."""
    left, top, right, bottom = _to_cells(piece)
    done[top:bottom, left:right] = True


def _within(done: Cells, rect: Rect, width: int, height: int) -> Rect | None:
    left, top, right, bottom = _to_cells(_clipped(rect, width, height))
    rows, columns = np.nonzero(~done[top:bottom, left:right])
    if not len(rows):
        return None
    rows, columns = rows + top, columns + left
    box = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
    if (box[2] - box[0]) * (box[3] - box[1]) > _MOST_CELLS:
        nearest = _nearest(rows, columns, ((top + bottom) / 2, (left + right) / 2))
        block = nearest[1] // _BLOCK * _BLOCK, nearest[0] // _BLOCK * _BLOCK
        box = (
            max(box[0], block[0]),
            max(box[1], block[1]),
            min(box[2], block[0] + _BLOCK),
            min(box[3], block[1] + _BLOCK),
        )
    return _clipped((box[0] * CELL, box[1] * CELL, box[2] * CELL, box[3] * CELL), width, height)


def _nearest(rows: NDArray[Any], columns: NDArray[Any], middle: tuple[float, float]) -> tuple[int, int]:
    place = int(np.argmin((rows + 0.5 - middle[0]) ** 2 + (columns + 0.5 - middle[1]) ** 2))
    return int(rows[place]), int(columns[place])


def _to_cells(rect: Rect) -> Rect:
    return rect[0] // CELL, rect[1] // CELL, -(rect[2] // -CELL), -(rect[3] // -CELL)


def _clipped(rect: Rect, width: int, height: int) -> Rect:
    return max(0, rect[0]), max(0, rect[1]), min(width, rect[2]), min(height, rect[3])
