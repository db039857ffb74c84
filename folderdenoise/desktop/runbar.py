"""The foot of the window: progress, and the buttons that start, pause and end a run."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QWidget

from .estimate import in_words
from .session import Phase, Session
from .texts import counted, text
from .widgets import ElidedLabel

_STEPS = 1000
_THIN = 12


class RunBar(QWidget):
    """Shows how far the session's run is, and lets it be started, paused, resumed and cancelled."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._has_ended = False
        self.progress = QProgressBar()
        self.progress.setRange(0, _STEPS)
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(_THIN)
        self.progress.setAccessibleName(text("progress"))
        self.status = ElidedLabel()
        self.start = QPushButton(text("start"))
        self.start.setDefault(True)
        self.pause = QPushButton(text("pause"))
        self.cancel = QPushButton(text("cancel"))
        self.results = QPushButton(text("open_results"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.progress, 2)
        layout.addWidget(self.status, 3)
        for button in (self.start, self.pause, self.cancel, self.results):
            layout.addWidget(button)
        self.start.clicked.connect(session.start)
        self.pause.clicked.connect(self._on_pause)
        self.cancel.clicked.connect(session.cancel)
        session.changed.connect(self.refresh)
        session.ended.connect(self._on_ended)
        # The time left goes down while nothing else happens.
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show how things stand."""
        session, phase = self._session, self._session.phase
        if phase is not Phase.IDLE:
            self._has_ended = False
        self.start.setVisible(phase is Phase.IDLE)
        self.start.setEnabled(phase is Phase.IDLE and bool(session.entries.rowCount()) and not session.scanner.is_busy)
        self.pause.setVisible(phase is not Phase.IDLE)
        self.pause.setEnabled(phase is not Phase.STOPPING)
        self.pause.setText(text("resume" if phase is Phase.PAUSED else "pause"))
        self.cancel.setVisible(phase is not Phase.IDLE)
        self.cancel.setEnabled(phase is not Phase.STOPPING)
        if phase is Phase.IDLE:
            self._clock.stop()
        elif not self._clock.isActive():
            self._clock.start()
        self.status.setText(self._words(phase))
        self._show_bar(phase)

    def _show_bar(self, phase: Phase) -> None:
        session = self._session
        self.progress.setVisible(phase is not Phase.IDLE)
        # Nothing is known about the first file while it is being done: the bar only shows that something goes on.
        is_unknown = phase is Phase.RUNNING and not (session.done or session.failed)
        self.progress.setRange(0, 0 if is_unknown else _STEPS)
        self.progress.setValue(round(_STEPS * session.estimate.share))

    def _words(self, phase: Phase) -> str:
        session = self._session
        done, total = session.done + session.failed, session.total
        if phase is Phase.STOPPING:
            return text("stopping")
        if phase is Phase.PAUSED:
            return text("paused", done=done, total=total)
        if phase is Phase.RUNNING:
            left = session.estimate.seconds_left
            if left is None:
                return text("running", done=done, total=total)
            return text("running_left", done=done, total=total, left=in_words(left))
        if session.scanner.is_busy:
            return text("reading_list")
        if self._has_ended:
            return self._summary(done)
        count = session.entries.rowCount()
        return counted("ready", count) if count else ""

    def _summary(self, count: int) -> str:
        session = self._session
        if session.was_cancelled:
            return text("cancelled")
        if session.was_broken_off:
            return text("broken_off", done=session.done, total=session.total)
        if not count:
            return text("nothing_to_do")
        words = [counted("ended", session.done)] if session.done or not session.failed else []
        words += [counted("ended_failed", session.failed)] if session.failed else []
        return ", ".join(words)

    def _on_pause(self) -> None:
        if self._session.phase is Phase.PAUSED:
            self._session.resume()
        else:
            self._session.pause()

    def _on_ended(self) -> None:
        self._has_ended = True
        self.refresh()
