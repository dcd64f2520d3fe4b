"""The window: rail, top bar, panels, drawer and status bar, and what happens between them."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QCoreApplication, QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QMainWindow,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from rlhf_engine.contract.errors import EngineError, StoreDamaged
from rlhf_engine.contract.events import Alert, Envelope, RunFinished
from studio.commands import Command
from studio.engine_words import task_title
from studio.frame.drawer import Drawer, LogLines
from studio.frame.key_map import KeyMap
from studio.frame.palette import CommandPalette
from studio.frame.questions import ask_before_closing
from studio.frame.rail import Rail
from studio.frame.status_bar import StatusBar
from studio.frame.top_bar import TopBar
from studio.panels import PANELS
from studio.retraining import Retraining
from studio.safekeeping import Safekeeping
from studio.session import Session, sentence
from studio.settings import user_folder
from studio.taking import Taking
from studio.theme import theme
from studio.widgets.labels import PlainLabel
from studio.widgets.surfaces import ErrorCard, Line
from studio.widgets.toast import Toasts

log = logging.getLogger(__name__)


class MainWindow(QMainWindow):
    """`painted` once, after the window has first been drawn: what is heavy waits for it."""

    painted = Signal()
    closed = Signal()

    def __init__(self, session: Session, lines: LogLines | None = None) -> None:
        super().__init__()
        self.session = session
        self.current = ""
        self.report: Callable[[BaseException], None] | None = None  # how bugs are shown; app.py sets it
        self._panels: dict[str, QWidget] = {}
        self._visited: list[str] = []  # panels, in the order they were shown; `_place` is where one is
        self._place = -1
        self._leaving = ""
        self._was_painted = False
        self.setWindowTitle("RLHF Studio")
        self.setMinimumSize(1024, 680)
        self.rail = Rail()
        self.top = TopBar(session)
        self.stack = QStackedWidget()
        self.drawer = Drawer(lines or LogLines())
        self.drawer.hide()
        self.status = StatusBar(session)
        self.setStatusBar(self.status)
        self._build()
        self.toasts = Toasts(self)
        self.palette_ = CommandPalette(self)
        self.key_map = KeyMap(self)
        self._connect()
        self._keys()
        self.rail.fold(session.settings.rail_collapsed)
        self._restore_geometry()

    def _build(self) -> None:
        self._blank = PlainLabel(self.tr("Opening…"), tone="muted")
        self._blank.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.stack.addWidget(self._blank)
        self.split = QSplitter(Qt.Orientation.Vertical)
        self.split.addWidget(self.stack)
        self.split.addWidget(self.drawer)
        self.split.setStretchFactor(0, 1)
        self.split.setCollapsible(0, False)
        self.split.setSizes([600, 220])
        below = QHBoxLayout()
        below.setSpacing(0)
        below.addWidget(self.rail)
        below.addWidget(self.split, 1)
        centre = QWidget()
        layout = QVBoxLayout(centre)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self._line = Line()
        layout.addWidget(self.top)
        layout.addWidget(self._line)
        layout.addLayout(below, 1)
        self.setCentralWidget(centre)

    def _connect(self) -> None:
        session = self.session
        self.rail.chosen.connect(self.show_panel)
        self.top.rail_toggled.connect(self.toggle_rail)
        self.top.palette_asked.connect(self.ask_command)
        self.top.notes_asked.connect(self.show_notes)
        self.top.help_asked.connect(self.show_help)
        self.top.project_asked.connect(lambda path: self.open_project(Path(path)))
        self.top.new_asked.connect(self.new_project)
        self.top.open_asked.connect(self.choose_project)
        self.top.sample_asked.connect(self.open_sample)
        self.status.run_opened.connect(lambda run: session.go("train", run=run))
        self.status.stop_asked.connect(lambda run: session.control(run).cancel())
        self.drawer.unread.connect(self.top.show_unread)
        session.panel_requested.connect(self._go)
        session.badge_changed.connect(self.rail.set_count)
        session.focus_asked.connect(self._focus)
        session.toasted.connect(self._toast)
        session.failed.connect(self._failed)
        session.received.connect(self._hear)
        session.activity.changed.connect(self._show_activity)
        session.activity.ended.connect(lambda *_: self._go_on_closing())
        session.project_changed.connect(self._project_changed)
        self.safekeeping = Safekeeping(session, self)
        self.retraining = Retraining(session, self)
        self.taking = Taking(session, self)

    # --- panels --------------------------------------------------------------------------------------------------

    def show_panel(self, key: str, hints: dict[str, Any] | None = None) -> None:
        """Bring a panel to the front, building it when it has not been seen yet."""
        if key not in PANELS:
            return
        previous = self._panels.get(self.current)
        if previous is not None and key != self.current:
            _call(previous, "on_hidden")
        panel = self._panels.get(key) or self._make(key)
        self.current = key
        self._note_visit(key)
        self.stack.setCurrentWidget(panel)
        self.rail.show_current(key)
        self.session.settings.last_panel = key
        self._guard(lambda: _call(panel, "on_shown"))
        if hints:
            self._guard(lambda: _call(panel, "receive", hints))

    def panel(self, key: str) -> QWidget | None:
        """A panel that has been built."""
        return self._panels.get(key)

    def _make(self, key: str) -> QWidget:
        try:
            panel: QWidget = PANELS[key].load()(self.session)
        except Exception as error:  # one panel that fails must not take the others with it
            log.exception("The panel %s could not be built.", key)
            return self._failed_panel(key, error)
        self._panels[key] = panel
        self.stack.addWidget(panel)
        return panel

    def _failed_panel(self, key: str, error: BaseException) -> QWidget:
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(24, 24, 24, 24)

        def again() -> None:
            self.stack.removeWidget(page)
            page.deleteLater()
            self.show_panel(key)

        title = self.tr("{0} could not be opened").format(PANELS[key].shown_title())
        layout.addWidget(ErrorCard.of(error, title, [(self.tr("Try again"), again)]))
        layout.addStretch()
        self.stack.addWidget(page)
        return page

    def _guard(self, do: Callable[[], None]) -> None:
        """A panel that stumbles says so; the window stays."""
        try:
            do()
        except EngineError as error:
            self._failed(error)

    def go_back(self) -> None:
        self._travel(-1)

    def go_forward(self) -> None:
        self._travel(1)

    def _travel(self, way: int) -> None:
        place = self._place + way
        if 0 <= place < len(self._visited):
            self._place = place
            self.show_panel(self._visited[place])

    def _note_visit(self, key: str) -> None:
        if self._visited[self._place : self._place + 1] != [key]:  # else one has come back to it
            self._visited = [*self._visited[: self._place + 1], key][-30:]
            self._place = len(self._visited) - 1

    def _go(self, key: str, hints: dict[str, Any]) -> None:
        self.show_panel(key, hints)

    # --- projects ------------------------------------------------------------------------------------------------

    def start(self, open_first: Callable[[], None]) -> None:
        """After the first paint: icons, the project, the panel of last time, then the gauges."""
        theme().load_icons()
        self.try_to(open_first)
        self.show_panel(self.session.settings.last_panel if self.session.settings.last_panel in PANELS else "home")
        self.stack.setFocus()
        self.status.start()

    def try_to(self, do: Callable[[], None]) -> bool:
        """Do something that may fail in a way that a person can mend."""
        try:
            do()
        except EngineError as error:
            self._failed(error)
            return False
        return True

    def open_project(self, root: Path) -> None:
        self._change_project(lambda: self.session.open_project(root))

    def choose_project(self) -> None:
        start = str(self.session.settings.projects())
        folder = QFileDialog.getExistingDirectory(self, self.tr("Open a project's folder"), start)
        if folder:
            self.open_project(Path(folder))

    def new_project(self) -> None:
        from studio.frame.new_project import NewProject

        dialog = NewProject(self.session.settings.projects(), self)
        if dialog.exec():
            wanted = dialog.folder(), dialog.name(), dialog.with_samples()
            self._change_project(lambda: self.session.create_project(*wanted))

    def open_sample(self) -> None:
        self._change_project(lambda: open_sample(self.session))

    def _change_project(self, do: Callable[[], None]) -> None:
        """A run goes on when its project is closed, unless it is paused: no question, a note once it is so."""
        before, kept = self.session.project, self.session.activity.kept()
        if not self.try_to(do) or not kept or self.session.project is before:
            return
        if all(going.paused for going in kept):
            self.session.toast(self.tr("The paused run is kept with a checkpoint, and can be resumed."))
        else:
            self.session.toast(self.tr("The run goes on in the background."))

    def _project_changed(self) -> None:
        project = self.session.project
        self.setWindowTitle(f"{project.name} - RLHF Studio" if project else "RLHF Studio")
        for key in PANELS:
            self.rail.set_count(key, 0)

    # --- what is said --------------------------------------------------------------------------------------------

    def _toast(self, level: str, text: str, action: str, do: Callable[[], None] | None) -> None:
        self.toasts.show(text, level, action, do)
        self.drawer.note(text, level)

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, EngineError):
            log.error("A bug was met.", exc_info=error)
            if self.report is not None:
                self.report(error)
                return
        if isinstance(error, StoreDamaged) and self._repairable(error):
            self.safekeeping.offer_repair(sentence(error), Path(error.folder))
            return
        self._toast("bad", sentence(error), "", None)

    def _repairable(self, error: StoreDamaged) -> bool:
        """Whether it is a project that could not be opened, or the one that is open."""
        from rlhf_engine.store.project import is_project

        return bool(error.folder) and is_project(error.folder) and self.session.root in (None, Path(error.folder))

    def _hear(self, envelope: Envelope) -> None:
        self.drawer.hear(envelope)
        going = self.session.activity.going.get(envelope.run_id)
        match envelope.event:
            case Alert(level="danger" | "warning" as level, text=text, hint=hint):
                run = envelope.run_id
                words = " ".join(filter(None, (text, hint)))
                self._toast("bad" if level == "danger" else "warn", words, self.tr("Show"), lambda: self._show_run(run))
            case RunFinished() as end:
                self._run_ended(envelope.run_id, end, going is not None)

    def _run_ended(self, run_id: str, end: RunFinished, _going: bool) -> None:
        row = self.session.runs.run(run_id) if self.session.project else None
        if row is None:
            return  # nothing that is kept: whoever asked for it shows how it ended
        if run_id in self.retraining.own:
            return  # it tells of its runs itself, once both are over
        title = row.name or task_title(row.task)
        if end.outcome == "completed":
            self._toast("good", self.tr("{0} is done.").format(title), self.tr("Show"), lambda: self._show_run(run_id))
        elif end.outcome == "failed":
            text = self.tr("{0} failed. {1}").format(title, " ".join(filter(None, (end.message, end.hint))))
            self._toast("bad", text, self.tr("Show"), lambda: self._show_run(run_id))
        if not self.isActiveWindow():
            QApplication.alert(self)

    def _show_run(self, run_id: str) -> None:
        self.session.go("runs", run=run_id)

    def _show_activity(self) -> None:
        self.rail.set_count("train", len(self.session.activity.kept()))

    # --- commands and keys ---------------------------------------------------------------------------------------

    def commands(self) -> list[Command]:
        """Everything that can be done now."""
        found = []
        for number, row in enumerate(PANELS.values(), 1):
            title = self.tr("Go to {0}").format(row.shown_title())
            found.append(Command(title, partial(self.show_panel, row.key), f"Ctrl+{number}" if number < 10 else ""))
        for key, panel in sorted(self._panels.items(), key=lambda pair: pair[0] != self.current):
            asked = getattr(panel, "commands", None)
            for command in asked() if asked else ():
                shown = command.panel or PANELS[key].shown_title()
                found.append(Command(command.title, self._in_panel(key, command.do), command.keys, shown))
        found += [
            Command(self.tr("New project…"), self.new_project, "Ctrl+N"),
            Command(self.tr("Open project…"), self.choose_project, "Ctrl+O"),
            Command(self.tr("Open the sample project"), self.open_sample),
            Command(self.tr("Light theme"), lambda: self.set_theme("light")),
            Command(self.tr("Dark theme"), lambda: self.set_theme("dark")),
            Command(self.tr("Theme of the system"), lambda: self.set_theme("system")),
            Command(self.tr("Larger text"), lambda: self.scale(0.1), "Ctrl+="),
            Command(self.tr("Smaller text"), lambda: self.scale(-0.1), "Ctrl+-"),
            Command(self.tr("Show or hide panel names"), self.toggle_rail, "Ctrl+B"),
            Command(self.tr("Back to the panel before"), self.go_back, "Alt+Left"),
            Command(self.tr("Forward again"), self.go_forward, "Alt+Right"),
            Command(self.tr("Show or hide the log"), self.toggle_drawer, "Ctrl+J"),
            Command(self.tr("Show notifications"), self.show_notes),
            Command(self.tr("Help"), self.show_help, "F1"),
            Command(self.tr("Keys"), self.show_keys, "?"),
            Command(self.tr("Full screen"), self.toggle_full_screen, "F11"),
            Command(self.tr("Quit"), self.close, "Ctrl+Q"),
        ]
        for going in self.session.activity.kept():
            title = self.tr("Stop {0}").format(going.title)
            found.append(Command(title, self.session.control(going.run_id).cancel))
        return found

    def _in_panel(self, key: str, do: Callable[[], object]) -> Callable[[], object]:
        def done() -> None:
            self.show_panel(key)
            do()

        return done

    def ask_command(self) -> None:
        self.palette_.ask(self.commands())

    def show_help(self) -> None:
        """The page about what is shown now; from the help itself, back to where one was."""
        if self.current == "help":
            self.go_back()
            return
        asked = getattr(self._panels.get(self.current), "help_topic", None)
        title = PANELS[self.current].title if self.current in PANELS else ""
        self.show_panel("help", {"topic": asked() if asked else f"getting-started#{title}"})

    def show_keys(self) -> None:
        if self.key_map.isVisible():
            self.key_map.dismiss()
            return
        here = self._panels.get(self.current)
        asked = getattr(here, "keys", None)
        everywhere = [
            (command.keys, command.title) for command in self.commands() if command.keys and not command.panel
        ]
        tables = [
            ("Ctrl+F", self.tr("Filter")),
            ("Enter", self.tr("Open")),
            ("Del", self.tr("Delete")),
            ("Ctrl+C", self.tr("Copy rows as JSON")),
        ]
        title = PANELS[self.current].shown_title() if self.current in PANELS else ""
        groups = [(title, asked() if asked else []), (self.tr("Everywhere"), everywhere), (self.tr("Tables"), tables)]
        self.key_map.ask(groups)

    def _keys(self) -> None:
        pairs: list[tuple[str, Callable[[], object]]] = [
            ("Ctrl+K", self.ask_command),
            ("Ctrl+Shift+P", self.ask_command),
            ("Ctrl+B", self.toggle_rail),
            ("Ctrl+J", self.toggle_drawer),
            ("Ctrl+N", self.new_project),
            ("Ctrl+O", self.choose_project),
            ("Ctrl+,", lambda: self.show_panel("settings")),
            ("Ctrl+=", lambda: self.scale(0.1)),
            ("Ctrl++", lambda: self.scale(0.1)),
            ("Ctrl+-", lambda: self.scale(-0.1)),
            ("Alt+Left", self.go_back),
            ("Alt+Right", self.go_forward),
            ("F1", self.show_help),
            ("?", self.show_keys),  # typing it into a field types it
            ("F11", self.toggle_full_screen),
            ("Ctrl+Q", self.close),
        ]
        pairs += [
            (f"Ctrl+{number}", partial(self.show_panel, key)) for number, key in enumerate(PANELS, 1) if number < 10
        ]
        for keys, do in pairs:
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.activated.connect(lambda do=do: do())

    # --- how it looks --------------------------------------------------------------------------------------------

    def set_theme(self, choice: str) -> None:
        self.session.settings.theme = choice
        theme().apply(choice, self.session.settings.font_scale)

    def scale(self, step: float) -> None:
        settings = self.session.settings
        settings.font_scale = round(min(2.0, max(0.8, settings.font_scale + step)), 2)
        theme().apply(settings.theme, settings.font_scale)

    def toggle_rail(self) -> None:
        self.rail.fold(not self.rail.folded)
        self.session.settings.rail_collapsed = self.rail.folded

    def _focus(self, on: bool) -> None:
        """Hide everything around the panel, or show it again."""
        for part in (self.top, self._line, self.rail, self.status):
            part.setVisible(not on)

    def toggle_drawer(self) -> None:
        self.drawer.setVisible(self.drawer.isHidden())

    def show_notes(self) -> None:
        if self.drawer.isVisible() and self.drawer.currentIndex() == 1:
            self.drawer.hide()
        else:
            self.drawer.show_notes()

    def toggle_full_screen(self) -> None:
        self.showNormal() if self.isFullScreen() else self.showFullScreen()

    def _restore_geometry(self) -> None:
        self.resize(1360, 860)
        try:
            stored = base64.b64decode(self.session.settings.geometry, validate=True)
        except binascii.Error:
            return
        if stored:
            self.restoreGeometry(QByteArray(stored))

    # --- the first and the last moment ---------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        done = super().event(event)
        if event.type() == QEvent.Type.Paint and not self._was_painted:
            self._was_painted = True
            QTimer.singleShot(0, self, self.painted.emit)
        return done

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._leaving == "going" or not self._must_wait():
            self._finish()
            event.accept()
            return
        event.ignore()

    def _must_wait(self) -> bool:
        """Ask what is to become of runs that are going; True while the window has to stay open."""
        kept = self.session.activity.kept()
        if self._leaving in ("suspend", "stop"):
            if kept:
                self._say_waiting()
            return bool(kept)
        if not kept or not self.session.settings.confirm_close:
            return False
        answer = ask_before_closing([going.title for going in kept], self)
        if answer in ("suspend", "stop"):
            self._leaving = answer
            for going in kept:
                control = self.session.control(going.run_id)
                control.suspend() if answer == "suspend" else control.cancel()
            self._say_waiting()
            return bool(self.session.activity.kept())
        return answer != "leave"

    def _say_waiting(self) -> None:
        text = self.tr("Waiting for the run to come to rest…")
        self._toast("info", text, self.tr("Do not wait"), self._leave_at_once)

    def _leave_at_once(self) -> None:
        self._leaving = "going"
        self.close()

    def _go_on_closing(self) -> None:
        if self._leaving in ("suspend", "stop") and not self.session.activity.kept():
            QTimer.singleShot(0, self, self.close)

    def _finish(self) -> None:
        geometry = self.saveGeometry().toBase64().data()
        self.session.settings.geometry = geometry.decode("ascii") if isinstance(geometry, bytes) else ""
        panel = self._panels.get(self.current)
        if panel is not None:
            _call(panel, "on_hidden")
        self.hide()
        self.status.finish()
        self.safekeeping.stop()
        self.taking.stop()
        self.session.close()
        self.closed.emit()


def open_sample(session: Session) -> None:
    """Open the sample project in the user's data folder; the first time, make it."""
    from rlhf_engine.store.project import is_project

    root = user_folder("data") / "projects" / "sample"
    if is_project(root):
        session.open_project(root)
    else:
        session.create_project(root, QCoreApplication.translate("MainWindow", "Sample project"), starter=True)


def _call(panel: QWidget, name: str, *arguments: Any) -> None:
    method = getattr(panel, name, None)
    if method is not None:
        method(*arguments)
