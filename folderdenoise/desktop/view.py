"""The before/after view: one picture, original to the left of a divider, result to the right."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QCursor,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QShowEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from .overlay import paint_divider, paint_label
from .preview import Frame, Glance
from .texts import text

MOST_ZOOM = 16.0
_STEP = 1.25
_GRIP = 8  # logical pixels on each side of the divider in which it is taken hold of
_DIVIDER_STEP = 0.02
_PAN_STEP = 0.1
_MARGIN = 0.25  # drawn beyond each edge, as a share of the view: a pan has something to show at once
_MOST_FIT = 4.0
_SMOOTH_BELOW = 2.0


class SplitView(QWidget):
    """Shows frames of a picture of a given size. ``looked`` tells what of it is looked at, ``zoomed`` the zoom.

    The zoom is in pixels of the screen for each pixel of the picture.
    """

    looked = Signal(object)
    zoomed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(280, 200)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName(text("view"))
        self.setAccessibleDescription(text("view_hint"))
        self._size = QSize()
        self._frame: Frame | None = None
        self._zoom = 1.0
        self._fits = True
        self._centre = QPointF(0.5, 0.5)  # as a share of the picture: the next picture is looked at in the same place
        self._divider = 0.5
        self._held: QPoint | None = None
        self._holds_divider = False

    @property
    def zoom(self) -> float:
        """Pixels of the screen for each pixel of the picture."""
        return self._zoom

    @property
    def divider(self) -> float:
        """Where the divider is, 0 (left edge) to 1 (right edge)."""
        return self._divider

    @property
    def frame(self) -> Frame | None:
        """What is painted; None while nothing is there."""
        return self._frame

    def sizeHint(self) -> QSize:  # noqa: N802
        """As large as a window of ordinary size has room for."""
        return QSize(760, 560)

    def show_picture(self, size: QSize) -> None:
        """From now on frames of a picture of ``size`` pixels come; an empty size for none."""
        self._size = size
        self._frame = None
        if self._fits:
            self.fit()
        else:
            self._moved()

    def show_frame(self, frame: Frame) -> None:
        """Paint this until the next one comes."""
        self._frame = frame
        self.update()

    def set_divider(self, place: float) -> None:
        """Move the divider, 0 (left edge) to 1 (right edge)."""
        self._divider = min(1.0, max(0.0, place))
        self._moved()

    def fit(self) -> None:
        """Show the whole picture."""
        self._fits = True
        self._centre = QPointF(0.5, 0.5)
        if not self._size.isEmpty():
            ratio = self.devicePixelRatioF()
            across, down = (
                ratio * self.width() / self._size.width(),
                ratio * self.height() / self._size.height(),
            )
            self._zoom = min(across, down, _MOST_FIT)
        self._moved()

    def set_zoom(self, zoom: float, at: QPointF | None = None) -> None:
        """Zoom, and keep the place ``at`` (in the widget; by default its middle) where it is."""
        at = at or QPointF(self.rect().center())
        before = self._to_picture(at)
        ratio = self.devicePixelRatioF()
        smallest = min(1.0, *(ratio * 48 / max(1, side) for side in (self._size.width(), self._size.height())))
        self._zoom = min(MOST_ZOOM, max(smallest, zoom))
        self._fits = False
        self._move_by(before - self._to_picture(at))

    def zoom_in(self) -> None:
        """One step nearer."""
        self.set_zoom(self._zoom * _STEP)

    def zoom_out(self) -> None:
        """One step farther."""
        self.set_zoom(self._zoom / _STEP)

    def full(self) -> None:
        """One pixel of the picture is one of the screen."""
        self.set_zoom(1.0)

    def _move_by(self, change: QPointF) -> None:
        """Move the middle of the view, in pixels of the picture."""
        if self._size.isEmpty():
            return
        scale = self._scale()
        place = []
        for middle, moved, side, room in (
            (self._centre.x(), change.x(), self._size.width(), self.width()),
            (self._centre.y(), change.y(), self._size.height(), self.height()),
        ):
            half = min(0.5, room / scale / side / 2)
            place.append(min(1 - half, max(half, middle + moved / side)))
        self._centre = QPointF(*place)
        self._moved()

    def _moved(self) -> None:
        self.update()
        self.zoomed.emit(self._zoom)
        if self._size.isEmpty() or not self.isVisible():
            return
        corner, opposite = self._to_picture(QPointF(0, 0)), self._to_picture(QPointF(self.width(), self.height()))
        result = self._to_picture(QPointF(self._divider * self.width(), 0)).x()
        visible = QRectF(corner, opposite)
        spare = QPointF(_MARGIN * visible.width(), _MARGIN * visible.height())
        rect = self._pixels(QRectF(corner - spare, opposite + spare))
        first = self._pixels(QRectF(QPointF(result, corner.y()), opposite))
        if not rect.isEmpty():
            self.looked.emit(Glance(_tuple(rect), _tuple(self._pixels(visible)), _tuple(first), min(1.0, self._zoom)))

    def _pixels(self, part: QRectF) -> QRect:
        return part.toAlignedRect().intersected(QRect(QPoint(0, 0), self._size))

    def _scale(self) -> float:
        """Logical pixels of the widget for each pixel of the picture."""
        return self._zoom / self.devicePixelRatioF()

    def _to_picture(self, point: QPointF) -> QPointF:
        scale = self._scale()
        return QPointF(
            self._centre.x() * self._size.width() + (point.x() - self.width() / 2) / scale,
            self._centre.y() * self._size.height() + (point.y() - self.height() / 2) / scale,
        )

    def _to_widget(self, rect: QRectF) -> QRectF:
        scale = self._scale()
        return QRectF(
            (rect.x() - self._centre.x() * self._size.width()) * scale + self.width() / 2,
            (rect.y() - self._centre.y() * self._size.height()) * scale + self.height() / 2,
            rect.width() * scale,
            rect.height() * scale,
        )

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """The two pictures, the divider, and which is which."""
        painter = QPainter(self)
        dark = self.palette().window().color().lightness() < 128
        painter.fillRect(self.rect(), QColor(28, 28, 30) if dark else QColor(226, 226, 229))
        if self._frame is None:
            return
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self._zoom < _SMOOTH_BELOW)
        left, top, right, bottom = self._frame.rect
        place = self._to_widget(QRectF(left, top, right - left, bottom - top))
        at = round(self._divider * self.width())
        for image, room in (
            (self._frame.before, QRect(0, 0, at, self.height())),
            (self._frame.after, QRect(at, 0, self.width() - at, self.height())),
        ):
            painter.setClipRect(room)
            painter.drawImage(place, image)
        painter.setClipping(False)
        paint_divider(painter, at, self.height())
        paint_label(painter, text("before"), QRect(0, 0, at, self.height()), on_left=True)
        paint_label(painter, text("after"), QRect(at, 0, self.width() - at, self.height()), on_left=False)
        if self.hasFocus():
            painter.setPen(self.palette().highlight().color())
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """What fitted still fits."""
        super().resizeEvent(event)
        if self._fits:
            self.fit()
        else:
            self._move_by(QPointF(0, 0))

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """What was asked for while nobody could see it."""
        super().showEvent(event)
        self._moved()

    def event(self, event: QEvent) -> bool:
        """The window has come to a screen of another density."""
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            if self._fits:
                self.fit()
            else:
                self._moved()
        return super().event(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Take hold of the divider, or of the picture."""
        if event.button() == Qt.MouseButton.LeftButton and not self._size.isEmpty():
            self._held = event.position().toPoint()
            self._holds_divider = self._is_at_divider(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Drag what is held."""
        if self._held is None:
            over = self._is_at_divider(event.position()) and not self._size.isEmpty()
            self.setCursor(QCursor(Qt.CursorShape.SplitHCursor if over else Qt.CursorShape.ArrowCursor))
        elif self._holds_divider:
            self.set_divider(event.position().x() / max(1, self.width()))
        else:
            moved = QPointF(self._held) - event.position()
            self._held = event.position().toPoint()
            self.setCursor(QCursor(Qt.CursorShape.ClosedHandCursor))
            self._move_by(moved / self._scale())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Let go."""
        self._held = None
        self.unsetCursor()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """The whole picture, or this place of it in its own size."""
        if self._is_at_divider(event.position()):
            self.set_divider(0.5)
        elif self._fits:
            self.set_zoom(1.0, event.position())
        else:
            self.fit()

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Zoom at the pointer."""
        self.set_zoom(self._zoom * _STEP ** (event.angleDelta().y() / 120), event.position())
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Everything that the mouse can do."""
        key = event.key()
        if key in _ARROWS:
            across, down = _ARROWS[key]
            if event.modifiers() & Qt.KeyboardModifier.ShiftModifier or not across:
                scale = self._scale()
                self._move_by(
                    QPointF(across * _PAN_STEP * self.width() / scale, down * _PAN_STEP * self.height() / scale)
                )
            else:
                self.set_divider(self._divider + across * _DIVIDER_STEP)
        elif event.text() in ("+", "="):
            self.zoom_in()
        elif event.text() == "-":
            self.zoom_out()
        elif event.text() == "0":
            self.fit()
        elif event.text() == "1":
            self.full()
        else:
            super().keyPressEvent(event)

    def _is_at_divider(self, point: QPointF) -> bool:
        return abs(point.x() - self._divider * self.width()) <= _GRIP


_ARROWS = {
    int(Qt.Key.Key_Left): (-1, 0),
    int(Qt.Key.Key_Right): (1, 0),
    int(Qt.Key.Key_Up): (0, -1),
    int(Qt.Key.Key_Down): (0, 1),
}


def _tuple(rect: QRect) -> tuple[int, int, int, int]:
    return rect.x(), rect.y(), rect.x() + rect.width(), rect.y() + rect.height()
