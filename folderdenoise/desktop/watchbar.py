"""Watching a folder from the window: the switch, the line that says how it stands, and the tray icon."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QMenu, QPushButton, QSystemTrayIcon, QWidget

from ..batch import Outcome
from ..folder import Plan, default_out
from ..habits import Habits
from ..order import Order
from . import plain
from .dialogs import ask_for_folder
from .entries import Entry
from .icon import icon
from .runner import Watcher
from .session import Session
from .texts import text
from .widgets import ElidedLabel, as_tip


class WatchBar(QWidget):
    """Switches the watch on and off. ``showing`` and ``quitting``: the tray icon's menu asks for it."""

    showing = Signal()
    quitting = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.watcher = Watcher(self)
        self._order: Order | None = None
        self._done = self._failed = 0
        self._is_troubled = False
        self._tray: QSystemTrayIcon | None = None
        self.switch = QCheckBox(text("watch"))
        self.switch.setToolTip(text("watch_hint"))
        self.state = ElidedLabel(text("watch_off"))
        self.folder_button = QPushButton(text("watch_folder"))
        self.folder_button.setAccessibleName(text("watch_choose"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.switch)
        layout.addWidget(self.state, 1)
        layout.addWidget(self.folder_button)
        self.switch.clicked.connect(self._on_switch)
        self.folder_button.clicked.connect(self._choose)
        self.watcher.told.plan_made.connect(self._on_started)
        self.watcher.told.file_finished.connect(self._on_file)
        self.watcher.told.warning.connect(self._on_warning)
        self.watcher.ended.connect(self._on_ended)

    @property
    def is_watching(self) -> bool:
        """Whether the watch is on."""
        return self._order is not None

    @property
    def has_tray(self) -> bool:
        """Whether an icon in the tray stands for the program while its window is closed."""
        return self._tray is not None

    def watch(self, folder: Path) -> None:
        """Watch ``folder`` from now on."""
        session = self._session
        out = default_out(folder) if session.place is None else session.place / default_out(folder).name
        self._order = Order(folder, out, session.wanted.model, session.wanted.strength)
        self._done = self._failed = 0
        session.preferences.keep("watched", folder)
        session.troubled.emit("", "")
        self.switch.setChecked(True)
        self.folder_button.setEnabled(False)
        self.state.setText(text("watch_starting", folder=folder))
        self.watcher.start(self._order, Habits())

    def stop(self) -> None:
        """Watch no more."""
        self.switch.setEnabled(not self.watcher.is_running)
        self.state.setText(text("stopping"))
        self.watcher.stop()

    def tell_that_it_stays(self) -> None:
        """The window was closed: say that the watch goes on, and where."""
        if self._tray is not None:
            self._tray.showMessage(text("title"), text("tray_stays"), icon())

    def _on_switch(self, is_on: bool) -> None:
        if not is_on:
            self.stop()
            return
        known = self._session.preferences.folder("watched")
        if known is None:
            self._choose()
        else:
            self.watch(known)

    def _choose(self) -> None:
        chosen = ask_for_folder(self, "watch_choose", self._session.preferences.folder("watched") or Path.home())
        self.switch.setChecked(chosen is not None)
        if chosen is not None:
            self.watch(chosen)

    def _on_started(self, plan: Plan) -> None:
        self._show_tray()
        self._say_how_it_stands()

    def _on_file(self, outcome: Outcome) -> None:
        source = outcome.task.source
        if self._is_troubled:
            self._is_troubled = False
            self._session.troubled.emit("", "")
        self._done += outcome.status == "done"
        self._failed += outcome.status != "done"
        entry = self._session.entries.entry(source)
        if entry is None:
            root = source.parents[outcome.task.relative.count("/")]
            entry = Entry(source, root, outcome.task.output, outcome.rows[0].source_bytes or 0)
        self._session.entries.put([entry.after(outcome)])
        self._session.changed.emit()
        self._say_how_it_stands()

    def _on_warning(self, message: str) -> None:
        self.state.setToolTip(as_tip(f"{self.state.text()}\n{message}"))
        if (words := plain.about_warning(message)) is not None:
            self._is_troubled = True
            self._session.troubled.emit(words, message)

    def _on_ended(self, error: Exception | None) -> None:
        folder = self._order.source if self._order is not None else ""
        self._order = None
        self.switch.setChecked(False)
        self.switch.setEnabled(True)
        self.folder_button.setEnabled(True)
        self.state.setText(text("watch_ended", folder=folder))
        if self._tray is not None:
            self._tray.hide()
            self._tray = None
        if error is not None:
            self._session.troubled.emit(plain.about_error(error), str(error))

    def _say_how_it_stands(self) -> None:
        if self._order is not None:
            folder, out = self._order.source, self._order.out
            self.state.setText(text("watch_on", folder=folder, out=out, done=self._done, failed=self._failed))

    def _show_tray(self) -> None:
        if self._order is None or not QSystemTrayIcon.isSystemTrayAvailable():
            return
        self._tray = QSystemTrayIcon(icon(), self)
        self._tray.setToolTip(text("tray_on", folder=self._order.source))
        menu = QMenu(self)
        menu.addAction(text("tray_show"), self.showing.emit)
        menu.addAction(text("tray_stop"), self.stop)
        menu.addAction(text("tray_quit"), self.quitting.emit)
        self._tray.setContextMenu(menu)
        self._tray.activated.connect(lambda reason: self.showing.emit())
        self._tray.show()
