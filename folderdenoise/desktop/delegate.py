"""How a picture looks in the list: thumbnail, name, and below it its state and what is known of it."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPalette, QPen, QPixmap
from PySide6.QtWidgets import QApplication, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from .entries import ENTRY_ROLE, Entry, State

_THUMB = 48
_SPACE = 8
_DOT = 16


class EntryDelegate(QStyledItemDelegate):
    """Paints entries; all rows have one height."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:  # noqa: N802
        """One height, and as wide as there is room."""
        return QSize(160, max(_THUMB, 2 * option.fontMetrics.height() + 4) + 2 * _SPACE)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """The row."""
        entry: Entry = index.data(ENTRY_ROLE)
        self.initStyleOption(option, index)
        style = option.widget.style() if option.widget else QApplication.style()
        style.drawPrimitive(QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget)
        palette: QPalette = option.palette
        is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
        ink = palette.color(QPalette.ColorRole.HighlightedText if is_selected else QPalette.ColorRole.Text)
        faint = QColor(ink)
        faint.setAlphaF(0.9 if is_selected else 0.68)
        room: QRect = option.rect.adjusted(_SPACE, _SPACE, -_SPACE, -_SPACE)
        painter.save()
        self._paint_thumb(painter, QRect(room.left(), room.center().y() - _THUMB // 2, _THUMB, _THUMB), index, faint)
        line = option.fontMetrics.height()
        words = room.adjusted(_THUMB + _SPACE + 4, 0, 0, 0)
        top = words.center().y() - line - 1
        bold = QFont(option.font)
        bold.setWeight(QFont.Weight.DemiBold)
        dot = QRectF(words.right() - _DOT, top + (line - _DOT) / 2, _DOT, _DOT)
        self._paint_mark(painter, dot, entry.state, ink if is_selected else None, faint)
        first = QRect(words.left(), top, words.width() - _DOT - _SPACE, line)
        self._write(painter, bold, ink, first, entry.name, Qt.TextElideMode.ElideMiddle)
        colour = faint
        text = f"{entry.state_text} · {entry.facts}"
        if entry.state is State.DONE:
            text = entry.facts
        elif entry.state is State.FAILED:
            text, colour = entry.reason, ink if is_selected else _red(palette)
        second = QRect(words.left(), top + line + 2, words.width(), line)
        self._write(painter, option.font, colour, second, text, Qt.TextElideMode.ElideRight)
        painter.restore()

    def _paint_thumb(
        self, painter: QPainter, room: QRect, index: QModelIndex | QPersistentModelIndex, faint: QColor
    ) -> None:
        thumb: QPixmap | None = index.data(Qt.ItemDataRole.DecorationRole)
        if thumb is None:
            empty = QColor(faint)
            empty.setAlphaF(0.12)
            painter.fillRect(room, empty)
            return
        size = thumb.size().scaled(room.size(), Qt.AspectRatioMode.KeepAspectRatio)
        place = QRect(0, 0, size.width(), size.height())
        place.moveCenter(room.center())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(place, thumb)

    def _write(
        self, painter: QPainter, font: QFont, colour: QColor, room: QRect, text: str, cut: Qt.TextElideMode
    ) -> None:
        painter.setFont(font)
        painter.setPen(colour)
        where = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)
        painter.drawText(room, where, painter.fontMetrics().elidedText(text, cut, room.width()))

    def _paint_mark(self, painter: QPainter, room: QRectF, state: State, ink: QColor | None, faint: QColor) -> None:
        """A tick, a cross, three dots; nothing for what waits."""
        if state is State.WAITING:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colour = {State.DONE: _GREEN, State.FAILED: _RED, State.WORKING: faint}[state]
        pen = QPen(ink or colour, 2.2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        x, y, side = room.x(), room.y(), room.width()
        if state is State.DONE:
            corners = [(0.15, 0.55), (0.4, 0.8), (0.88, 0.22)]
            painter.drawPolyline([QPointF(x + across * side, y + down * side) for across, down in corners])
        elif state is State.FAILED:
            low, high = 0.22, 0.78
            painter.drawLine(QPointF(x + low * side, y + low * side), QPointF(x + high * side, y + high * side))
            painter.drawLine(QPointF(x + low * side, y + high * side), QPointF(x + high * side, y + low * side))
        else:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ink or colour)
            for place in (0.2, 0.5, 0.8):
                painter.drawEllipse(QPointF(x + place * side, y + side / 2), 1.8, 1.8)


_GREEN = QColor(40, 160, 80)
_RED = QColor(210, 60, 50)


def _red(palette: QPalette) -> QColor:
    return QColor(255, 120, 110) if palette.base().color().lightness() < 128 else QColor(176, 40, 32)
