"""A result written for others to load: chosen, listed, compared with the trained model, and pushed if asked."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from rlhf_engine.contract.errors import EngineError, SpecError
from rlhf_engine.contract.events import Envelope, Produced, RunFinished, Stage
from studio.commands import Command
from studio.panels.export.card_editor import CardEditor
from studio.panels.export.choices import ExportChoices
from studio.panels.export.result import ResultCard
from studio.panels.hub_account import signed_in
from studio.panels.models.words import size
from studio.run_feed import RunFeed
from studio.session import Session
from studio.theme.tokens import S2, S3, S4, S6
from studio.widgets import (
    Column,
    EmptyState,
    ErrorCard,
    PanelHeader,
    PlainLabel,
    RecordTable,
    StageBar,
    button,
    primary_button,
)


class ExportPanel(QWidget):
    """Hints: model="run:…" chooses what to export."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._feed: RunFeed | None = None
        self.run_id = ""
        self._dry = False
        self._wanted = ""
        self.header = PanelHeader(self.tr("Export"), self.tr("Write a model for others to load"))
        self.choices = ExportChoices(session)
        self.choices.changed.connect(self._choices_changed)
        self.files = RecordTable(
            [Column("name", self.tr("File")), Column("size", self.tr("Size"), 110, size, right=True)], multiple=False
        )
        self.files.set_empty(
            EmptyState(
                "file-tree-outline",
                self.tr("What would be written is listed here, before anything is."),
                (self.tr("List the files"), self.list_files),
            )
        )
        self.files_said = PlainLabel(tone="muted", wrap=True)
        self.card = CardEditor()
        self.result = ResultCard(session)
        self.result.hide()
        self.trouble = QVBoxLayout()
        self.bar = StageBar()
        self.bar.cancelled.connect(self.stop)
        self.list_button = button(self.tr("List the files"), self.list_files, icon="file-tree-outline")
        self.export_button = primary_button(self.tr("Export"), self.export, icon="package-variant-closed")
        self.pages = QStackedWidget()
        self.pages.addWidget(self._content())
        self.pages.addWidget(
            EmptyState(
                "package-variant-closed",
                self.tr("Results of training runs can be exported, as a whole model or as an adapter."),
                (self.tr("Train a model"), lambda: session.go("train")),
                detail=self.tr("There is none in this project yet."),
            )
        )
        session.runs_changed.connect(self.refresh)
        session.project_changed.connect(self._project_changed)
        start = QShortcut(QKeySequence("Ctrl+Return"), self)
        start.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        start.activated.connect(self.export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addWidget(self.pages, 1)
        self._show_busy(False)
        self.refresh()

    def on_shown(self) -> None:
        self.refresh()
        self._session.in_background(signed_in, self.choices.show_account)

    def receive(self, hints: dict[str, Any]) -> None:
        if ref := str(hints.get("model") or ""):
            self._wanted = ref
            self.refresh()

    def commands(self) -> list[Command]:
        return [
            Command(self.tr("List the files of the export"), self.list_files, panel=self.tr("Export")),
            Command(self.tr("Export the model"), self.export, "Ctrl+Return", self.tr("Export")),
        ]

    def keys(self) -> list[tuple[str, str]]:
        return [("Ctrl+Enter", self.tr("Export"))]

    def refresh(self) -> None:
        self.choices.refresh()
        if self._wanted and self.choices.select(self._wanted):
            self._wanted = ""
        self.pages.setCurrentIndex(0 if self.choices.ref() else 1)

    # --- runs ----------------------------------------------------------------------------------------------------

    def list_files(self) -> None:
        """Ask the engine what would be written, and the card that would be."""
        self._submit(dry_run=True)

    def export(self) -> None:
        self._submit(dry_run=False)

    def stop(self) -> None:
        if self.run_id:
            self._session.control(self.run_id).cancel()
            self.bar.show_stage(self.tr("Stopping"))

    def hear(self, envelope: Envelope) -> None:
        """What the export says."""
        match envelope.event:
            case Stage(text=text, done=done, total=total):
                self.bar.show_stage(text, done, total)
            case Produced(what="export", path=path, facts=facts):
                if facts.get("dry_run"):
                    self._show_files(path, facts)
                else:
                    self._list(path, facts)
                    self.result.show_export(path, facts)
            case RunFinished(outcome=outcome, message=message, hint=hint, traceback=trace):
                run_id = self.run_id
                self._stop_listening()
                if self._dry and outcome == "completed":
                    self._session.delete_run(run_id)  # a list of files is no export, and must not be counted as one
                self._finish(outcome, message, hint, trace)

    def _submit(self, dry_run: bool) -> None:
        if self.run_id or not self.choices.ref():
            return
        self._clear_trouble()
        self.result.hide()
        try:
            spec = self.choices.spec(self.card.own(), dry_run)
            title = self.choices.model.currentText().partition("  ·  ")[0]
            words = self.tr("Files of {0}") if dry_run else self.tr("Export {0}")
            self.run_id = self._session.submit(spec, words.format(title))
        except SpecError as error:
            self.choices.mark(error)
            return
        except EngineError as error:
            self._session.say(error)
            return
        self._dry = dry_run
        self._feed = self._session.run_feed(self.run_id, self)
        self._feed.event.connect(self.hear)
        going = self._session.activity.current()
        waits = self.tr("Waiting until {0} has ended").format(going.title) if going else self.tr("Asking the engine")
        self.bar.show_stage(waits)
        self._show_busy(True)

    def _finish(self, outcome: str, message: str, hint: str, trace: str) -> None:
        if outcome == "completed":
            return
        if outcome == "cancelled":
            self._session.toast(self.tr("The export was stopped. Nothing is left of it."), "info")
        else:
            self._fail(message, hint, trace)

    def _fail(self, message: str, hint: str, trace: str) -> None:
        title = self.tr("The files could not be listed") if self._dry else self.tr("The export failed")
        if not self.result.isHidden():
            title = self.tr("The push failed; the export on this machine is complete")
        again = (self.tr("Try again"), self.list_files if self._dry else self.export)
        account = (self.tr("Account…"), lambda: self._session.go("settings"))
        buttons = [again, account] if self.choices.repo() else [again]
        self.trouble.addWidget(ErrorCard(title, message, hint, trace, buttons))

    def _show_files(self, path: str, facts: dict[str, Any]) -> None:
        self._list(path, facts)
        self.card.show_generated(str(facts.get("card") or ""))

    def _list(self, path: str, facts: dict[str, Any]) -> None:
        rows = [{"id": row["name"], **row} for row in facts["files"]]
        self.files.set_rows(rows)
        where = self.tr("{0}, in {1}.").format(size(int(facts["bytes"])), path)
        if facts.get("repo"):
            privacy = self.tr("private") if facts.get("private") else self.tr("public")
            where += " " + self.tr("Then pushed to {0} ({1}).").format(facts["repo"], privacy)
        self.files_said.setText(where)
        self.files_said.set_tone("muted")

    # --- showing -------------------------------------------------------------------------------------------------

    def _choices_changed(self) -> None:
        if self.files.model.rowCount():
            self.files_said.setText(self.tr("The choices have changed: list the files again."))
            self.files_said.set_tone("warn")
        self.card.outdate()
        self.export_button.setText(self.tr("Export and push") if self.choices.repo() else self.tr("Export"))

    def _project_changed(self) -> None:
        self._stop_listening()
        self._clear_trouble()
        self.result.hide()
        self.files.set_rows([])
        self.files_said.setText("")
        self.card.show_generated("")
        self.refresh()

    def _show_busy(self, yes: bool) -> None:
        self.bar.setVisible(yes)
        for made in (self.list_button, self.export_button):
            made.setVisible(not yes)
        self.choices.setEnabled(not yes)

    def _stop_listening(self) -> None:
        if self._feed is not None:
            self._feed.stop()
            self._feed.deleteLater()
            self._feed = None
        self.run_id = ""
        self._show_busy(False)

    def _clear_trouble(self) -> None:
        while (taken := self.trouble.takeAt(0)) is not None:
            widget = taken.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()

    def _content(self) -> QWidget:
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.choices)
        scroll.setMinimumWidth(440)
        listed = QWidget()
        inner = QVBoxLayout(listed)
        inner.setContentsMargins(0, S2, 0, 0)
        inner.setSpacing(S2)
        inner.addWidget(self.files_said)
        inner.addWidget(self.files, 1)
        tabs = QTabWidget()
        tabs.setDocumentMode(True)
        tabs.tabBar().setDrawBase(False)
        tabs.addTab(listed, self.tr("Files"))
        tabs.addTab(self.card, self.tr("Model card"))
        self.tabs = tabs
        right = QWidget()
        side = QVBoxLayout(right)
        side.setContentsMargins(S4, 0, 0, 0)
        side.setSpacing(S3)
        side.addLayout(self.trouble)
        side.addWidget(self.result)
        side.addWidget(tabs, 1)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(scroll)
        tabs.setMinimumHeight(240)
        around = QScrollArea()
        around.setWidgetResizable(True)
        around.setFrameShape(QFrame.Shape.NoFrame)
        around.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        right.setObjectName("plain")
        around.setWidget(right)
        splitter.addWidget(around)
        splitter.setSizes([500, 620])
        splitter.setStretchFactor(1, 1)
        splitter.setChildrenCollapsible(False)
        bottom = QHBoxLayout()
        bottom.setSpacing(S2)
        bottom.addWidget(self.bar, 1)
        bottom.addStretch()
        bottom.addWidget(self.list_button)
        bottom.addWidget(self.export_button)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(S6, 0, S6, S4)
        layout.setSpacing(S3)
        layout.addWidget(splitter, 1)
        layout.addLayout(bottom)
        return content
