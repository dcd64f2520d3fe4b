"""A dataset written for others: its layout and format, where to, and to the Hub if asked."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError, SpecError
from rlhf_engine.contract.events import Envelope, Produced, RunFinished, Stage
from rlhf_engine.tasks.export_data.spec import ExportDataSpec
from studio.forms import SpecForm
from studio.panels.data.files import open_folder
from studio.panels.data.record_detail import empty
from studio.panels.hub_account import signed_in
from studio.panels.models.adding import SITE
from studio.panels.models.words import size
from studio.run_feed import RunFeed
from studio.session import Session
from studio.theme.tokens import S2, S3, S4
from studio.widgets import Card, ErrorCard, PlainLabel, StageBar, button, ghost_button, primary_button

_OWN = ("dataset", "folder", "seed")  # drawn here, or not asked


class ExportView(QWidget):
    """`offer(ref, name)` asks how a dataset is to be written, and shows what was. Signals: closed()."""

    closed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._feed: RunFeed | None = None
        self._run_id = self._name = ""
        self.ref = ""
        self.title = PlainLabel(bold=True, wrap=True)
        self.form = SpecForm(ExportDataSpec, session, hide=_OWN)
        self.form.changed.connect(self._choices_changed)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText(self.tr("exports of the project"))
        self.folder.setAccessibleName(self.tr("Folder"))
        self.error = PlainLabel(tone="bad", wrap=True)
        self.error.hide()
        self.account = PlainLabel(self.tr("Looking for an account of the Hub…"), tone="muted", wrap=True)
        self.bar = StageBar()
        self.bar.cancelled.connect(self.stop)
        self.bar.hide()
        self.go = primary_button(self.tr("Export"), self.export, icon="package-variant-closed")
        self.note = PlainLabel(
            self.tr(
                "A folder is written with a file for each split and a card that says what is in them. Nothing leaves "
                "this machine unless a repository is named."
            ),
            tone="muted",
            wrap=True,
        )
        self._told = QVBoxLayout()
        self._told.setSpacing(S3)
        self._lay_out()
        session.project_changed.connect(self._leave)

    @property
    def busy(self) -> bool:
        return self._feed is not None

    def offer(self, ref: str, name: str) -> None:
        """Ask how to write this dataset, unless another is being written."""
        if self.busy:
            return
        if ref != self.ref:
            self._clear()
        self.ref, self._name = ref, name
        self.title.setText(self.tr("Export {0}").format(name))
        self._session.in_background(signed_in, self._show_account)

    def export(self) -> None:
        if self.busy or not self.ref:
            return
        self._clear()
        try:
            spec = self.spec()
            self._run_id = self._session.submit(spec, self.title.text())
        except SpecError as error:
            self._mark(error)
            return
        except EngineError as error:
            self._session.say(error)
            return
        self.bar.show()
        self.bar.show_stage(self.tr("Waiting for the engine"))
        self._feed = self._session.run_feed(self._run_id, self)
        self._feed.event.connect(self.hear)
        self.go.setEnabled(False)

    def spec(self) -> ExportDataSpec:
        """Raises SpecError for choices that do not hold together."""
        values = self.form.values()
        repo = str(values["repo"]).strip().removeprefix(f"{SITE}/").removeprefix("datasets/").strip("/")
        folder = self.folder.text().strip()
        return ExportDataSpec(**{**values, "repo": repo, "dataset": self.ref, "folder": folder})

    def stop(self) -> None:
        if self.busy:
            self._session.control(self._run_id).cancel()
            self.bar.show_stage(self.tr("Stopping"))

    def hear(self, envelope: Envelope) -> None:
        """What the export says."""
        match envelope.event:
            case Stage(text=text, done=done, total=total):
                self.bar.show_stage(text, done, total)
            case Produced(what="export", path=path, facts=facts):
                self.note.hide()
                self._told.addWidget(self._card(path, facts))
            case RunFinished(outcome=outcome, message=message, hint=hint):
                self._leave()
                if outcome == "cancelled":
                    self._session.toast(self.tr("The export was stopped. Nothing was kept."), "info")
                elif outcome != "completed":
                    again = [(self.tr("Try again"), self.export)]
                    error = ErrorCard.of(EngineError(message, hint), self.tr("The export failed"), again)
                    self._told.insertWidget(0, error)

    def _card(self, path: str, facts: dict[str, Any]) -> Card:
        folder = (self._session.root or Path()) / path
        card = Card(self.tr("Exported"), icon="check-circle-outline")
        files = facts["files"]
        total = size(sum(int(file["size"]) for file in files))
        rows = self.tr("{0} rows, {1} files, {2}").format(f"{facts['rows']:,}", len(files), total)
        card.add(PlainLabel(rows, bold=True))
        card.add(PlainLabel(str(facts.get("url") or folder), selectable=True, wrap=True))
        for why, count in facts["left_out"].items():
            text = self.tr("Left out: {0} {1}").format(f"{count:,}", why)
            card.add(PlainLabel(text, tone="warn", wrap=True))
        actions = QHBoxLayout()
        actions.setSpacing(S2)
        if url := facts.get("url"):
            page = partial(QDesktopServices.openUrl, QUrl(str(url)))
            actions.addWidget(button(self.tr("Open on the Hub"), page, icon="open-in-new"))
        actions.addWidget(button(self.tr("Show folder"), partial(open_folder, folder), icon="folder-outline"))
        actions.addStretch()
        card.body.addLayout(actions)
        return card

    def _clear(self) -> None:
        empty(self._told)
        self.error.hide()
        self.note.show()

    def _choices_changed(self) -> None:
        self.error.hide()

    def _mark(self, error: SpecError) -> None:
        """Show what is wrong, under its field where that is one of the form's."""
        self.form.mark(error)
        self.error.setText(" ".join(filter(None, (str(error), error.hint))))
        self.error.setVisible(error.field in _OWN or not error.field)

    def _show_account(self, there: bool) -> None:
        self.account.set_tone("good" if there else "muted")
        self.account.setText(
            self.tr("Hub: a token is saved on this machine.")
            if there
            else self.tr("Hub: nobody is signed in. Exports stay on this machine.")
        )

    def _leave(self) -> None:
        feed, self._feed = self._feed, None
        self.bar.hide()
        self.go.setEnabled(True)
        if feed is not None:
            feed.stop()
            feed.deleteLater()

    def _browse(self) -> None:
        start = self.folder.text() or str(Path.home())
        if chosen := QFileDialog.getExistingDirectory(self, self.tr("Where to write"), start):
            self.folder.setText(chosen)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(S2)
        head.addWidget(self.title, 1)
        head.addWidget(ghost_button(self.tr("Back to the rows"), self.closed.emit, icon="arrow-left"))
        head.addWidget(self.go)
        line = QHBoxLayout()
        line.setSpacing(S2)
        line.addWidget(PlainLabel(self.tr("Folder")))
        line.addWidget(self.folder, 1)
        line.addWidget(button(self.tr("Choose…"), self._browse))
        account = QHBoxLayout()
        account.setSpacing(S2)
        account.addWidget(self.account, 1)
        account.addWidget(ghost_button(self.tr("Account…"), lambda: self._session.go("settings")))
        choices = QWidget()
        choices.setObjectName("plain")
        inner = QVBoxLayout(choices)
        inner.setContentsMargins(0, 0, S2, 0)
        inner.setSpacing(S3)
        inner.addWidget(self.form)
        inner.addLayout(line)
        inner.addWidget(self.error)
        inner.addLayout(account)
        inner.addStretch()
        said = QWidget()
        said.setObjectName("plain")
        around = QVBoxLayout(said)
        around.setContentsMargins(0, 0, S2, 0)
        around.setSpacing(S3)
        around.addWidget(self.note)
        around.addWidget(self.bar)
        around.addLayout(self._told)
        around.addStretch()
        sides = QHBoxLayout()
        sides.setSpacing(S4)
        sides.addWidget(_scrolled(choices), 1)
        sides.addWidget(_scrolled(said), 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addLayout(head)
        layout.addLayout(sides, 1)


def _scrolled(inside: QWidget) -> QScrollArea:
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(inside)
    return scroll
