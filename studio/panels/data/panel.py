"""What people gave and what was made of it: five tables, and files in and out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from studio.commands import Command
from studio.panels.data.datasets_page import DatasetsPage
from studio.panels.data.import_page import ImportPage
from studio.panels.data.records_page import RecordsPage
from studio.panels.data.words import KINDS, counted, word
from studio.session import Session
from studio.theme.tokens import S2, S4, S6
from studio.widgets import PanelHeader, button, primary_button

_MOST_UNDO = 200


class DataPanel(QWidget):
    """Hints: kind="comparisons", dataset="dataset:…" (with export=True to write it), import_file="path" (or True to be
    asked), import_hub="owner/name" (or True).
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._undo: list[tuple[str, Callable[[], object]]] = []
        self.setAcceptDrops(True)
        self.header = PanelHeader(
            self.tr("Data"), self.tr("Prompts, demonstrations, comparisons, ratings and datasets")
        )
        self.undo_button = button(self.tr("Undo"), self.undo, icon="undo", tip=self.tr("Ctrl+Z"))
        self.undo_button.setEnabled(False)
        self.header.add(self.undo_button)
        self.import_button = primary_button(self.tr("Import…"), self.show_import, icon="database-import-outline")
        self.header.add(self.import_button)
        self.tabs = QTabBar()
        self.tabs.setExpanding(False)
        self.tabs.setDrawBase(False)
        self.pages = {kind: RecordsPage(session, kind) for kind in KINDS}
        self.datasets = DatasetsPage(session)
        self.importing = ImportPage(session)
        self.stack = QStackedWidget()
        for kind, page in self.pages.items():
            self.tabs.addTab(word(KINDS[kind]))
            self.stack.addWidget(page)
            page.done.connect(self._done)
            page.importing.connect(self.show_import)
        self.tabs.addTab(self.tr("Datasets"))
        self.stack.addWidget(self.datasets)
        self.stack.addWidget(self.importing)
        self.datasets.importing.connect(self.show_import)
        self.datasets.added.connect(self._added)
        self.importing.report.added.connect(self._added)
        self.importing.left.connect(self._leave_import)
        self.importing.made.connect(lambda _: self.datasets.reload())
        self.tabs.currentChanged.connect(self._show_tab)
        session.labels_changed.connect(self._labels_changed)
        session.datasets_changed.connect(self._datasets_changed)
        session.project_changed.connect(self._project_changed)
        undo = QShortcut(QKeySequence.StandardKey.Undo, self)
        undo.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        undo.activated.connect(self.undo)
        self._lay_out()
        self._project_changed()

    # --- what the window asks ------------------------------------------------------------------------------------

    def on_shown(self) -> None:
        self._count()

    def receive(self, hints: dict[str, Any]) -> None:
        if kind := hints.get("kind"):
            self.show_kind(str(kind))
        if ref := hints.get("dataset"):
            self.tabs.setCurrentIndex(len(self.pages))
            self._show_tab(len(self.pages))
            self.datasets.select(str(ref), export=bool(hints.get("export")))
            self.datasets.reload()
        if wanted := hints.get("import_file") or hints.get("import"):
            self.show_import()
            if isinstance(wanted, str | Path) and str(wanted):
                self.importing.open(Path(wanted))

        if wanted := hints.get("import_hub"):
            self.import_hub(wanted if isinstance(wanted, str) else "")

    def commands(self) -> list[Command]:
        found = [
            Command(word(KINDS[kind]), partial(self._session.go, "data", kind=kind), panel=self.tr("Data"))
            for kind in KINDS
        ]
        return [
            *found,
            Command(self.tr("Datasets"), partial(self.show_kind, "datasets"), panel=self.tr("Data")),
            Command(self.tr("Import a file…"), self.import_file, "Ctrl+Shift+O", self.tr("Data")),
            Command(self.tr("Import a dataset of the Hub…"), self.import_hub, "", self.tr("Data")),
            Command(self.tr("Undo the last change of a record"), self.undo, "", self.tr("Data")),
        ]

    def keys(self) -> list[tuple[str, str]]:
        return [
            ("Ctrl+F", self.tr("Filter")),
            ("Enter", self.tr("Edit the record")),
            ("Del", self.tr("Retire the records")),
            ("Ctrl+Z", self.tr("Undo")),
            ("Ctrl+Enter", self.tr("Save what is being written")),
        ]

    # --- pages ---------------------------------------------------------------------------------------------------

    def show_kind(self, kind: str) -> None:
        place = list(self.pages).index(kind) if kind in self.pages else len(self.pages)
        self.tabs.setCurrentIndex(place)
        self._show_tab(place)

    def show_import(self) -> None:
        self.stack.setCurrentWidget(self.importing)
        self.tabs.hide()
        self.import_button.hide()

    def import_file(self) -> None:
        self.show_import()
        self.importing.choose()

    def import_hub(self, repo: str = "") -> None:
        self.show_import()
        self.importing.ask_hub(repo)

    def undo(self) -> None:
        """Take back what was last done here; by a later row, as everything in the labels."""
        if not self._undo:
            return
        _, back = self._undo.pop()
        try:
            back()
        except EngineError as error:
            self._session.say(error)
        self._announce_all()
        self._show_undo()

    def _leave_import(self) -> None:
        self._show_tab(self.tabs.currentIndex())

    def _show_tab(self, place: int) -> None:
        self.tabs.show()
        self.import_button.show()
        self.stack.setCurrentIndex(place)
        self._count()

    def _done(self, text: str, back: Callable[[], object]) -> None:
        self._undo.append((text, back))
        del self._undo[:-_MOST_UNDO]
        self._show_undo()
        self._session.toast(text, "good", self.tr("Undo"), self.undo)

    def _added(self, kind: str, count: int) -> None:
        show = partial(self.show_kind, kind)
        self._session.toast(self.tr("{0} were added.").format(counted(kind, count)), "good", self.tr("Show"), show)

    def _show_undo(self) -> None:
        self.undo_button.setEnabled(bool(self._undo))
        last = self.tr("Take back: {0}").format(self._undo[-1][0]) if self._undo else self.tr("Ctrl+Z")
        self.undo_button.setToolTip(last)

    def _announce_all(self) -> None:
        from rlhf_engine.store.labels import Changed

        records = Changed.PROMPTS | Changed.DEMONSTRATIONS | Changed.COMPARISONS | Changed.PAIRS | Changed.RATINGS
        self._session.announce(records)

    # --- news ----------------------------------------------------------------------------------------------------

    def _labels_changed(self, changed: Any) -> None:
        for page in self.pages.values():
            if page.touches(changed):
                page.reload()
        self._count()

    def _datasets_changed(self) -> None:
        self.datasets.reload()

    def _project_changed(self) -> None:
        self._undo.clear()
        self._show_undo()
        for page in self.pages.values():
            page.reload()
        self.datasets.reload()
        self.importing.begin()
        self._show_tab(self.tabs.currentIndex())

    def _count(self) -> None:
        for place, (kind, page) in enumerate(self.pages.items()):
            total = page.total()
            title = word(KINDS[kind])
            self.tabs.setTabText(place, f"{title}  {total:,}" if total else title)

    # --- files dropped on the panel ------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        urls = event.mimeData().urls()
        if urls and all(url.isLocalFile() and Path(url.toLocalFile()).exists() for url in urls):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        urls = event.mimeData().urls()
        if urls and urls[0].isLocalFile() and self._session.project is not None:
            event.acceptProposedAction()
            self.show_import()
            self.importing.open(*(Path(url.toLocalFile()) for url in urls))

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(S2)
        line.addWidget(self.tabs)
        line.addStretch()
        content = QVBoxLayout()
        content.setContentsMargins(S6, 0, S6, S4)
        content.setSpacing(S4)
        content.addLayout(line)
        content.addWidget(self.stack, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addLayout(content, 1)
