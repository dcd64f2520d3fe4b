"""Where one arrives: what was begun, the projects, the seven steps of the work, and what this machine can do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QMenu,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.tasks import FAMILIES, TASKS
from studio.code_question import resume_then
from studio.commands import Command
from studio.engine_words import task_title
from studio.panels.home_steps import STEPS, StepRow, said
from studio.session import Session
from studio.theme import set_icon
from studio.theme.tokens import S2, S3, S4, S6
from studio.widgets import Card, Icon, PanelHeader, PlainLabel, button, ghost_button, primary_button, set_tooltip

GB = 2**30


class HomePanel(QWidget):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._asked_machine = False
        self.header = PanelHeader(self.tr("Home"), "")
        self.go_on = Card(self.tr("Continue"), icon="play-circle-outline")
        self.projects = Card(self.tr("Projects"), icon="folder-multiple-outline")
        self.steps = Card(self.tr("From base model to your model"), icon="format-list-checks")
        self.machine = Card(self.tr("This machine"), icon="expansion-card-variant")
        self._build()
        self._fill_machine()
        for signal in (session.project_changed, session.runs_changed, session.datasets_changed, session.model_changed):
            signal.connect(self.reload)
        session.labels_changed.connect(lambda _: self.reload())
        session.activity.began.connect(self._began)
        self.reload()

    def _build(self) -> None:
        inside = QWidget()
        inside.setObjectName("plain")
        grid = QGridLayout(inside)
        grid.setContentsMargins(S6, 0, S6, S6)
        grid.setSpacing(S4)
        left, right = QVBoxLayout(), QVBoxLayout()
        for column in (left, right):
            column.setSpacing(S4)
        left.addWidget(self.go_on)
        left.addWidget(self.steps)
        left.addStretch()
        right.addWidget(self.projects)
        right.addWidget(self.machine)
        right.addStretch()
        grid.addLayout(left, 0, 0)
        grid.addLayout(right, 0, 1)
        grid.setColumnStretch(0, 3)
        grid.setColumnStretch(1, 2)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addWidget(area, 1)
        self._step_rows = [StepRow(number, step, self._session) for number, step in enumerate(STEPS, 1)]
        for step_row in self._step_rows:
            self.steps.add(step_row)
        self._go_on_body = QVBoxLayout()
        self._go_on_body.setSpacing(S3)
        self.go_on.body.addLayout(self._go_on_body)
        self._project_body = QVBoxLayout()
        self._project_body.setSpacing(2)
        self.projects.body.addLayout(self._project_body)
        row = QHBoxLayout()
        row.setSpacing(S2)
        for words, name in (
            (self.tr("New…"), "new_project"),
            (self.tr("Open…"), "choose_project"),
            (self.tr("Sample"), "open_sample"),
        ):
            row.addWidget(button(words, partial(self._ask_window, name)))
        row.addStretch()
        self.projects.body.addLayout(row)

    def _ask_window(self, name: str) -> None:
        getattr(self.window(), name)()

    def on_shown(self) -> None:
        self.reload()
        if not self._asked_machine:
            self._asked_machine = True
            self._session.in_background(_machine_words, self._show_machine, self._machine_unknown)
        self._measure_disk()

    def commands(self) -> list[Command]:
        return [Command(self.tr("Check this machine again"), self._ask_machine)]

    # --- what there is -------------------------------------------------------------------------------------------

    def reload(self) -> None:
        project = self._session.project
        self.header.title.setText(project.name if project else self.tr("Welcome to RLHF Studio"))
        about = str(project.root) if project else self.tr("Open the sample project, or begin one of your own.")
        self.header.about.setText(about)
        self.header.about.show()
        facts = self.facts()
        following = next((row for row in self._step_rows if not row.step.done(facts)), None)
        for row in self._step_rows:
            row.show_state(row.step.done(facts), row is following and project is not None, project is not None)
        self._fill_go_on(following)
        self._fill_projects()

    def facts(self) -> dict[str, int]:
        """How much of each kind of thing the project has."""
        facts = dict.fromkeys(("prompts", "demonstrations", "comparisons", "trained", "asked", *TASKS, *FAMILIES), 0)
        session = self._session
        if session.project is None:
            return facts
        for kind in ("prompts", "demonstrations"):
            facts[kind] = session.labels.count(kind)
        facts["comparisons"] = session.labels.progress()[0]
        for dataset in session.datasets():
            facts[dataset.kind] = facts.get(dataset.kind, 0) + dataset.rows
        for run in session.runs.runs():
            if run.state == "completed":
                facts[run.task] = facts.get(run.task, 0) + 1
                if run.task in TASKS and TASKS[run.task].trains:
                    facts["trained"] += 1
                    facts[TASKS[run.task].family] = facts.get(TASKS[run.task].family, 0) + 1
        facts["asked"] = int(session.recall("asked", {}).get(str(session.root), 0))
        return facts

    def _began(self, run_id: str) -> None:
        """The first step is done once anything has been asked of a model in this project."""
        going = self._session.activity.going.get(run_id)
        if going is not None and going.task == "generate" and self._session.root is not None:
            asked = dict(self._session.recall("asked", {}))
            asked[str(self._session.root)] = 1
            self._session.remember("asked", asked)

    def _fill_go_on(self, following: StepRow | None) -> None:
        _empty(self._go_on_body)
        session = self._session
        if session.project is None:
            self._line(
                "flask-outline",
                self.tr("Try it with the sample project"),
                self.tr("Everything in it works offline on a CPU."),
                self.tr("Open the sample"),
                lambda: self.window().open_sample(),  # type: ignore[attr-defined]
                True,
            )
            return
        shown = 0
        rows = session.runs.runs()
        live = next((row for row in rows if row.alive), None)
        resumable = next((row for row in rows if row.state in ("suspended", "interrupted")), None)
        if live is not None:
            about = self.tr("Step {0} of {1}").format(live.step, live.total) if live.total else self.tr("Running")
            run = live.id
            self._line(
                "progress-clock", _run_title(live), about, self.tr("Watch"), lambda: session.go("train", run=run), True
            )
            shown += 1
        elif resumable is not None:
            about = self.tr("{0} at step {1}").format(resumable.state.capitalize(), resumable.step)
            run = resumable.id
            self._line(
                "pause-circle-outline", _run_title(resumable), about, self.tr("Resume"), lambda: self._resume(run), True
            )
            shown += 1
        judged, total, skipped = session.labels.progress()
        left = total - judged - skipped
        if left > 0:
            about = self.tr("{0} of {1} judged").format(f"{judged:,}", f"{total:,}")
            words = self.tr("Pairs waiting for you: {0}").format(f"{left:,}")
            self._line("scale-balance", words, about, self.tr("Judge"), lambda: session.go("compare"), not shown)
            shown += 1
        if following is not None and shown < 3:
            step = following.step
            self._line(
                "arrow-right-circle-outline",
                self.tr("Next: {0}").format(said(step.text)),
                said(step.about),
                self.tr("Go there"),
                lambda: session.go(step.panel, **step.hints),
                not shown,
            )
        elif not shown:
            words, about = self.tr("All seven steps are done"), self.tr("Compare your models side by side.")
            there = self.tr("Playground")
            self._line("check-circle-outline", words, about, there, lambda: session.go("playground"), True)

    def _line(self, icon: str, title: str, about: str, words: str, do: Callable[[], object], main: bool) -> None:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S3)
        row.addWidget(Icon(icon, 24, "link"))
        text = QVBoxLayout()
        text.setSpacing(0)
        text.addWidget(PlainLabel(title, elide=Qt.TextElideMode.ElideRight))
        text.addWidget(PlainLabel(about, tone="muted", elide=Qt.TextElideMode.ElideRight))
        row.addLayout(text, 1)
        row.addWidget(primary_button(words, do) if main else button(words, do))
        self._go_on_body.addWidget(line)

    def _resume(self, run_id: str) -> None:
        resume_then(self._session, run_id, self, partial(self._resume_now, run_id))

    def _resume_now(self, run_id: str) -> None:
        try:
            self._session.resume(run_id)
        except StoreError as error:
            self._session.say(error)
            return
        self._session.go("train", run=run_id)

    # --- projects ------------------------------------------------------------------------------------------------

    def _fill_projects(self) -> None:
        _empty(self._project_body)
        here = str(self._session.root or "")
        recent = [path for path in self._session.settings.recent if Path(path).is_dir()]
        if not recent:
            self._project_body.addWidget(PlainLabel(self.tr("Projects that you open are listed here."), tone="muted"))
        for path in recent[:6]:
            self._project_body.addWidget(self._project_row(path, path == here))

    def _project_row(self, path: str, current: bool) -> QWidget:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S2)
        name = QToolButton()
        name.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        name.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        title = self._session.project.name if current and self._session.project else Path(path).name
        name.setText("  " + name.fontMetrics().elidedText(title, Qt.TextElideMode.ElideMiddle, 240).replace("&", "&&"))
        name.setProperty("row", "true")
        set_icon(name, "folder-open-outline" if current else "folder-outline", "link" if current else "muted")
        set_tooltip(name, path)
        name.setEnabled(True)
        name.clicked.connect(lambda: self.window().open_project(Path(path)))  # type: ignore[attr-defined]
        row.addWidget(name, 1)
        if current:
            row.addWidget(PlainLabel(self.tr("open"), tone="good"))
        more = QToolButton()
        set_icon(more, "dots-horizontal", "muted")
        more.setAccessibleName(self.tr("More about {0}").format(title))
        more.clicked.connect(lambda: self._project_menu(path, current, more))
        row.addWidget(more)
        return line

    def _project_menu(self, path: str, current: bool, at: QWidget) -> None:
        from PySide6.QtCore import QUrl
        from PySide6.QtGui import QDesktopServices

        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction(self.tr("Show its folder"), lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(path)))
        forget = menu.addAction(self.tr("Take off this list"), lambda: self._forget(path))
        forget.setEnabled(not current)
        menu.popup(at.mapToGlobal(at.rect().bottomLeft()))

    def _forget(self, path: str) -> None:
        settings = self._session.settings
        settings.recent = [other for other in settings.recent if other != path]
        self._session.keep_settings()
        self._fill_projects()

    # --- the machine ---------------------------------------------------------------------------------------------

    def _fill_machine(self) -> None:
        self.hardware = PlainLabel(self.tr("Looking at this machine…"), wrap=True)
        self.advice = PlainLabel(tone="warn", wrap=True, selectable=True)
        self.advice.hide()
        self.disk = PlainLabel(tone="muted", wrap=True)
        for label in (self.hardware, self.advice, self.disk):
            self.machine.add(label)
        self.machine.add_action(ghost_button(self.tr("Details"), lambda: self._session.go("settings", section="about")))

    def _ask_machine(self) -> None:
        self.hardware.setText(self.tr("Looking at this machine…"))
        self._session.in_background(_machine_words, self._show_machine, self._machine_unknown)

    def _show_machine(self, words: tuple[str, str]) -> None:
        self.hardware.setText(words[0])
        self.advice.setText(words[1])
        self.advice.setVisible(bool(words[1]))

    def _machine_unknown(self, error: BaseException) -> None:
        self.hardware.setText(self.tr("This machine could not be examined: {0}").format(error))

    def _measure_disk(self) -> None:
        root = self._session.root
        if root is not None:
            self._session.in_background(lambda: folder_sizes(root), self._show_disk, self._machine_unknown)

    def _show_disk(self, sizes: dict[str, int]) -> None:
        parts = [f"{name} {amount(size)}" for name, size in sizes.items() if size and name not in ("total", "free")]
        text = self.tr("This project takes {0}; {1} are free.").format(amount(sizes["total"]), amount(sizes["free"]))
        inside = self.tr("Of that: {0}.").format(", ".join(parts)) if parts else ""
        self.disk.setText(f"{text} {inside}".strip())


def _run_title(row: Any) -> str:
    return row.name or task_title(row.task)


def _machine_words() -> tuple[str, str]:
    """The hardware in a line, and what is amiss. Takes seconds: never on the window's thread."""
    from rlhf_engine import doctor

    findings = doctor.diagnose()
    amiss = [f"{finding.sentence} {finding.fix}" for finding in findings if finding.level == "fail"]
    return doctor.hardware_line(findings), "\n".join(amiss)


def folder_sizes(root: Path) -> dict[str, int]:
    """Bytes that each part of a project takes, the sum of all, and what is free."""
    from rlhf_engine import machine

    sizes = {}
    for name in ("datasets", "runs", "exports"):
        sizes[name] = sum(_size(path) for path in (root / name).rglob("*"))
    sizes["total"] = sum(sizes.values()) + sum(_size(path) for path in root.glob("*"))
    sizes["free"] = machine.disk_free(root)
    return sizes


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # deleted while we were counting
        return 0


def amount(size: int) -> str:
    """Bytes as people say them: 812 KB, 3.4 MB, 12 GB."""
    value = float(size)
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} GB"


def _empty(layout: QVBoxLayout) -> None:
    while (taken := layout.takeAt(0)) is not None:
        widget = taken.widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
