"""The work behind the before/after view, in threads: opening, computing what is to be seen first, making it visible."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from ..engine import Denoiser
from ..errors import FolderDenoiseError
from ..screen import Bytes, Rect
from . import pieces
from .latest import Latest
from .sheet import Sheet, Wanted


@dataclass(frozen=True)
class Glance:
    """What of a sheet is looked at, in upright pixels: ``visible``, of that ``result`` where the result is to be seen,
    and ``rect``, some more around it, to be drawn. ``scale`` as for ``Sheet.on_screen``."""

    rect: Rect
    visible: Rect
    result: Rect
    scale: float


@dataclass(frozen=True)
class Frame:
    """Two pictures of the part ``rect`` of a sheet, ready to be painted. ``made_for``: the sheet's."""

    sheet: Sheet
    rect: Rect
    before: QImage
    after: QImage
    made_for: Wanted | None


class Preview(QObject):
    """Opens pictures and keeps what is looked at up to date. Everything is asked for by the window's thread, and told
    there by signals; what has become stale on the way is not told."""

    opened = Signal(object)
    failed = Signal(object)
    drawn = Signal(object)
    progressed = Signal(float)
    _opened = Signal(int, object, object)
    _failed = Signal(int, object)
    _drawn = Signal(object)
    _progressed = Signal(object, float)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._opening, self._computing, self._drawing = Latest("open"), Latest("compute"), Latest("draw")
        self._lock = threading.Lock()
        self._number = 0
        self._sheet: Sheet | None = None
        self._wanted = Wanted("auto", 1.0)
        self._glance: Glance | None = None
        self._denoisers: dict[str, Denoiser] = {}
        self._before: tuple[Sheet, Rect, float, QImage] | None = None
        self._opened.connect(self._on_opened)
        self._failed.connect(self._on_failed)
        self._drawn.connect(self._on_drawn)
        self._progressed.connect(self._on_progressed)

    @property
    def sheet(self) -> Sheet | None:
        """What is open."""
        return self._sheet

    @property
    def wanted(self) -> Wanted:
        """Under which model and strength pictures are shown."""
        return self._wanted

    def open(self, path: Path, page: int, result: Path | None) -> None:
        """Open a page of a file; ``result``: what a run has saved of it under the present model and strength."""
        self._number += 1
        number, wanted = self._number, self._wanted

        def job(check: Callable[[], None]) -> None:
            try:
                sheet = Sheet(path, page)
                if result is not None:
                    _try_result(sheet, result)
                check()
            except (FolderDenoiseError, MemoryError) as error:
                self._failed.emit(number, error)
            else:
                self._opened.emit(number, sheet, wanted)

        self._opening.ask(job)

    def close_sheet(self) -> None:
        """Show nothing."""
        self._number += 1
        self._let_go()

    def close(self) -> None:
        """Let the threads end."""
        self._number += 1
        for thread in (self._opening, self._computing, self._drawing):
            thread.close()
        self._let_go()

    @property
    def threads(self) -> list[threading.Thread]:
        """What ends some time after ``close``."""
        return [latest.thread for latest in (self._opening, self._computing, self._drawing)]

    def want(self, wanted: Wanted) -> None:
        """From now on, show what is looked at under this model and strength."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if self._sheet is not None:
            self._compute(afresh=True)

    def look(self, glance: Glance) -> None:
        """Show this part of the picture: it is drawn soon, and what of it is not computed yet comes next."""
        with self._lock:
            known, self._glance = self._glance, glance
        if known is None or (known.rect, known.scale) != (glance.rect, glance.scale):
            self._draw()

    def _compute(self, *, afresh: bool) -> None:
        sheet, wanted, number = self._sheet, self._wanted, self._number

        def job(check: Callable[[], None]) -> None:
            assert sheet is not None
            if afresh:
                sheet.forget()
            try:
                self._compute_all(sheet, wanted, check)
            except (FolderDenoiseError, MemoryError) as error:
                check()
                self._failed.emit(number, error)

        self._computing.ask(job)

    def _compute_all(self, sheet: Sheet, wanted: Wanted, check: Callable[[], None]) -> None:
        height, width = sheet.pixels.shape[:2]
        while True:
            with self._lock:
                glance = self._glance
            rects = [] if glance is None else [glance.result, glance.visible, glance.rect]
            upright = [sheet.turn.to_stored(rect, sheet.width, sheet.height) for rect in rects]
            piece = pieces.next_piece(sheet.done, upright, width, height)
            if piece is None:
                sheet.made_for = wanted
                self._progressed.emit(sheet, 1.0)
                return
            check()
            if wanted.model not in self._denoisers:
                self._denoisers[wanted.model] = Denoiser(wanted.model)
            sheet.compute(piece, self._denoisers[wanted.model], wanted.strength, check)
            self._progressed.emit(sheet, sheet.share_done)

    def _draw(self) -> None:
        sheet, glance = self._sheet, self._glance
        if sheet is None or glance is None:
            return

        def job(_: Callable[[], None]) -> None:
            assert sheet is not None
            assert glance is not None
            before = self._before
            if before is None or before[:3] != (sheet, glance.rect, glance.scale):
                image = _image(sheet.on_screen(sheet.pixels, glance.rect, glance.scale))
                before = self._before = (sheet, glance.rect, glance.scale, image)
            made_for = sheet.made_for
            after = _image(sheet.on_screen(sheet.after, glance.rect, glance.scale))
            self._drawn.emit(Frame(sheet, glance.rect, before[3], after, made_for))

        self._drawing.ask(job)

    def _let_go(self) -> None:
        sheet, self._sheet, self._glance = self._sheet, None, None
        if sheet is None:
            return
        # The threads let go of it, too.
        self._computing.ask(lambda check: None)
        self._drawing.ask(lambda check: self._forget_before())

    def _forget_before(self) -> None:
        self._before = None

    def _on_opened(self, number: int, sheet: Sheet, wanted: Wanted) -> None:
        if number != self._number:
            return
        self._let_go()
        self._sheet = sheet
        self.opened.emit(sheet)
        # What was saved under other settings is not what is wanted now.
        self._compute(afresh=wanted != self._wanted)

    def _on_failed(self, number: int, error: Exception) -> None:
        if number == self._number:
            self.failed.emit(error)

    def _on_drawn(self, frame: Frame) -> None:
        if frame.sheet is self._sheet:
            self.drawn.emit(frame)

    def _on_progressed(self, sheet: Sheet, share: float) -> None:
        if sheet is self._sheet:
            self.progressed.emit(share)
            self._draw()


def _try_result(sheet: Sheet, result: Path) -> None:
    try:
        sheet.take_result(result)
    except FolderDenoiseError:
        # Moved away or changed meanwhile: it is computed anew.
        sheet.forget()


def _image(pixels: Bytes) -> QImage:
    height, width = pixels.shape[:2]
    # A copy: the array does not outlive this function.
    return QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
