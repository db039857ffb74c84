"""A picture opened for the before/after view: its pixels as stored, and beside them what they become."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import images, pages, transparent
from ..engine import Denoiser, brightening
from ..errors import FolderDenoiseError, UnreadableImageError, UnsupportedImageError
from ..images import Picture
from ..scratch import Scratch
from ..screen import Bytes, Pixels, Rect, Turn, to_screen
from ..tiles import to_float
from . import pieces

MOST_MEGAPIXELS = 400.0
_IN_MEMORY = 768 << 20


@dataclass(frozen=True)
class Wanted:
    """Under which model and strength the picture is to be seen."""

    model: str
    strength: float


@dataclass(frozen=True)
class _Shown:
    """The pixels without the colours that alpha hides, and how much they are brightened: every piece alike."""

    overlap: int
    pixels: Pixels
    gain: float


class TooLargeError(FolderDenoiseError):
    """The picture is too large to be shown."""


class Sheet:
    """One page of a file. ``after`` begins as a copy of the original; what of it is computed, ``done`` says.

    ``width`` and ``height`` are those of the upright picture. ``is_result``: ``after`` is what a run has saved.
    ``made_for``: under which model and strength all of it is computed, None while some is not.
    """

    def __init__(self, path: Path, page: int = 0) -> None:
        """Raises UnreadableImageError and the like, TooLargeError where it cannot be shown, OutputError (disk full)."""
        self.path, self.page = path, page
        self._folder = Path(tempfile.mkdtemp(prefix="folderdenoise-"))
        # Several threads look at it: it goes when the last of them has let go.
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._scratch = scratch = Scratch(self._folder, in_memory=_IN_MEMORY)
        self._picture, self.pages = _read(path, page, scratch)
        self.pixels = self._picture.pixels
        self.after = scratch.empty(self.pixels.shape, self.pixels.dtype)
        self.after[...] = self.pixels
        stored_height, stored_width = self.pixels.shape[:2]
        self.turn = Turn.of(self._picture.metadata.orientation)
        self.width, self.height = self.turn.size(stored_width, stored_height)
        self.done = pieces.cells_for(stored_width, stored_height)
        self.made_for: Wanted | None = None
        self._shown: _Shown | None = None
        self.forget()

    @property
    def is_bilevel(self) -> bool:
        """Only black and white: a run copies it."""
        return self._picture.bilevel

    @property
    def share_done(self) -> float:
        """How much of ``after`` is computed, 0 to 1."""
        return float(self.done.mean())

    def take_result(self, path: Path) -> None:
        """Show the saved result at ``path``. Raises FolderDenoiseError if it cannot be read or is another one."""
        result, _ = _read(path, self.page, Scratch(self._folder, in_memory=_IN_MEMORY))
        if result.pixels.shape != self.pixels.shape or result.pixels.dtype != self.pixels.dtype:
            raise UnreadableImageError(f"{path}: is of another size or kind than {self.path}")
        self.after[...] = result.pixels
        self.done[...] = True
        self.is_result = True

    def forget(self) -> None:
        """Nothing is computed any more; what was stays to be seen until it is replaced."""
        self.made_for = None
        self.done[...] = self.is_bilevel
        self.is_result = False

    def compute(self, piece: Rect, denoiser: Denoiser, strength: float, before_tile: Callable[[], None]) -> None:
        """Compute a part (in stored pixels), as a run would: with as much around it as the model looks at."""
        card = denoiser.card_for(self.pixels.shape[2])
        left, top, right, bottom = (
            max(0, piece[0] - card.overlap) // card.size_multiple * card.size_multiple,
            max(0, piece[1] - card.overlap) // card.size_multiple * card.size_multiple,
            piece[2] + card.overlap,
            piece[3] + card.overlap,
        )
        shown = self._shown_to(card.overlap)
        part = np.ascontiguousarray(shown.pixels[top:bottom, left:right])
        if part.dtype == np.uint16:
            part = to_float(part) * np.float32(shown.gain)
        result = np.empty_like(part)
        pages.denoise_pixels(part, denoiser, strength, Scratch(), result, before_tile)
        inner = result[piece[1] - top : piece[3] - top, piece[0] - left : piece[2] - left]
        if self.pixels.dtype == np.uint16:
            inner = np.rint(np.clip(inner * np.float32(65535 / shown.gain), 0, 65535)).astype(np.uint16)
        place = slice(piece[1], piece[3]), slice(piece[0], piece[2])
        self.after[place] = inner
        if shown.pixels is not self.pixels and self._picture.alpha is not None:
            transparent.put_back(self.after[place], self.pixels[place], self._picture.alpha[place])
        pieces.mark(self.done, piece)

    def _shown_to(self, overlap: int) -> _Shown:
        """What a model of that ``overlap`` gets to see of the whole picture."""
        if self._shown is None or self._shown.overlap != overlap:
            extended = transparent.extended(self._picture, overlap, self._scratch)
            pixels = self.pixels if extended is None else extended
            self._shown = _Shown(overlap, pixels, brightening(pixels) if pixels.shape[2] < 4 else 1)
        return self._shown

    def on_screen(self, pixels: Pixels, rect: Rect, scale: float) -> Bytes:
        """A part of ``pixels`` (``self.pixels`` or ``self.after``), given upright, as (h, w, 3) uint8 for the screen.

        ``scale`` below 1 makes it smaller; it is never made larger here.
        """
        import cv2

        left, top, right, bottom = self.turn.to_stored(rect, self.width, self.height)
        part = pixels[top:bottom, left:right]
        alpha = self._picture.alpha
        cut = None if alpha is None else alpha[top:bottom, left:right]
        if scale < 1:
            size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
            shape = size[1], size[0], part.shape[2]
            part = cv2.resize(np.ascontiguousarray(part), size, interpolation=cv2.INTER_AREA).reshape(shape)
            cut = None if cut is None else cv2.resize(np.ascontiguousarray(cut), size, interpolation=cv2.INTER_AREA)
        shown: Bytes = np.ascontiguousarray(self.turn(to_screen(part, cut, self._picture.metadata.icc)))
        return shown


def _read(path: Path, page: int, scratch: Scratch) -> tuple[Picture, int]:
    try:
        file = images.read(path, max_megapixels=MOST_MEGAPIXELS, scratch=scratch)
    except UnsupportedImageError as error:
        if "more than the limit" in str(error):
            raise TooLargeError(str(error)) from error
        raise
    if page >= len(file.pages):
        raise UnreadableImageError(f"{path}: has no page {page + 1}")
    return file.pages[page], len(file.pages)
