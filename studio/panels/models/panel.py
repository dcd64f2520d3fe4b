"""Base models and what was made of them, drawn as families; models are added here and sent to where they are used."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError, ModelError
from rlhf_engine.models.folders import folder_facts
from studio.background import Errand
from studio.commands import Command
from studio.panels.data.files import open_folder
from studio.panels.models.adding import HubCard
from studio.panels.models.detail import ModelDetail
from studio.panels.models.family import Family, read_family
from studio.panels.models.tree import ModelTree
from studio.session import Session
from studio.theme.tokens import S3, S4, S6
from studio.widgets import ErrorCard, PanelHeader, PlainLabel, button


class ModelsPanel(QWidget):
    """Hints: model="run:…" selects a model; hub=True (or a name) opens the way to the Hub."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.family = Family()
        self._reading: Errand | None = None
        self._wanted = ""
        self.setAcceptDrops(True)
        self.header = PanelHeader(self.tr("Models"), self.tr("Base models and what you made of them"))
        self.header.add(button(self.tr("Add a folder…"), self.choose_folder, icon="folder-plus-outline"))
        self.header.add(button(self.tr("Add from the Hub…"), self.show_hub, icon="cloud-download-outline"))
        self.hub = HubCard(session)
        self.hub.hide()
        self.hub.closed.connect(self.hub.hide)
        self.hub.arrived.connect(self._arrived)
        self.trouble = QVBoxLayout()
        self.tree = ModelTree()
        self.detail = ModelDetail()
        self.side = QStackedWidget()
        self.side.addWidget(self._hint())
        self.side.addWidget(self.detail)
        self.tree.chosen.connect(self._show)
        self.tree.activated_ref.connect(self._use)
        self.tree.removing.connect(self.remove)
        self._connect_actions()
        self._soon = QTimer(self, singleShot=True, interval=50)
        self._soon.timeout.connect(self._read)
        session.project_changed.connect(self.reload)
        session.runs_changed.connect(self.reload)
        session.labels_changed.connect(self._labels_changed)
        self._lay_out()
        self.reload()

    def on_shown(self) -> None:
        self.reload()

    def receive(self, hints: dict[str, Any]) -> None:
        if ref := str(hints.get("model") or ""):
            self._wanted = ref
            self.reload()
        if hub := hints.get("hub"):
            self.show_hub()
            if isinstance(hub, str):
                self.hub.begin(hub)

    def commands(self) -> list[Command]:
        return [
            Command(self.tr("Add a model folder…"), self.choose_folder, panel=self.tr("Models")),
            Command(self.tr("Add a model from the Hub…"), partial(self._session.go, "models", hub=True)),
        ]

    def keys(self) -> list[tuple[str, str]]:
        return [
            ("Enter", self.tr("Use the model in the Playground")),
            ("Del", self.tr("Remove it from the list")),
        ]

    # --- reading -------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Look at all models again, soon and on another thread."""
        self._soon.start()

    def _read(self) -> None:
        project = self._session.project
        if project is None:
            self._show_family(Family())
            return
        if self._reading is not None:
            self._reading.forget()
        work = partial(read_family, project.root, project.labels.models(), self.tr("Starter model"))
        self._reading = self._session.in_background(work, self._show_family)

    def _show_family(self, family: Family) -> None:
        self._reading = None
        if family != self.family:
            self.family = family
            self.tree.show_family(family)
        if self._wanted and self.tree.select(self._wanted):
            self._wanted = ""
        elif not self.tree.current() and family.members:
            self.tree.select(self._session.model) or self.tree.select("starter")

    def _show(self, ref: str) -> None:
        member = self.family.members.get(ref)
        self.side.setCurrentIndex(1 if member else 0)
        if member is not None:
            self.detail.show_member(member, self.family)

    def _labels_changed(self, changed: Any) -> None:
        from rlhf_engine.store.labels import Changed

        if changed & Changed.MODELS:
            self.reload()

    # --- adding and removing -------------------------------------------------------------------------------------

    def choose_folder(self) -> None:
        start = str(self._session.recall("models/folder", "") or Path.home())
        chosen = QFileDialog.getExistingDirectory(self, self.tr("A folder with a model"), start)
        if chosen:
            self._session.remember("models/folder", str(Path(chosen).parent))
            self.add_folder(Path(chosen))

    def add_folder(self, folder: Path) -> None:
        """Put a folder on the list once it has been found to hold a whole model."""
        self._clear_trouble()
        self._session.in_background(partial(folder_facts, folder, folder.name), partial(self._looked_at, folder))

    def show_hub(self) -> None:
        self.hub.show()
        self.hub.begin()

    def add(self, ref: str, title: str = "") -> None:
        try:
            changed = self._session.labels.add_model(ref, title)
        except EngineError as error:
            self._session.say(error)
            return
        self._wanted = ref
        if not changed:
            self._session.toast(self.tr("{0} is on the list already.").format(title or ref), "info")
        self._session.announce(changed)
        self.reload()

    def remove(self, ref: str) -> None:
        """Take a model off the list; its files and the results that stand on it stay."""
        member = self.family.members.get(ref)
        if member is None or ref == "starter" or member.run is not None or not member.listed:
            return
        try:
            changed = self._session.labels.remove_model(ref)
        except EngineError as error:
            self._session.say(error)
            return
        self._session.announce(changed)
        text = self.tr("{0} is off the list. Its files stay where they are.").format(member.title)
        self._session.toast(text, "info", self.tr("Undo"), partial(self.add, ref, member.title))

    def _looked_at(self, folder: Path, facts: Any) -> None:
        if facts.fault:
            error = ModelError(facts.fault, facts.hint)
            title = self.tr("{0} cannot be added").format(folder.name)
            other = [
                (self.tr("Choose another folder…"), self.choose_folder),
                (self.tr("Close"), self._clear_trouble),
            ]
            self._clear_trouble()
            self.trouble.addWidget(ErrorCard.of(error, title, other))
            return
        self.add(str(folder), folder.name)

    def _arrived(self, repo: str) -> None:
        self.hub.hide()
        self.add(repo, repo)
        self._session.toast(self.tr("{0} is on this machine.").format(repo), "good")

    def _clear_trouble(self) -> None:
        while (taken := self.trouble.takeAt(0)) is not None:
            widget = taken.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()

    # --- using ---------------------------------------------------------------------------------------------------

    def _use(self, ref: str) -> None:
        member = self.family.members.get(ref)
        if member is None or member.fault or member.scores:
            return
        self._session.select_model(ref)
        self._session.go("playground", model=ref)

    def _connect_actions(self) -> None:
        go = self._session.go
        self.detail.playground.connect(self._use)
        self.detail.train.connect(lambda ref: go("train", model=ref))
        self.detail.train_policy.connect(lambda ref: go("train", reward=ref))
        self.detail.export.connect(lambda ref: go("export", model=ref))
        self.detail.remove.connect(self.remove)
        self.detail.add.connect(self.add)
        self.detail.download.connect(self._download)
        self.detail.open_folder.connect(self._open_folder)
        self.detail.show_run.connect(lambda ref: go("runs", run=ref.removeprefix("run:")))

    def _download(self, ref: str) -> None:
        self.hub.show()
        self.hub.begin(ref)

    def _open_folder(self, ref: str) -> None:
        member = self.family.members.get(ref)
        if member is not None and member.folder is not None:
            open_folder(member.folder)

    # --- parts ---------------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        urls = event.mimeData().urls()
        if len(urls) == 1 and Path(urls[0].toLocalFile()).is_dir():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        urls = event.mimeData().urls()
        if urls and self._session.project is not None:
            event.acceptProposedAction()
            self.add_folder(Path(urls[0].toLocalFile()))

    def _hint(self) -> QWidget:
        label = PlainLabel(self.tr("Select a model to see what is known of it."), tone="muted", wrap=True)
        label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        return label

    def _lay_out(self) -> None:
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(self.tree)
        splitter.addWidget(self.side)
        self.side.setMinimumWidth(424)
        splitter.setSizes([716, 424])
        splitter.setStretchFactor(0, 1)
        splitter.setChildrenCollapsible(False)
        content = QVBoxLayout()
        content.setContentsMargins(S6, 0, S6, S4)
        content.setSpacing(S3)
        content.addWidget(self.hub)
        content.addLayout(self.trouble)
        content.addWidget(splitter, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addLayout(content, 1)
