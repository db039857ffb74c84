"""The right side of the window: the before/after view with its zoom buttons, pages and state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from . import plain
from .preview import Preview
from .sheet import Sheet, TooLargeError, Wanted
from .texts import text
from .view import SplitView
from .widgets import ElidedLabel


@dataclass(frozen=True)
class Shown:
    """A file to show; ``result``: what a run has saved of it under the present model and strength. ``stamp``: another
    one for another content."""

    source: Path
    result: Path | None = None
    stamp: tuple[int, int] = (0, 0)


class Comparison(QWidget):
    """Shows one file, before and after."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.preview = Preview(self)
        self.view = SplitView()
        self._shown: Shown | None = None
        self._message = QLabel(text("view_empty"))
        self._message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._message.setWordWrap(True)
        self._message.setTextFormat(Qt.TextFormat.PlainText)
        self._message.setMargin(24)
        self._message.setFrameShape(QLabel.Shape.StyledPanel)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._message)
        self._stack.addWidget(self.view)
        self.page = QSpinBox()
        self.page.setMinimum(1)
        self.page.setAccessibleName(text("page").replace("&", ""))
        self._page_label = QLabel(text("page"))
        self._page_label.setBuddy(self.page)
        self._zoom = QLabel()
        self._zoom.setMinimumWidth(self.fontMetrics().horizontalAdvance(text("zoom", n=1600)))
        self._zoom.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._state = ElidedLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._tools())
        layout.addWidget(self._stack, 1)
        self._connect()
        self._set_pages(0)

    def show_file(self, shown: Shown | None) -> None:
        """Show a file, or nothing. One that is shown already stays as it is, unless it is another one by now."""
        known = self._shown
        if shown is not None and known is not None and (shown.source, shown.stamp) == (known.source, known.stamp):
            return
        self._shown = shown
        self._set_pages(0)
        self.page.setValue(1)
        self.preview.close_sheet()
        self._say(text("view_empty") if shown is None else text("view_loading"))
        if shown is not None:
            self.preview.open(shown.source, 0, shown.result)

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing more to come: the picture is to be seen with all of its result, or why it is not."""
        if self._stack.currentWidget() is self._message:
            return self._message.text() != text("view_loading")
        frame = self.view.frame
        return frame is not None and frame.made_for == self.preview.wanted

    def want(self, wanted: Wanted) -> None:
        """Show it under this model and strength."""
        self.preview.want(wanted)
        sheet = self.preview.sheet
        if sheet is not None and self._stack.currentWidget() is self._message:
            # Another model or strength may do what the last one could not.
            self._stack.setCurrentWidget(self.view)
            self._on_progressed(sheet.share_done)

    def _tools(self) -> QHBoxLayout:
        tools = QHBoxLayout()
        for key, action in (("fit", self.view.fit), ("full", self.view.full)):
            button = QPushButton(text(key))
            button.setToolTip(text(f"{key}_hint"))
            button.clicked.connect(action)
            tools.addWidget(button)
        for sign, key, action in (("−", "zoom_out", self.view.zoom_out), ("+", "zoom_in", self.view.zoom_in)):
            tool = QToolButton()
            tool.setText(sign)
            tool.setToolTip(text(key))
            tool.setAccessibleName(text(key))
            tool.clicked.connect(action)
            tools.addWidget(tool)
            if sign == "−":
                tools.addWidget(self._zoom)
        tools.addSpacing(8)
        tools.addWidget(self._page_label)
        tools.addWidget(self.page)
        tools.addWidget(self._state, 1)
        return tools

    def _connect(self) -> None:
        self.preview.opened.connect(self._on_opened)
        self.preview.failed.connect(self._on_failed)
        self.preview.drawn.connect(self.view.show_frame)
        self.preview.progressed.connect(self._on_progressed)
        self.view.looked.connect(self.preview.look)
        self.view.zoomed.connect(lambda zoom: self._zoom.setText(text("zoom", n=round(100 * zoom))))
        self.page.valueChanged.connect(self._on_page)

    def _on_page(self, page: int) -> None:
        sheet = self.preview.sheet
        if self._shown is not None and sheet is not None and page != sheet.page + 1:
            self.preview.open(self._shown.source, page - 1, self._shown.result)

    def _on_opened(self, sheet: Sheet) -> None:
        self._set_pages(sheet.pages)
        self._stack.setCurrentWidget(self.view)
        self.view.show_picture(QSize(sheet.width, sheet.height))
        self._on_progressed(sheet.share_done)

    def _on_failed(self, error: Exception) -> None:
        self._say(text("view_too_large") if isinstance(error, TooLargeError) else plain.about_error(error))

    def _on_progressed(self, share: float) -> None:
        sheet = self.preview.sheet
        if sheet is None:
            return
        if sheet.is_bilevel:
            state = text("view_bilevel")
        elif sheet.is_result:
            state = text("view_result")
        else:
            state = text("view_preview") if share >= 1 else text("view_computing", n=int(100 * share))
        self._state.setText(f"{state} · {sheet.path.name}")

    def _say(self, message: str) -> None:
        self._message.setText(message)
        self._stack.setCurrentWidget(self._message)
        self._state.setText("")

    def _set_pages(self, pages: int) -> None:
        self.page.setMaximum(max(1, pages))
        self.page.setSuffix(text("page_of", n=pages))
        for widget in (self._page_label, self.page):
            widget.setVisible(pages > 1)
