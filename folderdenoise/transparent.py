"""Colours that full transparency hides: nobody sees them, and no network mixes them into what is seen."""

from __future__ import annotations

import cv2
import numpy as np

from .codecs.picture import Array, Picture
from .scratch import Scratch, bands, release


def extended(page: Picture, overlap: int, scratch: Scratch) -> Array | None:
    """The (H, W, C) pixels of a page, those that alpha hides replaced by the mirror image across the border of what is
    seen. ``overlap`` is the model's: what is farther away makes no difference to what is seen.

    Other programs leave black there, or the colours that a picture was cut out of; both would show as a fringe. None
    where nothing is hidden. Where all is hidden, the alpha is not meant, and neither is anything hidden. A channel that
    is not said to be alpha hides nothing.
    """
    alpha = page.alpha
    if alpha is None or page.unnamed_channel:
        return None
    seen = sum(int(np.count_nonzero(alpha[rows])) for rows in bands(alpha))
    if seen in (0, alpha.size):
        return None
    reach = 2 * overlap  # that is counted along rows and columns, not across
    result = scratch.empty(page.pixels.shape, page.pixels.dtype)
    for rows in bands(page.pixels):
        around = slice(max(0, rows.start - reach), rows.stop + reach)
        part = _mirrored(page.pixels[around], alpha[around] == 0, reach)
        result[rows] = part[rows.start - around.start :][: rows.stop - rows.start]
        release(result)
    return result


def _mirrored(pixels: Array, hidden: Array, reach: int) -> Array:
    """A copy of (H, W, C) pixels whose ``hidden`` ones, (H, W) of bool, have others instead near the border."""
    pixels = np.array(pixels)
    if not hidden.any() or hidden.all():
        return pixels
    height, width = hidden.shape
    # Each pixel that is seen has a label of its own, and a hidden one that of the nearest.
    distances, labels = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    seen = np.flatnonzero(~hidden)
    place = np.zeros(len(seen) + 1, np.int64)
    place[labels.ravel()[seen]] = seen
    y, x = np.nonzero(hidden & (distances <= reach))
    border_y, border_x = np.divmod(place[labels[y, x]], width)
    across_y, across_x = np.clip(2 * border_y - y, 0, height - 1), np.clip(2 * border_x - x, 0, width - 1)
    is_seen = ~hidden[across_y, across_x]
    pixels[y, x] = pixels[np.where(is_seen, across_y, border_y), np.where(is_seen, across_x, border_x)]
    return pixels


def put_back(result: Array, pixels: Array, alpha: Array) -> None:
    """Colours that ``alpha`` hides, as they were in ``pixels``, both (H, W, C); ``result`` is what became of these."""
    for rows in bands(result):
        np.copyto(result[rows], pixels[rows], where=(alpha[rows] == 0)[..., np.newaxis])
        release(pixels)
