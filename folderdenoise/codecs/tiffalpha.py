"""Colours that a TIFF file holds multiplied by their alpha: for which pages, and what that does to them."""

from __future__ import annotations

import numpy as np

from folderdenoise.codecs import scale
from folderdenoise.codecs.picture import Encoding, Picture
from folderdenoise.scratch import bands, release

MIXED_NOTE = "all pages are stored with colours multiplied by the alpha, or not, as those of the first"
# Levels of 255 by which colours, times alpha, may come back changed: cut off where they are divided and rounded where
# they are multiplied. In floats libvips takes an alpha below 0.01 for none.
_ROUNDING = {"uint8": 2.0, "uint16": 2.0 / 257, "float32": 3.0}


def is_premultiplied(page: Picture, encoding: Encoding) -> bool:
    """Whether the colours of the page are multiplied by its alpha in the file; an extra channel that is not called
    alpha changes none, whatever the first page has."""
    return encoding.premultiplied and page.alpha is not None and not page.unnamed_channel


def levels_apart(page: Picture, again: Picture) -> tuple[float, float]:
    """The largest difference of a sample, times alpha, on a scale to 255, and how large it may be.

    Plain colours say nothing where they are hardly seen, and a mean says little where most of the picture is empty.
    Floats beyond white count by their own size.
    """
    if page.alpha is None or again.alpha is None:
        return 0.0, 0.0
    white = np.float32(1 if page.pixels.dtype.kind == "f" else np.iinfo(page.pixels.dtype).max)
    most = 0.0
    for rows in bands(page.pixels):
        stored = scale.rescaled(again.pixels[rows], again.scale, page.scale)
        # Row by row: a band of bytes would be four times as large in floats.
        for was, alpha, now, alpha_now in zip(
            page.pixels[rows], page.alpha[rows], stored, again.alpha[rows], strict=True
        ):
            seen, seen_now = (values[:, None] / white for values in (alpha, alpha_now))
            colours = np.abs(was * seen - now * seen_now) / np.maximum(white, np.abs(was))
            most = max(most, float(colours.max()), float(np.abs(seen - seen_now).max()))
        release(again.pixels, again.alpha)
    return 255 * most, _ROUNDING[page.pixels.dtype.name]
