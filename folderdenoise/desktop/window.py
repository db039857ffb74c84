"""The main window: the list of pictures, the view of one of them, and what is done with all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QSize, Qt, QTimer, QUrl
from PySide6.QtGui import QCloseEvent, QDesktopServices, QDragEnterEvent, QDropEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFrame,
    QHBoxLayout,
    QListView,
    QMessageBox,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from .choices import choices
from .comparison import Comparison, Shown
from .delegate import EntryDelegate
from .dialogs import ask_for_files, ask_for_folder
from .entries import ENTRY_ROLE, Entry, State
from .icon import icon
from .latest import all_ended
from .panels import ModelPanel, ResultsPanel, Welcome
from .preferences import Preferences
from .runbar import RunBar
from .session import Phase, Session
from .sheet import Wanted
from .texts import text
from .watchbar import WatchBar
from .widgets import Notice

PATIENCE = 3.0
"""Seconds that what is under way may take to notice that the program ends."""


class Window(QWidget):
    """All of it. Close it with ``close``; ``end`` afterwards tells whether every thread has ended."""

    def __init__(self, preferences: Preferences, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(text("title"))
        self.setWindowIcon(icon())
        self.setAcceptDrops(True)
        self.session = Session(preferences, self)
        self.welcome = Welcome()
        self.list = QListView()
        self.notice = Notice()
        self.comparison = Comparison()
        self.models = ModelPanel(choices(), self.session.wanted)
        self.results = ResultsPanel()
        self.run = RunBar(self.session)
        self.watch = WatchBar(self.session)
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._pages = QStackedWidget()
        self._quits = self._is_in_tray = False
        self._set_up_list()
        self._lay_out()
        self._connect()
        self._shortcuts()
        self.results.show_place(self.session.place)
        self._on_model(self.models.wanted)
        self.resize(QSize(1160, 780))
        self.restoreGeometry(preferences.state("geometry"))
        self._splitter.restoreState(preferences.state("splitter"))
        self._refresh()

    def add(self, paths: Iterable[Path], *, start: bool = False) -> None:
        """Take files and folders into the list; ``start``: and begin when they have been looked through."""
        self.session.starts_when_scanned = start
        self.session.add(paths)

    def end(self, seconds: float = PATIENCE) -> bool:
        """Whether all threads have ended, after waiting for them at most so long."""
        preview, watcher = self.comparison.preview, self.watch.watcher
        preview.close()
        self.session.close()
        watcher.stop()
        return all_ended([*self.session.threads, *watcher.threads, *preview.threads], seconds)

    def _set_up_list(self) -> None:
        self.list.setModel(self.session.entries)
        self.list.setItemDelegate(EntryDelegate(self.list))
        self.list.setUniformItemSizes(True)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setAccessibleName(text("list"))

    def _lay_out(self) -> None:
        self._add_files, self._add_folder, self._remove, self._clear = (
            QPushButton(text(key)) for key in ("add_files", "add_folder", "remove", "clear")
        )
        self._remove.setToolTip(text("remove_hint"))
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 4, 0)
        adding, removing = QHBoxLayout(), QHBoxLayout()
        for row, buttons in ((adding, (self._add_files, self._add_folder)), (removing, (self._remove, self._clear))):
            for button in buttons:
                row.addWidget(button, 1)
        column.addLayout(adding)
        column.addWidget(self.list, 1)
        column.addLayout(removing)
        right = QWidget()
        side = QVBoxLayout(right)
        side.setContentsMargins(4, 0, 0, 0)
        side.addWidget(self.comparison, 1)
        self._splitter.addWidget(left)
        self._splitter.addWidget(right)
        self._splitter.setStretchFactor(1, 1)
        self._splitter.setSizes([390, 770])
        self._splitter.setChildrenCollapsible(False)
        self._pages.addWidget(self.welcome)
        self._pages.addWidget(self._splitter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 14, 14, 12)
        layout.setSpacing(10)
        layout.addWidget(self._pages, 1)
        for widget in (self.notice, self.models, self.results, self.run, _line(), self.watch):
            layout.addWidget(widget)

    def _connect(self) -> None:
        for button in (self._add_files, self.welcome.files):
            button.clicked.connect(self._choose_files)
        for button in (self._add_folder, self.welcome.folder):
            button.clicked.connect(self._choose_folder)
        self._remove.clicked.connect(self._remove_chosen)
        self._clear.clicked.connect(self.session.clear)
        self.list.selectionModel().currentChanged.connect(self._on_current)
        self.list.selectionModel().selectionChanged.connect(self._refresh)
        self.session.entries.dataChanged.connect(self._on_data)
        self.session.entries.modelReset.connect(self._on_reset)
        self.session.entries.rowsInserted.connect(self._on_rows)
        self.session.changed.connect(self._refresh)
        self.session.troubled.connect(self._on_trouble)
        self.models.chosen.connect(self._on_model)
        self.results.changing.connect(self._choose_place)
        self.results.resetting.connect(lambda: self._set_place(None))
        self.run.results.clicked.connect(self._open_results)
        self.watch.showing.connect(self._come_back)
        self.watch.quitting.connect(self._quit)
        self.watch.watcher.ended.connect(self._on_watch_ended)

    def _shortcuts(self) -> None:
        actions: list[tuple[QKeySequence, Callable[[], object]]] = [
            (QKeySequence(QKeySequence.StandardKey.Open), self._choose_files),
            (QKeySequence("Ctrl+Shift+O"), self._choose_folder),
            (QKeySequence("Ctrl+Return"), self.run.start.click),
            (QKeySequence(QKeySequence.StandardKey.Quit), self._quit),
        ]
        for keys, action in actions:
            QShortcut(keys, self, action)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Delete), self.list, self._remove_chosen)

    def _refresh(self) -> None:
        session = self.session
        is_idle = session.phase is Phase.IDLE
        has_rows = session.entries.rowCount() > 0
        self._pages.setCurrentWidget(self._splitter if has_rows else self.welcome)
        self._remove.setEnabled(self._may_remove and self.list.selectionModel().hasSelection())
        self._clear.setEnabled(is_idle)
        self.results.setEnabled(is_idle)
        entry = self._current()
        place = entry or next((entry for entry in session.entries.entries() if entry.state is State.DONE), None)
        self.run.results.setEnabled(place is not None and _folder_of(place).is_dir())

    @property
    def _may_remove(self) -> bool:
        """What a folder holds that is still being looked through is not known: nothing can be left of it."""
        return self.session.phase is Phase.IDLE and not self.session.scanner.is_busy

    def _current(self) -> Entry | None:
        index = self.list.currentIndex()
        entry: Entry | None = index.data(ENTRY_ROLE) if index.isValid() else None
        return entry

    def _on_rows(self, parent: QModelIndex, first: int, last: int) -> None:
        self._refresh()
        if not self.list.currentIndex().isValid():
            self.list.selectionModel().setCurrentIndex(
                self.session.entries.index(0), QItemSelectionModel.SelectionFlag.ClearAndSelect
            )

    def _on_reset(self) -> None:
        self.comparison.show_file(None)
        if self.session.entries.rowCount():
            self._on_rows(QModelIndex(), 0, 0)
        self._refresh()

    def _on_data(self, first: QModelIndex, last: QModelIndex) -> None:
        index = self.list.currentIndex()
        if index.isValid() and first.row() <= index.row() <= last.row():
            self._show(index.data(ENTRY_ROLE))

    def _on_current(self, index: QModelIndex) -> None:
        entry: Entry | None = index.data(ENTRY_ROLE) if index.isValid() else None
        if entry is not None:
            self._show(entry)
        self._refresh()

    def _show(self, entry: Entry) -> None:
        result = entry.output if self.session.is_current(entry) else None
        self.comparison.show_file(Shown(entry.source, result, entry.stamp))
        self._tell_about(entry)

    def _tell_about(self, entry: Entry) -> None:
        if entry.state is State.FAILED:
            self.notice.tell(f"{entry.name}: {entry.reason}", entry.message)
            # The notice takes room from the list.
            QTimer.singleShot(0, self.list, lambda: self.list.scrollTo(self.list.currentIndex()))
        elif self.notice.about == "file":
            self.notice.hide()

    def _on_trouble(self, words: str, full: str) -> None:
        if words:
            self.notice.tell(words, full, about="all")
        else:
            self.notice.hide()

    def _on_model(self, wanted: Wanted) -> None:
        self.session.set_wanted(wanted)
        self.comparison.want(wanted)

    def _choose_files(self) -> None:
        self._take(ask_for_files(self, self._last_folder()))

    def _choose_folder(self) -> None:
        folder = ask_for_folder(self, "choose_folder", self._last_folder())
        self._take([folder] if folder else [])

    def _take(self, paths: list[Path]) -> None:
        if paths:
            self.session.preferences.keep("last", paths[0].parent)
            self.add(paths)

    def _last_folder(self) -> Path:
        return self.session.preferences.folder("last") or Path.home()

    def _choose_place(self) -> None:
        place = ask_for_folder(self, "results_choose", self.session.place or self._last_folder())
        if place:
            self._set_place(place)

    def _set_place(self, place: Path | None) -> None:
        self.session.set_place(place)
        self.results.show_place(place)

    def _remove_chosen(self) -> None:
        if self._may_remove:
            indexes = self.list.selectionModel().selectedIndexes()
            self.session.remove(index.data(ENTRY_ROLE).source for index in indexes)

    def _open_results(self) -> None:
        entry = self._current()
        done = [entry for entry in self.session.entries.entries() if entry.state is State.DONE]
        if entry is None or not _folder_of(entry).is_dir():
            entry = done[0] if done else None
        if entry is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(_folder_of(entry))))

    def _come_back(self) -> None:
        self._is_in_tray = False
        self.showNormal()
        self.raise_()
        self.activateWindow()

    def _on_watch_ended(self) -> None:
        # Its tray icon is gone: nothing else would lead back to the window, nor say why the watch has ended.
        if self._is_in_tray:
            self._come_back()

    def _quit(self) -> None:
        self._quits = True
        if self.close():
            # A hidden window that closes ends nothing by itself.
            QApplication.quit()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Files and folders may come in."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """They are in."""
        event.acceptProposedAction()
        self._take([Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()])

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """A watch with a tray icon goes on without the window. Else, what is under way is asked about."""
        quits, self._quits = self._quits, False
        preferences = self.session.preferences
        preferences.keep("geometry", self.saveGeometry())
        preferences.keep("splitter", self._splitter.saveState())
        if self.watch.is_watching and self.watch.has_tray and not quits:
            self._is_in_tray = True
            self.hide()
            self.watch.tell_that_it_stays()
            event.ignore()
            return
        question = "quit_running" if self.session.phase is not Phase.IDLE else "quit_watching"
        is_busy = self.watch.is_watching or self.session.phase is not Phase.IDLE
        if is_busy and QMessageBox.question(self, text("title"), text(question)) != QMessageBox.StandardButton.Yes:
            event.ignore()
            return
        self._is_in_tray = False
        self.watch.stop()
        self.session.cancel()
        event.accept()


def _folder_of(entry: Entry) -> Path:
    """The folder of results that an entry's result is in."""
    depth = entry.relative.count("/")
    return entry.output.parents[depth]


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFrameShadow(QFrame.Shadow.Sunken)
    return line
