"""What is painted over the before/after view: the divider with its grip, and which side is which."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath

_WHITE = QColor(255, 255, 255)
_SHADE = QColor(0, 0, 0, 90)
_RADIUS = 13
_EDGE = 10


def paint_divider(painter: QPainter, at: int, height: int) -> None:
    """A line over the whole height at ``at``, with a grip in its middle."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.fillRect(QRectF(at - 1.5, 0, 3, height), _SHADE)
    painter.fillRect(QRectF(at - 0.75, 0, 1.5, height), _WHITE)
    middle = QPointF(at, height / 2)
    painter.setPen(_SHADE)
    painter.setBrush(_WHITE)
    painter.drawEllipse(middle, _RADIUS, _RADIUS)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(60, 60, 67))
    for side in (-1, 1):
        arrow = QPainterPath(middle + QPointF(side * 3, -4))
        arrow.lineTo(middle + QPointF(side * 8, 0))
        arrow.lineTo(middle + QPointF(side * 3, 4))
        arrow.closeSubpath()
        painter.drawPath(arrow)


def paint_label(painter: QPainter, label: str, room: QRect, *, on_left: bool) -> None:
    """A word in the upper corner of its side, if that is wide enough for it."""
    size = painter.fontMetrics().size(0, label)
    box = QRectF(0, room.top() + _EDGE, size.width() + 18, size.height() + 8)
    if box.width() + _EDGE + 8 > room.width():
        return
    box.moveLeft(room.left() + _EDGE if on_left else room.left() + room.width() - box.width() - _EDGE)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(0, 0, 0, 150))
    painter.drawRoundedRect(box, box.height() / 2, box.height() / 2)
    painter.setPen(_WHITE)
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, label)
