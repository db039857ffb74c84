"""Pictures for the report: the part of a page where it matters, before and after, as it looks on a screen."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyvips
from numpy.typing import NDArray

from .. import images
from ..errors import FolderDenoiseError, UnreadableImageError
from ..images import Picture
from ..quality import to_unit
from ..scratch import Scratch, release
from ..screen import Rect, Turn, to_screen

CROP = (576, 360)
"""Width and height of a crop in pixels of the image; at most, where there is much noise."""
MOST_BYTES = 6_000_000
"""What the pictures of one report take together, at most."""
MOST_MEGAPIXELS = 300.0
"""Larger files are not opened for the report, which is to be there soon."""

_THUMB = (176, 132)
_BLOCK = 16
_SMALL = 176  # what is smaller on both sides is shown enlarged by a whole number
_NEARLY_ALL = 0.7  # of a page: then it needs no small picture of all of it beside the crop
_STRIP_PIXELS = 2_000_000
_QUALITY = 90  # without chroma subsampling: noise looks as it is


@dataclass(frozen=True)
class Shot:
    """Pictures of one page as data URIs, and their size in CSS pixels: ``zoom`` for each pixel of the image.

    ``thumb`` is the whole page with the place of the crop marked, None where that is nearly all of it. ``before`` is
    None where ``note`` says why.
    """

    after: str
    before: str | None
    thumb: str | None
    width: int
    height: int
    zoom: int
    note: str = ""


def take(before: Path | str, after: Path, page: int, scratch_folder: Path, most_bytes: int = MOST_BYTES) -> Shot | str:
    """Pictures of page ``page`` (from 1) of the files, or why there are none.

    ``before`` is a file, or why it is not to be had. What does not fit into memory goes through scratch files in
    ``scratch_folder``. Together the pictures have at most ``most_bytes``, of which some 100,000 are needed: of noise,
    which no JPEG can make small, a smaller part is shown. At a lower quality it would no longer look as it is.
    """
    scratch = Scratch(scratch_folder, in_memory=256 << 20)
    try:
        result = _page(after, page, scratch)
    except FolderDenoiseError as error:
        return f"The result cannot be shown: {error}"
    original, note = None, before if isinstance(before, str) else ""
    if isinstance(before, Path):
        try:
            original = _page(before, page, scratch)
        except FolderDenoiseError as error:
            note = f"The original cannot be shown: {error}"
    if original is not None and original.pixels.shape[:2] != result.pixels.shape[:2]:
        original, note = None, "The original cannot be shown beside it: it is of another size."
    return _shot(original, result, note, most_bytes)


def _page(path: Path, page: int, scratch: Scratch) -> Picture:
    pages = images.read(path, max_megapixels=MOST_MEGAPIXELS, scratch=scratch).pages
    if page > len(pages):
        raise UnreadableImageError(f"{path}: has no page {page}")
    return pages[page - 1]


def _shot(original: Picture | None, result: Picture, note: str, most_bytes: int) -> Shot:
    height, width = result.pixels.shape[:2]
    left, top = choose(None if original is None else original.pixels, result.pixels)
    frame = left, top, min(left + CROP[0], width), min(top + CROP[1], height)
    while True:
        after = _uri(_cut(result, frame))
        before = None if original is None else _uri(_cut(original, frame))
        area = (frame[2] - frame[0]) * (frame[3] - frame[1])
        thumb = _thumb(result, frame) if area < _NEARLY_ALL * width * height else None
        spare = most_bytes - len(thumb or "")
        crops = len(after) + len(before or "")
        if crops <= spare:
            break
        frame = _middle(frame, 0.95 * math.sqrt(spare / crops))
    zoom = max(1, _SMALL // max(width, height))
    shown_width, shown_height = Turn.of(result.metadata.orientation).size(frame[2] - frame[0], frame[3] - frame[1])
    return Shot(after, before, thumb, shown_width * zoom, shown_height * zoom, zoom, note)


def _middle(frame: Rect, share: float) -> Rect:
    """The middle of a part, its sides shorter by the factor ``share``."""
    left, top, right, bottom = frame
    width, height = max(1, int(share * (right - left))), max(1, int(share * (bottom - top)))
    left, top = left + (right - left - width) // 2, top + (bottom - top - height) // 2
    return left, top, left + width, top + height


def choose(before: NDArray[Any] | None, after: NDArray[Any]) -> tuple[int, int]:
    """Left and top of the crop where most is to be seen: detail in the result, and strong changes.

    Both are ``(H, W, C)`` arrays of one height and width. In blocks of 16 × 16 pixels, detail is the deviation of the
    brightness, of which more than 25 levels count no more: edges would win over texture. Change is the root mean
    square difference, as a share of that of the most changed block. The crop with the highest mean of both wins, the
    topmost and leftmost of equal ones.
    """
    height, width = after.shape[:2]
    crop_width, crop_height = min(CROP[0], width), min(CROP[1], height)
    if (crop_width, crop_height) == (width, height):
        return 0, 0
    detail, change = _blocks(before, after)
    interest = np.minimum(detail * 255.0 / 25.0, 1.0)
    if change.max(initial=0.0) > 0.0:
        interest += change / change.max()
    down, across = (max(1, side // _BLOCK) for side in (crop_height, crop_width))
    sums = np.zeros((interest.shape[0] + 1, interest.shape[1] + 1))
    sums[1:, 1:] = interest.cumsum(axis=0).cumsum(axis=1)
    windows = sums[down:, across:] - sums[:-down, across:] - sums[down:, :-across] + sums[:-down, :-across]
    # Rounded, so that sums of the same blocks in another order do not decide.
    row, column = np.unravel_index(int(np.round(windows, 9).argmax()), windows.shape)
    return min(int(column) * _BLOCK, width - crop_width), min(int(row) * _BLOCK, height - crop_height)


def _blocks(before: NDArray[Any] | None, after: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Detail and change of each whole block, in [0, 1]."""
    rows, columns = (max(1, side // _BLOCK) for side in after.shape[:2])
    detail, change = np.zeros((rows, columns)), np.zeros((rows, columns))
    step = max(1, _STRIP_PIXELS // (_BLOCK * after.shape[1]))
    for first in range(0, rows, step):
        here = slice(first, min(first + step, rows))
        part = slice(here.start * _BLOCK, here.stop * _BLOCK), slice(0, columns * _BLOCK)
        strip = to_unit(after[part])
        gray = strip.mean(axis=2)
        means = _means(gray)
        detail[here] = np.sqrt(np.maximum(_means(gray * gray) - means * means, 0.0))
        if before is not None and before.shape[2] == after.shape[2]:
            change[here] = np.sqrt(_means(np.square(strip - to_unit(before[part])).mean(axis=2)))
            release(before)
        release(after)
    return detail, change


def _means(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = max(1, plane.shape[0] // _BLOCK), max(1, plane.shape[1] // _BLOCK)
    means: NDArray[np.float64] = plane.reshape(rows, plane.shape[0] // rows, columns, plane.shape[1] // columns).mean(
        axis=(1, 3)
    )
    return means


def _cut(page: Picture, frame: Rect) -> Picture:
    part = slice(frame[1], frame[3]), slice(frame[0], frame[2])
    alpha = None if page.alpha is None else page.alpha[part].copy()
    return replace(page, pixels=page.pixels[part].copy(), alpha=alpha)


def _thumb(page: Picture, frame: Rect) -> str:
    """The whole page, small, with ``frame`` drawn in."""
    height, width = page.pixels.shape[:2]
    factor = math.ceil(max(width / _THUMB[0], height / _THUMB[1]))
    alpha = None if page.alpha is None else _shrunk(page.alpha[..., np.newaxis], factor)[..., 0]
    small = replace(page, pixels=_shrunk(page.pixels, factor), alpha=alpha)
    return _uri(small, tuple(side // factor for side in frame))


def _shrunk(pixels: NDArray[Any], factor: int) -> NDArray[Any]:
    """``(H, W, C)`` pixels smaller by a whole number, each the mean of ``factor`` × ``factor``."""
    rows, columns = (max(1, side // factor) for side in pixels.shape[:2])
    small = np.empty((rows, columns, pixels.shape[2]), pixels.dtype)
    # Row by row, so that a large page is never in memory whole.
    for row in range(rows):
        strip = pixels[row * factor : (row + 1) * factor, : columns * factor].astype(np.float32)
        means = cv2.resize(strip, (columns, 1), interpolation=cv2.INTER_AREA).reshape(columns, -1)
        small[row] = np.rint(means) if small.dtype.kind == "u" else means
        release(pixels)
    return small


def _uri(page: Picture, frame: tuple[int, ...] | None = None) -> str:
    """The picture as a screen shows it, upright, as a data URI; with ``frame`` (left, top, right, bottom) drawn in."""
    shown = to_screen(page.pixels, page.alpha, page.metadata.icc)
    if frame is not None:
        shown = np.ascontiguousarray(shown)
        for shade, thickness in ((0, 3), (255, 1)):
            cv2.rectangle(shown, frame[:2], (frame[2] - 1, frame[3] - 1), (shade,) * 3, thickness)
    upright = np.ascontiguousarray(Turn.of(page.metadata.orientation)(shown))
    image = pyvips.Image.new_from_array(upright, interpretation="srgb")
    data = image.jpegsave_buffer(Q=_QUALITY, subsample_mode="off", keep="none")
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
