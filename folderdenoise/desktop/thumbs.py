"""Small pictures for the list, made when they are to be seen, in threads of their own."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage, QPixmap

log = logging.getLogger(__name__)

SIDE = 96
"""The longer side of a thumbnail in pixels: twice what it takes on a screen of ordinary density."""
_KEPT = 600
_WAITING = 120
_THREADS = 2
_MOST_BYTES = 64 << 20
_MOST_MEGAPIXELS = 30.0
# libvips reads these through a map of the file, and a map of a file that is cut short ends the process.
_READ_WHOLE = frozenset({".webp", ".gif", ".avif"})


class Thumbs(QObject):
    """Thumbnails by file, made by ``threads``. ``ready`` tells the file, and the picture's width and height in pixels
    (0: not known)."""

    ready = Signal(object, int, int)
    _made = Signal(object, QImage, int, int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pixmaps: OrderedDict[Path, QPixmap | None] = OrderedDict()
        self._waiting: OrderedDict[Path, None] = OrderedDict()
        self._under_way: set[Path] = set()
        self._stale: set[Path] = set()  # of those under way: what they are made of is no longer there
        self._condition = threading.Condition()
        self._is_open = True
        self.threads = [threading.Thread(target=self._work, name="thumbs", daemon=True) for _ in range(_THREADS)]
        self._made.connect(self._on_made)
        for thread in self.threads:
            thread.start()

    def get(self, source: Path) -> QPixmap | None:
        """The thumbnail of a file. Where there is none yet it is asked for, and ``ready`` tells when it is there."""
        if source in self._pixmaps:
            self._pixmaps.move_to_end(source)
            return self._pixmaps[source]
        with self._condition:
            if source not in self._under_way:
                # The newest first, and only so many: what was scrolled by is asked for again when it comes back.
                self._waiting[source] = None
                self._waiting.move_to_end(source)
                while len(self._waiting) > _WAITING:
                    self._waiting.popitem(last=False)
                self._condition.notify()
        return None

    def forget(self, source: Path) -> None:
        """The file is another one now: its thumbnail is made anew when it is asked for."""
        self._pixmaps.pop(source, None)
        with self._condition:
            self._stale |= self._under_way & {source}

    def close(self) -> None:
        """Let the threads end."""
        with self._condition:
            self._is_open = False
            self._waiting.clear()
            self._condition.notify_all()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or not self._is_open)
                if not self._is_open:
                    return
                source, _ = self._waiting.popitem()
                self._under_way.add(source)
            try:
                image, width, height = _thumbnail(source)
            except Exception:
                # A fault of ours, or no memory for it: it must not end the thread that makes all others.
                log.exception("%s: no thumbnail", source)
                image, width, height = QImage(), 0, 0
            with self._condition:
                if not self._is_open:
                    return
                self._made.emit(source, image, width, height)

    def _on_made(self, source: Path, image: QImage, width: int, height: int) -> None:
        with self._condition:
            self._under_way.discard(source)
            is_stale = source in self._stale
            self._stale.discard(source)
        if is_stale:
            self.get(source)
            return
        self._pixmaps[source] = None if image.isNull() else QPixmap.fromImage(image)
        while len(self._pixmaps) > _KEPT:
            self._pixmaps.popitem(last=False)
        self.ready.emit(source, width, height)


def _thumbnail(source: Path) -> tuple[QImage, int, int]:
    """The thumbnail, and the size of the whole picture; a null image where there is none to be had."""
    import pyvips

    from ..codecs import vips
    from ..errors import FolderDenoiseError

    try:
        return _by_vips(source)
    except (pyvips.Error, OSError, vips.Error):
        pass
    try:
        return _by_reader(source)
    except FolderDenoiseError:
        return QImage(), 0, 0


def _by_vips(source: Path) -> tuple[QImage, int, int]:
    import os

    import pyvips

    from ..codecs import vips  # noqa: F401 - sets libvips up

    if source.suffix.lower() in _READ_WHOLE:
        if source.stat().st_size > _MOST_BYTES:
            return QImage(), 0, 0
        stream = pyvips.Source.new_from_memory(source.read_bytes())
    else:
        stream = pyvips.Source.new_from_file(os.fsencode(source))
    whole = pyvips.Image.new_from_source(stream, "")
    width, height = whole.width, whole.height
    if whole.get_typeof("orientation") and whole.get("orientation") > 4:
        width, height = height, width
    if width * height > _MOST_MEGAPIXELS * 1e6 and source.suffix.lower() not in (".jpg", ".jpeg"):
        return QImage(), width, height
    if source.suffix.lower() in (".tif", ".tiff"):
        # What libvips cannot decompress is an error only so; as a thumbnail of its source it is black.
        strict = pyvips.Image.new_from_source(stream, "", fail_on="error")
        small = strict.thumbnail_image(SIDE, height=SIDE, size="down")
    else:
        small = pyvips.Image.thumbnail_source(stream, SIDE, height=SIDE, size="down")
    small = small.colourspace("srgb").cast("uchar")
    if not small.hasalpha():
        small = small.bandjoin(255)
    pixels = np.ascontiguousarray(small.numpy()[..., :4])
    return _image(pixels), width, height


def _by_reader(source: Path) -> tuple[QImage, int, int]:
    import cv2

    from .. import images
    from ..screen import Turn, to_screen

    page = images.read(source, max_megapixels=_MOST_MEGAPIXELS).pages[0]
    height, width = page.pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(page.pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
    alpha = None if page.alpha is None else cv2.resize(page.alpha, size, interpolation=cv2.INTER_AREA)
    turn = Turn.of(page.metadata.orientation)
    shown = turn(to_screen(small, alpha, page.metadata.icc))
    opaque = np.full((*shown.shape[:2], 1), 255, np.uint8)
    size_shown = turn.size(width, height)
    return _image(np.ascontiguousarray(np.concatenate([shown, opaque], axis=2))), *size_shown


def _image(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> QImage:
    height, width = pixels.shape[:2]
    # A copy: the array does not outlive this function.
    return QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()
