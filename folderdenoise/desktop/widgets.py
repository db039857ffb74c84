"""Small widgets that several parts of the window use."""

from __future__ import annotations

from PySide6 import QtGui
from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from .texts import text


def as_tip(content: str) -> str:
    """Text for a tool tip, which takes what looks like HTML for it: a file may be called <b>."""
    return QtGui.Qt.convertFromPlainText(content) if QtGui.Qt.mightBeRichText(content) else content


class ElidedLabel(QLabel):
    """One line that shows as much of its text as there is room for, the middle left out; the tip has all of it."""

    def __init__(self, content: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setText(content)

    def setText(self, content: str) -> None:  # noqa: N802
        """Show this."""
        super().setText(content)
        self.setToolTip(as_tip(content))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """A few letters."""
        return QSize(self.fontMetrics().averageCharWidth() * 8, self.fontMetrics().height())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """The text, shortened."""
        painter = QPainter(self)
        room: QRect = self.contentsRect()
        line = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideMiddle, room.width())
        self.style().drawItemText(
            painter,
            room,
            int(self.alignment() | Qt.AlignmentFlag.AlignVCenter),
            self.palette(),
            self.isEnabled(),
            line,
            self.foregroundRole(),
        )


class Notice(QFrame):
    """A few words about what went wrong, with a button that shows all there is to know about it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._full, self.about = "", "file"
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.button = QPushButton(text("details"))
        self.button.clicked.connect(lambda: Details(self._full, self).open())
        layout = QHBoxLayout(self)
        layout.addWidget(self.words, 1)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def tell(self, words: str, full: str, about: str = "file") -> None:
        """Show ``words``; ``full`` is what the button shows. ``about``: the file that is looked at, or "all"."""
        self._full, self.about = full, about
        self.words.setText(words)
        self.setAccessibleName(words)
        self.button.setVisible(bool(full))
        self.show()


class Details(QDialog):
    """A message in full, to be copied."""

    def __init__(self, full: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(text("details_title"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumSize(520, 220)
        self.content = QPlainTextEdit(full)
        self.content.setReadOnly(True)
        self.content.setAccessibleName(text("details_title"))
        self.copy_button = QPushButton(text("details_copy"))
        self.copy_button.clicked.connect(lambda: QGuiApplication.clipboard().setText(full))
        buttons = QDialogButtonBox()
        buttons.addButton(self.copy_button, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.addButton(text("close"), QDialogButtonBox.ButtonRole.RejectRole)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.content)
        layout.addWidget(buttons)
