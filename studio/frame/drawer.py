"""The drawer below the panels: the log of this window and of the engine, and the notes that went by as toasts."""

from __future__ import annotations

import logging
import queue
import time

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QShowEvent, QTextCursor
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPlainTextEdit, QTabWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.events import (
    Alert,
    CheckpointSaved,
    Envelope,
    KnobChanged,
    Produced,
    RunFinished,
    RunStarted,
    Stage,
)
from studio.theme import mono_font
from studio.theme.tokens import S1, S2
from studio.widgets.buttons import ghost_button
from studio.widgets.display import Display
from studio.widgets.surfaces import redacted

MOST_LINES = 20_000


class LogLines(logging.Handler):
    """Collects records from any thread until the drawer takes them."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
        self.waiting: queue.SimpleQueue[str] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self.waiting.put(redacted(self.format(record)))


class LogView(QWidget):
    def __init__(self, lines: LogLines, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines = lines
        self._all: list[str] = []
        self.filter = QLineEdit()
        self.filter.setPlaceholderText(self.tr("Show only lines with…"))
        self.filter.setClearButtonEnabled(True)
        self.filter.textChanged.connect(lambda: self._again())
        self.box = QPlainTextEdit()
        self.box.setReadOnly(True)
        self.box.setMaximumBlockCount(MOST_LINES)
        self.box.setFont(mono_font())
        self.box.setUndoRedoEnabled(False)
        bar = QHBoxLayout()
        bar.setSpacing(S2)
        bar.addWidget(self.filter, 1)
        bar.addWidget(ghost_button(self.tr("Clear"), self.clear))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S2, S2, S2, S2)
        layout.setSpacing(S1)
        layout.addLayout(bar)
        layout.addWidget(self.box, 1)
        self._tick = QTimer(self, interval=250)
        self._tick.timeout.connect(self.take)
        self._tick.start()

    def add(self, line: str) -> None:
        self._lines.waiting.put(line)

    def take(self) -> None:
        """Show what has come in since; in one go, since single appends cost ten times as much."""
        fresh: list[str] = []
        while not self._lines.waiting.empty() and len(fresh) < 5000:
            fresh.append(self._lines.waiting.get())
        if not fresh:
            return
        self._all = (self._all + fresh)[-MOST_LINES:]
        self._append([line for line in fresh if self._wanted(line)])

    def text(self) -> str:
        return "\n".join(self._all)

    def clear(self) -> None:
        self._all.clear()
        self.box.clear()

    def _append(self, lines: list[str]) -> None:
        if lines:
            self.box.appendPlainText(Display().add("\n".join(lines)))

    def _wanted(self, line: str) -> bool:
        return self.filter.text().casefold() in line.casefold()

    def _again(self) -> None:
        self.box.clear()
        self._append([line for line in self._all if self._wanted(line)])

    def showEvent(self, event: QShowEvent) -> None:
        self.box.moveCursor(QTextCursor.MoveOperation.End)
        super().showEvent(event)


class Drawer(QTabWidget):
    """`hear(envelope)` writes what runs say into the log; `note(text)` keeps a toast. unread(int) counts the notes."""

    unread = Signal(int)

    def __init__(self, lines: LogLines, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.log = LogView(lines)
        self.notes = QPlainTextEdit()
        self.notes.setReadOnly(True)
        self.notes.setMaximumBlockCount(2000)
        self.notes.setPlaceholderText(self.tr("Nothing has happened yet. Finished runs and warnings are listed here."))
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(S2, S2, S2, S2)
        layout.addWidget(self.notes)
        self.addTab(self.log, self.tr("Log"))
        self.addTab(inside, self.tr("Notifications"))
        self.setMinimumHeight(120)
        self._unread = 0
        self.currentChanged.connect(lambda _: self._seen())

    def note(self, text: str, level: str = "info") -> None:
        words = {"bad": self.tr("Error"), "warn": self.tr("Warning"), "good": self.tr("Done")}
        head = f"{time.strftime('%H:%M:%S')}  " + (f"{words[level]}: " if level in words else "")
        self.notes.appendPlainText(Display().add(head + text))
        self._unread += 1
        self._seen()

    def show_notes(self) -> None:
        self.setCurrentIndex(1)
        self.show()
        self._seen()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._seen()

    def _seen(self) -> None:
        if self.isVisible() and self.currentIndex() == 1:
            self._unread = 0
        self.unread.emit(self._unread)

    def hear(self, envelope: Envelope) -> None:
        said = told(envelope)
        if said:
            clock = time.strftime("%H:%M:%S", time.localtime(envelope.time))
            self.log.add(f"{clock} run {envelope.run_id[:6]}: {said}")


def told(envelope: Envelope) -> str:
    """An event as a line of the log; empty for those that are numbers or text of their own."""
    match envelope.event:
        case RunStarted(task=task, from_step=step, hardware=hardware):
            return f"{task} started" + (f" from step {step}" if step else "") + (f" on {hardware}" if hardware else "")
        case Stage(text=text, done=done, total=total):
            return text if done in (0, total) else ""
        case CheckpointSaved(step=step):
            return f"checkpoint at step {step}"
        case KnobChanged(step=step, name=name, value=value):
            return f"{name} set to {value:g} at step {step}"
        case Alert(level=level, text=text, hint=hint, step=step):
            return f"{level} at step {step}: {text} {hint}"
        case Produced(what=what, path=path):
            return f"made {what} {path}"
        case RunFinished(outcome=outcome, message=message, hint=hint, traceback=trace):
            return "\n".join(filter(None, (f"{outcome} {message} {hint}".strip(), trace)))
    return ""
