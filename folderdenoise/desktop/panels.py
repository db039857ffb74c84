"""The parts of the window that hold its settings: model, strength, where the results go; and the first page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from .choices import Choice
from .icon import draw
from .sheet import Wanted
from .texts import decimal, text
from .widgets import ElidedLabel

_STEPS = 20  # of the slider for a strength of 1


class ModelPanel(QWidget):
    """Model and strength. ``chosen`` tells both when one of them changes."""

    chosen = Signal(object)

    def __init__(self, choices: Sequence[Choice], wanted: Wanted, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices = list(choices)
        self.model = QComboBox()
        self.model.setToolTip(text("model_hint"))
        self.model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model.setMinimumContentsLength(18)
        for choice in choices:
            self.model.addItem(choice.title)
            self.model.setItemData(self.model.count() - 1, choice.hint, Qt.ItemDataRole.ToolTipRole)
        names = [choice.name for choice in choices]
        self.model.setCurrentIndex(names.index(wanted.model) if wanted.model in names else 0)
        self.strength = QSlider(Qt.Orientation.Horizontal)
        self.strength.setToolTip(text("strength_hint"))
        self.strength.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.strength.setTickInterval(_STEPS)
        self.strength.setPageStep(_STEPS // 4)
        self.strength.setMinimumWidth(110)
        self._figure = QLabel()
        self._figure.setMinimumWidth(self.fontMetrics().horizontalAdvance("0.00 "))
        self._limit()
        self.strength.setValue(round(wanted.strength * _STEPS))
        self._show_figure()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for key, widget, stretch in (("model", self.model, 3), ("strength", self.strength, 2)):
            label = QLabel(text(key))
            label.setBuddy(widget)
            widget.setAccessibleName(text(key).replace("&", ""))
            layout.addWidget(label)
            layout.addWidget(widget, stretch)
            layout.addSpacing(12 if key == "model" else 0)
        layout.addWidget(self._figure)
        self.model.currentIndexChanged.connect(self._on_model)
        self.strength.valueChanged.connect(self._on_strength)

    @property
    def wanted(self) -> Wanted:
        """What is chosen."""
        return Wanted(self._choices[self.model.currentIndex()].name, self.strength.value() / _STEPS)

    def _limit(self) -> None:
        self.strength.setRange(0, round(self._choices[self.model.currentIndex()].most * _STEPS))

    def _on_model(self) -> None:
        self.strength.blockSignals(True)
        self._limit()
        self.strength.blockSignals(False)
        self._on_strength()

    def _on_strength(self) -> None:
        self._show_figure()
        self.chosen.emit(self.wanted)

    def _show_figure(self) -> None:
        self._figure.setText(decimal(self.strength.value() / _STEPS, 2))


class ResultsPanel(QWidget):
    """Where the results go. ``changing`` asks for another place, ``resetting`` for the one beside the originals."""

    changing = Signal()
    resetting = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = ElidedLabel()
        self.change = QPushButton(text("results_change"))
        self.change.setAccessibleName(text("results_choose"))
        self.reset = QPushButton(text("results_reset"))
        self.change.clicked.connect(self.changing)
        self.reset.clicked.connect(self.resetting)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._label, 1)
        layout.addWidget(self.reset)
        layout.addWidget(self.change)

    def show_place(self, place: Path | None) -> None:
        """Say where they go."""
        where = text("results_beside") if place is None else text("results_in", folder=place)
        self._label.setText(f"{text('results')}: {where}. {text('kept')}")
        self.reset.setVisible(place is not None)


class Welcome(QWidget):
    """What is shown while the list is empty: one sentence, and two buttons."""

    choosing_files = Signal()
    choosing_folder = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        picture = QLabel()
        pixmap = QPixmap.fromImage(draw(round(72 * self.devicePixelRatioF())))
        pixmap.setDevicePixelRatio(self.devicePixelRatioF())
        picture.setPixmap(pixmap)
        sentence = QLabel(text("welcome"))
        font = sentence.font()
        font.setPointSizeF(font.pointSizeF() * 1.35)
        sentence.setFont(font)
        sentence.setWordWrap(True)
        # A label that wraps does not know its height before its width is settled.
        sentence.setFixedWidth(540)
        sentence.setMinimumHeight(sentence.heightForWidth(540))
        promise = QLabel(text("welcome_kept"))
        self.files = QPushButton(text("add_files"))
        self.folder = QPushButton(text("add_folder"))
        self.files.clicked.connect(self.choosing_files)
        self.folder.clicked.connect(self.choosing_folder)
        buttons = QHBoxLayout()
        buttons.setSpacing(12)
        for button in (self.files, self.folder):
            button.setMinimumHeight(36)
            button.setMinimumWidth(150)
        buttons.addStretch(1)
        buttons.addWidget(self.files)
        buttons.addWidget(self.folder)
        buttons.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setSpacing(16)
        layout.addStretch(3)
        for widget in (picture, sentence, promise):
            if isinstance(widget, QLabel):
                widget.setAlignment(Qt.AlignmentFlag.AlignCenter)
            layout.addWidget(widget, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addSpacing(8)
        layout.addLayout(buttons)
        layout.addStretch(4)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """A dashed frame: things can be dropped here."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = QColor(self.palette().windowText().color())
        line.setAlphaF(0.3)
        painter.setPen(QPen(line, 1.6, Qt.PenStyle.CustomDashLine))
        pen = painter.pen()
        pen.setDashPattern([5, 4])
        painter.setPen(pen)
        fill = QColor(self.palette().base().color())
        fill.setAlphaF(0.5)
        painter.setBrush(fill)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1.5, 1.5, -1.5, -1.5), 12, 12)
