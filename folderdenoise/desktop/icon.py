"""The program's icon, drawn at any size: a picture, noisy on one side, clean on the other."""

from __future__ import annotations

import random

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QImage, QLinearGradient, QPainter, QPainterPath, QPixmap, QPolygonF

_SIZES = (16, 24, 32, 48, 64, 128, 256)


def icon() -> QIcon:
    """The icon in the sizes that systems ask for."""
    made = QIcon()
    for side in _SIZES:
        made.addPixmap(QPixmap.fromImage(draw(side)))
    return made


def draw(side: int) -> QImage:
    """The icon, ``side`` pixels wide and high, with transparent corners."""
    image = QImage(side, side, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(side / 64, side / 64)
    frame = QPainterPath()
    frame.addRoundedRect(QRectF(3, 3, 58, 58), 13, 13)
    painter.setClipPath(frame)
    sky = QLinearGradient(0, 0, 0, 64)
    sky.setColorAt(0, QColor(52, 120, 214))
    sky.setColorAt(1, QColor(134, 196, 245))
    painter.fillRect(0, 0, 64, 64, sky)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(255, 224, 130))
    painter.drawEllipse(QPointF(46, 19), 7, 7)
    for colour, corners in (
        (QColor(34, 92, 120), [(0, 64), (0, 44), (20, 26), (44, 64)]),
        (QColor(24, 70, 92), [(22, 64), (44, 36), (64, 54), (64, 64)]),
    ):
        painter.setBrush(colour)
        painter.drawPolygon(QPolygonF([QPointF(*corner) for corner in corners]))
    # The same noise each time.
    chance = random.Random(7)
    grain = 64 / max(16, min(side, 32))
    across, down = int(32 / grain), int(64 / grain)
    for column in range(across):
        for row in range(down):
            level = chance.choice((0, 255))
            painter.fillRect(
                QRectF(column * grain, row * grain, grain, grain), QColor(level, level, level, chance.randrange(90))
            )
    painter.fillRect(QRectF(31, 0, 2, 64), QColor(255, 255, 255))
    painter.end()
    return image
