"""Images of any size through a network in tiles, joined without seams.

Where an image is cut, the network sees its own zero padding instead of the neighbouring pixels, so results
near the cut are wrong. ``overlap`` is the depth of that damage: a result at ``overlap`` pixels or more from a
cut equals that of the uncut image. Neighbouring tiles therefore share at least ``2 * overlap + RAMP`` pixels;
the outer ``overlap`` of each get weight 0, and in the middle, where both are right, a linear ramp of ``RAMP``
pixels leads from one to the other, so that what difference remains is no visible edge:

    tile a  ─────────────────┬───overlap───┐ cut
    weight  1 1 1 1 1 1 1 1 1 \\ 0 0 0 0 0 0
    weight        0 0 0 0 0 0  \\ 1 1 1 1 1 1 1 1 1
    tile b        cut ┌─overlap─┬────────────────────
                                └ RAMP

The borders of the image itself are no cuts: there a tile sees exactly what the whole image would show. Tiles
begin at multiples of the network's size multiple, because a network with strides repeats itself only at that
step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .scratch import release

RAMP = 16
# At an overlap of 64, 12 % of a 12-megapixel photograph is done twice (1024: 19 %, and 11 % slower). 2048 is no faster,
# and takes 0.3 GB more memory.
DEFAULT_CORE = 1536

Pixels: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float32]
Network: TypeAlias = Callable[[Floats], Floats]


class Span(NamedTuple):
    """One tile along one axis: its origin, the part of it that counts, and a weight for each pixel of that."""

    origin: int
    start: int
    stop: int
    weights: Floats


def denoise_tiled(
    pixels: Pixels,
    network: Network,
    *,
    tile: int | None = None,
    overlap: int,
    multiple: int = 1,
    into: Pixels | None = None,
) -> Pixels:
    """Run ``network`` over an image of any size and return an image of the same shape and dtype.

    Parameters
    ----------
    pixels : (H, W, C) array
        Integers use their whole range (255 or 65535 is white); floats are nominally in [0, 1] and are neither
        clipped nor scaled. Never modified; need not be contiguous.
    network : callable
        (1, h, w, C) float32, nominally in [0, 1], to the same shape; h and w are multiples of ``multiple``.
    tile : int, optional
        Side in pixels of the square that the network sees at once, overlap included; the default gives cores
        of ``DEFAULT_CORE`` pixels. Raised to the smallest size that ``overlap`` allows, and lowered to what
        the image needs: an image smaller than a tile is one tile of its own size, rounded up to ``multiple``
        by reflection.
    overlap : int
        How far from a cut, in pixels, results are wrong.
    multiple : int
        Sizes that the network takes are multiples of this.
    into : array, optional
        Where the result goes, of the shape and dtype of ``pixels``; by default a new array.

    Notes
    -----
    All tiles of an image have one shape. Memory beyond the result is that of a few tiles in float32, of one
    row of tiles at the image's depth, and of its ramp in float32. Integers are rounded to nearest, then
    clipped.
    """
    result = np.empty(pixels.shape, pixels.dtype) if into is None else into
    for top, strip in _strips(pixels, network, tile, overlap, multiple):
        result[top : top + len(strip)] = strip
        release(pixels, result)
    return result


def layout(length: int, tile: int | None, overlap: int, multiple: int) -> tuple[int, list[Span]]:
    """Cut an axis of ``length`` pixels into tiles of one size: that size, and each tile's Span.

    The weights of all spans sum to 1 at each pixel, and at most two spans meet at a pixel.
    """
    padded = _round_up(length, multiple)
    # Rounding the origins down to the multiple can cost up to multiple - 1 pixels of the shared part.
    shared = 2 * overlap + RAMP + multiple - 1
    # A tile must advance by more than RAMP whatever the rounding does, or three tiles would meet at a pixel.
    smallest = shared + 2 * RAMP + 3 * multiple
    tile = _round_up(max(shared + DEFAULT_CORE if tile is None else tile, smallest), multiple)
    if tile >= padded:
        return padded, [Span(0, 0, length, np.ones(length, np.float32))]
    count = -((padded - shared) // -(tile - shared))
    tile = _round_up(-((padded + (count - 1) * shared) // -count), multiple)  # no larger than so many tiles need
    origins = [(padded - tile) * i // (count - 1) // multiple * multiple for i in range(count)]

    spans = []
    ramp = (np.arange(RAMP, dtype=np.float32) + 0.5) / RAMP
    cuts = [(left + tile + right) // 2 - RAMP // 2 for left, right in itertools.pairwise(origins)]
    for i, origin in enumerate(origins):
        start = cuts[i - 1] if i > 0 else 0
        stop = cuts[i] + RAMP if i < count - 1 else length
        weights = np.ones(stop - start, np.float32)
        if i > 0:
            weights[:RAMP] = ramp
        if i < count - 1:
            weights[-RAMP:] = 1 - ramp
        spans.append(Span(origin, start, stop, weights))
    return tile, spans


def _strips(
    pixels: Pixels, network: Network, tile: int | None, overlap: int, multiple: int
) -> Iterator[tuple[int, Pixels]]:
    """Yield (first row, finished rows) from top to bottom, each row of the image once.

    Only ramps outlive a tile as floats: of the tile to the left, and of the whole row of tiles above.
    """
    height, width, channels = pixels.shape
    tile_height, rows = layout(height, tile, overlap, multiple)
    tile_width, columns = layout(width, tile, overlap, multiple)
    above = np.empty((0, width, channels), np.float32)
    for row in rows:
        ramp_below = RAMP if row is not rows[-1] else 0
        finished = row.stop - row.start - ramp_below
        strip = np.empty((finished, width, channels), pixels.dtype)
        below = np.empty((ramp_below, width, channels), np.float32)
        left = np.empty((row.stop - row.start, 0, channels), np.float32)
        for column in columns:
            patch = pixels[row.origin : row.origin + tile_height, column.origin : column.origin + tile_width]
            answer = network(_pad(to_float(patch), tile_height, tile_width)[np.newaxis])[0]
            part = answer[
                row.start - row.origin : row.stop - row.origin,
                column.start - column.origin : column.stop - column.origin,
            ] * (row.weights[:, np.newaxis, np.newaxis] * column.weights[:, np.newaxis])
            part[:, : left.shape[1]] += left
            complete = part.shape[1] - (RAMP if column is not columns[-1] else 0)
            part, left = part[:, :complete], part[:, complete:]
            across = slice(column.start, column.start + complete)
            part[: len(above)] += above[:, across]
            below[:, across] = part[finished:]
            strip[:, across] = _to_dtype(part[:finished], pixels.dtype)
        yield row.start, strip
        above = below


def to_float(pixels: Pixels) -> Floats:
    """A contiguous float32 copy, integers scaled so that their largest value is 1."""
    floats = np.array(pixels, np.float32, order="C")
    if pixels.dtype.kind == "u":
        floats /= np.float32(np.iinfo(pixels.dtype).max)
    return floats


def _to_dtype(floats: Floats, dtype: np.dtype[Any]) -> Pixels:
    if dtype.kind != "u":
        return floats
    white = np.float32(np.iinfo(dtype).max)
    levels: Pixels = np.clip(np.rint(floats * white), 0, white).astype(dtype)
    return levels


def _pad(patch: Floats, height: int, width: int) -> Floats:
    """Extend at the bottom and on the right by reflection, as often as it takes; one pixel is repeated."""
    bottom, right = height - patch.shape[0], width - patch.shape[1]
    if bottom == 0 and right == 0:
        return patch
    padded = cv2.copyMakeBorder(patch, 0, bottom, 0, right, cv2.BORDER_REFLECT_101)
    return np.reshape(padded, (height, width, patch.shape[2]))  # OpenCV drops a single channel's axis


def _round_up(value: int, multiple: int) -> int:
    return -(value // -multiple) * multiple
