"""Train: the form of a method, and in its place the run once it has started."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from studio.commands import Command
from studio.engine_words import full_title
from studio.panels.run_view import RunView
from studio.panels.train.methods import METHODS
from studio.panels.train.setup import SetupView
from studio.theme.tokens import S2, S4, S6
from studio.widgets import PanelHeader, PlainLabel, button, ghost_button

if TYPE_CHECKING:
    from studio.session import Session


class TrainPanel(QWidget):
    """Hints: run (watch it), clone (its settings), task or family or kind (of records) for the method, and model,
    reward or dataset to choose. A reward model or a dataset alone brings a method that can use it.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setup = SetupView(session)
        self.setup.started.connect(self._watch)
        self.view = RunView(session)
        self.header = PanelHeader(self.tr("Train"), self.tr("Start a run and watch it"))
        self.to_form = button(self.tr("New run"), self.show_form, icon="plus")
        self.header.add(self.to_form)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._form_page())
        self._pages.addWidget(self.view)
        content = QVBoxLayout()
        content.setContentsMargins(S6, 0, S6, S4)
        content.addWidget(self._pages)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addLayout(content, 1)
        copy = self.setup.copy_command
        for keys, do in (("Ctrl+Return", self._start), ("Ctrl+Enter", self._start), ("Ctrl+Shift+C", copy)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(do)
        session.project_changed.connect(self._project_changed)
        session.activity.changed.connect(self._show_going)
        self.show_form()

    # --- pages ---------------------------------------------------------------------------------------------------

    @property
    def watching(self) -> bool:
        return self._pages.currentWidget() is self.view

    def show_form(self) -> None:
        self._pages.setCurrentIndex(0)
        self.to_form.hide()
        self.setup.redraw()
        self._show_going()

    def show_run(self, run_id: str, name: str = "") -> None:
        """Watch a run in place of the form."""
        if self.view.run_id != run_id:
            self.view.open(run_id, name)
        self._pages.setCurrentWidget(self.view)
        self.to_form.show()

    def on_shown(self) -> None:
        going = self._session.activity.kept()
        if not self.view.run_id and going:  # a run that went on while the window was closed
            self.show_run(going[0].run_id)
        self._show_going()

    def receive(self, hints: dict[str, Any]) -> None:
        if run_id := str(hints.get("run") or ""):
            self.show_run(run_id)
            return
        self.show_form()
        if clone := str(hints.get("clone") or ""):
            self.setup.clone(clone)
        elif task := str(hints.get("task") or hints.get("method") or ""):
            self.setup.choose(task)
        elif family := str(hints.get("family") or ""):
            self.setup.choose_for(family=family)
        elif kind := self._kind(hints):
            self.setup.choose_for(kind=kind)
        elif hints.get("reward"):
            self.setup.choose_for(picks="reward_model")
        self.setup.take(**{key: str(hints[key]) for key in ("model", "reward", "dataset") if hints.get(key)})

    def _kind(self, hints: dict[str, Any]) -> str:
        """Which records a hint is about: said, or those of the dataset it names."""
        known = {choice.ref: choice.kind for choice in self._session.datasets()} if hints.get("dataset") else {}
        return str(hints.get("kind") or known.get(str(hints.get("dataset")), ""))

    def commands(self) -> list[Command]:
        made = [Command(self.tr("Train: {0}").format(full_title(key)), partial(self._go, key)) for key in METHODS]
        made.append(Command(self.tr("Choose the training method"), self._choose_method, "Ctrl+M"))
        return [*made, Command(self.tr("Start the run"), self._start, "Ctrl+Return")]

    def help_topic(self) -> str:
        """The page of the method that is chosen, or of the run that is watched."""
        return (self.view.story.task if self.watching else "") or self.setup.task

    def keys(self) -> list[tuple[str, str]]:
        return [
            ("Ctrl+Enter", self.tr("Start")),
            ("Ctrl+M", self.tr("Choose the method")),
            ("Ctrl+Shift+C", self.tr("Copy as command")),
            ("Ctrl+.", self.tr("Stop menu")),
            ("A", self.tr("Show the whole curves")),
            ("L", self.tr("Logarithmic axis")),
            ("F", self.tr("Follow the newest")),
            ("1-6", self.tr("Enlarge a plot")),
            ("Left, Right", self.tr("Samples of the step before, or after")),
        ]

    # --- what happens --------------------------------------------------------------------------------------------

    def _watch(self, run_id: str, name: str) -> None:
        going = self._session.activity.kept()
        if going and self.view.run_id == going[0].run_id and not self.view.story.ended:
            self.show_form()  # it waits in line: what one watches stays, and the form is free for the next
            return
        self.show_run(run_id, name)

    def _start(self) -> None:
        if not self.watching:
            self.setup.start()

    def _go(self, task: str) -> None:
        self._session.go("train", task=task)

    def _choose_method(self) -> None:
        self._session.go("train")
        self.show_form()
        self.setup.methods.open()

    def _project_changed(self) -> None:
        self.view.close_run()
        self.show_form()

    def _form_page(self) -> QWidget:
        self.going = PlainLabel(elide=Qt.TextElideMode.ElideRight)
        self.watch = ghost_button(self.tr("Watch"), self._watch_going, icon="eye-outline")
        self._strip = QWidget()
        row = QHBoxLayout(self._strip)
        row.setContentsMargins(0, 0, 0, S2)
        row.addWidget(self.going, 1)
        row.addWidget(self.watch)
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._strip)
        layout.addWidget(self.setup, 1)
        return page

    def _watch_going(self) -> None:
        going = self._session.activity.kept()
        if going:
            self.show_run(going[0].run_id, going[0].name)
        elif self.view.run_id:
            self.show_run(self.view.run_id)

    def _show_going(self) -> None:
        going = self._session.activity.kept()
        text = ""
        if going:
            step = self.tr(", step {0} of {1}").format(going[0].step, going[0].total) if going[0].total else ""
            text = self.tr("{0} is running{1}").format(going[0].title, step)
        elif self.view.run_id:
            text = self.tr("Last watched: {0}").format(self.view.title)
        self.going.setText(text)
        self._strip.setVisible(bool(text))
