"""The list of runs, with what can be done with one or several of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QPoint, Qt, QTimer, QUrl
from PySide6.QtGui import QDesktopServices, QHideEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QInputDialog, QMenu, QStackedWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.tasks import TASKS
from studio.code_question import resume_then
from studio.commands import Command
from studio.frame.questions import confirm
from studio.panels.run_view import RunView
from studio.panels.run_view.naming import title_of, titles
from studio.panels.runs.compare import CompareView
from studio.panels.runs.rows import filtered, ordered, row_of
from studio.panels.runs.table import RunTable
from studio.theme.tokens import S4, S6
from studio.widgets import EmptyState, PanelHeader, Query, RecordTable, button, set_tooltip

if TYPE_CHECKING:
    from rlhf_engine.store.runs import RunRow
    from studio.session import Session

BEAT_MS = 1000  # how often the list follows a run that is going


class RunsPanel(QWidget):
    """Hints: run (open it), compare (a list of run ids)."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._rows: list[dict[str, Any]] = []
        self._titles: dict[str, str] = {}
        self._reading = self._again = False
        self.header = PanelHeader(self.tr("Runs"), self.tr("Runs of this project"))
        self.back = button(
            self.tr("All runs"), self.show_list, icon="arrow-left", tip=self.tr("Back to the list (Esc)")
        )
        self.header.add(self.back)
        self.table = self._table()
        self.view = RunView(session)
        self.comparing = CompareView(session)
        self._pages = QStackedWidget()
        for page in (self.table, self.view, self.comparing):
            self._pages.addWidget(page)
        content = QVBoxLayout()
        content.setContentsMargins(S6, 0, S6, S4)
        content.addWidget(self._pages)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addLayout(content, 1)
        leave = QShortcut(QKeySequence(Qt.Key.Key_Escape), self)
        leave.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        leave.activated.connect(self.show_list)
        self._beat = QTimer(self, interval=BEAT_MS)
        self._beat.timeout.connect(self._follow)
        session.runs_changed.connect(lambda: self.reload())
        session.project_changed.connect(self._project_changed)
        self.show_list()

    # --- pages ---------------------------------------------------------------------------------------------------

    def show_list(self) -> None:
        self._pages.setCurrentWidget(self.table)
        self.back.hide()
        self.reload()

    def open_run(self, run_id: str) -> None:
        """Show one run in place of the list."""
        self._session.select_run(run_id)
        if self.view.run_id != run_id:
            self.view.open(run_id)
        self._pages.setCurrentWidget(self.view)
        self.back.show()

    def compare(self, run_ids: list[str]) -> None:
        self.comparing.show_runs(run_ids)
        self._pages.setCurrentWidget(self.comparing)
        self.back.show()

    def receive(self, hints: dict[str, Any]) -> None:
        if compared := hints.get("compare"):
            self.compare([str(run_id) for run_id in compared])
        elif run_id := str(hints.get("run") or ""):
            self.open_run(run_id)

    def on_shown(self) -> None:
        self.reload()
        if self._pages.currentWidget() is self.table:
            self.table.view.setFocus()

    def commands(self) -> list[Command]:
        return [
            Command(self.tr("Show all runs"), self._go_to_list),
            Command(self.tr("Compare the last two runs"), self._compare_last),
        ]

    def keys(self) -> list[tuple[str, str]]:
        return [
            ("Enter", self.tr("Open the run")),
            ("Ctrl+F", self.tr("Filter")),
            ("Del", self.tr("Delete")),
            ("Ctrl+C", self.tr("Copy as JSON")),
            ("Esc", self.tr("Back to the list")),
        ]

    # --- the list ------------------------------------------------------------------------------------------------

    def reload(self, going_on: bool = False) -> None:
        """Read the list again, in the background; what is selected stays. `going_on`: only numbers can be others."""
        if self._reading:
            self._again = True
            return
        project = self._session.project
        if project is None:
            self._rows = []
            self.table.reload()
            return
        self._reading = True
        if not going_on:
            self._titles = titles(self._session)
        runs, known = project.runs, self._titles
        read = lambda: [row_of(run, known, time.time()) for run in runs.runs()]  # noqa: E731
        self._session.in_background(read, self._show, self._unread)

    def _show(self, rows: list[dict[str, Any]]) -> None:
        self._reading = False
        self._rows = rows
        self.table.reload()
        self._offer()
        if self._again:
            self._again = False
            self.reload()

    def _unread(self, error: BaseException) -> None:
        self._reading = self._again = False
        self._session.say(error)

    def _follow(self) -> None:
        if self._session.activity.kept() and self._pages.currentWidget() is self.table:
            self.reload(going_on=True)

    def _page(self, query: Query) -> list[dict[str, Any]]:
        found = ordered(filtered(self._rows, query.text), query.sort, query.descending)
        return found[query.offset : query.offset + query.limit]

    def _table(self) -> RecordTable:
        table = RunTable(self._page, lambda query: len(filtered(self._rows, query.text)))
        self.open_button = button(self.tr("Open"), lambda: self._one(lambda run: self.open_run(run.id)))
        self.compare_button = button(self.tr("Compare"), self._compare_selected, icon="compare-horizontal")
        self.resume_button = button(self.tr("Resume"), lambda: self._one(self._resume), icon="play")
        self.clone_button = button(self.tr("Clone with changes"), lambda: self._one(self._clone))
        self.more = button(self.tr("More"), lambda: self._menu(self.more.mapToGlobal(self.more.rect().bottomLeft())))
        for made in (self.open_button, self.compare_button, self.resume_button, self.clone_button, self.more):
            table.add_action(made)
        table.set_empty(
            EmptyState(
                "chart-line",
                self.tr("Runs appear here once you have trained something"),
                (self.tr("Train a model"), lambda: self._session.go("train")),
                detail=self.tr("Every run is kept with its settings, curves, samples and result."),
            )
        )
        table.activated.connect(lambda row: self.open_run(row["id"]))
        table.selected.connect(lambda _: self._offer())
        table.deleting.connect(lambda rows: self._delete([row["run"] for row in rows]))
        table.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.view.customContextMenuRequested.connect(
            lambda place: self._menu(table.view.viewport().mapToGlobal(place))
        )
        return table

    # --- what can be done ----------------------------------------------------------------------------------------

    def _chosen(self) -> list[RunRow]:
        return [row["run"] for row in self.table.selection()]

    def _one(self, do: Callable[[RunRow], object]) -> None:
        chosen = self._chosen()
        if len(chosen) == 1:
            do(chosen[0])

    def _offer(self) -> None:
        """Enable what makes sense for what is selected."""
        chosen = self._chosen()
        one = chosen[0] if len(chosen) == 1 else None
        self.open_button.setEnabled(one is not None)
        self.compare_button.setEnabled(len(chosen) > 1)
        text = self.tr("Compare {0}").format(len(chosen)) if len(chosen) > 1 else self.tr("Compare")
        self.compare_button.setText(text)
        set_tooltip(
            self.compare_button, "" if len(chosen) > 1 else self.tr("Select two or more runs with Ctrl or Shift")
        )
        self.resume_button.setEnabled(one is not None and one.resumable)
        self.clone_button.setEnabled(one is not None and one.task in TASKS and TASKS[one.task].trains)
        self.more.setEnabled(bool(chosen))

    def _menu(self, place: QPoint) -> None:
        chosen = self._chosen()
        if not chosen:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for text, do, enabled in (
            (self.tr("Rename…"), lambda: self._one(self._rename), len(chosen) == 1),
            (self.tr("Note…"), lambda: self._one(self._note), len(chosen) == 1),
            (self.tr("Open folder"), lambda: self._one(self._folder), len(chosen) == 1),
            (self.tr("Export"), lambda: self._one(self._export), len(chosen) == 1),
            (self.tr("Delete…"), lambda: self._delete(chosen), not any(run.alive for run in chosen)),
        ):
            action = menu.addAction(text)
            action.setEnabled(enabled)
            action.triggered.connect(do)
        menu.popup(place)

    def _go_to_list(self) -> None:
        self._session.go("runs")
        self.show_list()

    def _compare_selected(self) -> None:
        self.compare([run.id for run in self._chosen()])

    def _compare_last(self) -> None:
        self._session.go("runs", compare=[row["id"] for row in self._rows[:2]])

    def _resume(self, run: RunRow) -> None:
        resume_then(self._session, run.id, self, partial(self._resume_now, run))

    def _resume_now(self, run: RunRow) -> None:
        try:
            self._session.resume(run.id)
        except EngineError as error:
            self._session.say(error)
            return
        self.open_run(run.id)

    def _clone(self, run: RunRow) -> None:
        self._session.go("train", clone=run.id)

    def _export(self, run: RunRow) -> None:
        self._session.go("export", model=f"run:{run.id}")

    def _rename(self, run: RunRow) -> None:
        name, ok = QInputDialog.getText(self, self.tr("Rename"), self.tr("What to call this run"), text=title_of(run))
        if ok and name.strip():
            self._session.rename_run(run.id, name=name.strip())

    def _note(self, run: RunRow) -> None:
        note, ok = QInputDialog.getMultiLineText(self, self.tr("Note"), self.tr("What to remember of it"), run.note)
        if ok:
            self._session.rename_run(run.id, note=note.strip())

    def _folder(self, run: RunRow) -> None:
        if self._session.root is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._session.root / "runs" / run.id)))

    def _delete(self, runs: list[RunRow]) -> None:
        """Ask, then forget runs and what they made."""
        ended = [run for run in runs if not run.alive]
        if not ended:
            return
        names = ", ".join(title_of(run) for run in ended[:3]) + ("…" if len(ended) > 3 else "")
        text = self.tr("Delete {0}, with its curves, checkpoints and adapter? This cannot be undone.").format(names)
        if confirm(self.tr("Delete runs"), text, self.tr("Delete"), self):
            for run in ended:
                self._session.delete_run(run.id)
                if self.view.run_id == run.id:
                    self.view.close_run()
                    self.show_list()

    # --- Qt ------------------------------------------------------------------------------------------------------

    def _project_changed(self) -> None:
        self.view.close_run()
        self.comparing.told = []
        self.comparing.curves.clear()
        self._reading = self._again = False
        self.show_list()

    def showEvent(self, event: QShowEvent) -> None:
        self._beat.start()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._beat.stop()
        super().hideEvent(event)
