"""The command palette: everything that can be done, found by a few letters of its name."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QListWidget, QListWidgetItem, QWidget

from studio.commands import Command
from studio.frame.overlay import Overlay
from studio.theme.tokens import S2, S3
from studio.widgets.labels import PlainLabel

MOST = 60


class CommandPalette(Overlay):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, 600)
        self._commands: list[Command] = []
        self._found: list[Command] = []
        self.line = QLineEdit()
        self.line.setPlaceholderText(self.tr("Type what you want to do"))
        self.line.setAccessibleName(self.tr("Command"))
        self.list = QListWidget()
        self.list.setFixedHeight(380)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.body.addWidget(self.line)
        self.body.addWidget(self.list)
        self.line.textChanged.connect(lambda: self._search())
        self.line.returnPressed.connect(self._do)
        self.line.installEventFilter(self)
        self.list.itemClicked.connect(lambda _: self._do())

    def ask(self, commands: Sequence[Command]) -> None:
        self._commands = list(commands)
        self.line.clear()
        self._search()
        self.open(self.line)

    def found(self) -> list[Command]:
        return self._found

    def _search(self) -> None:
        self._found = search(self.line.text(), self._commands)[:MOST]
        self.list.clear()
        for command in self._found:
            entry = QListWidgetItem(self.list)
            row = QWidget()
            layout = QHBoxLayout(row)
            layout.setContentsMargins(S3, 0, S3, 0)
            layout.setSpacing(S2)
            layout.addWidget(PlainLabel(command.title, elide=Qt.TextElideMode.ElideRight), 1)
            layout.addWidget(PlainLabel("  ".join(filter(None, (command.panel, command.keys))), tone="muted"))
            entry.setSizeHint(QSize(0, 34))
            self.list.setItemWidget(entry, row)
        self.list.setCurrentRow(0)

    def _do(self) -> None:
        row = self.list.currentRow()
        if 0 <= row < len(self._found):
            command = self._found[row]
            self.dismiss()
            command.do()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.line and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: 8, Qt.Key.Key_PageUp: -8}
            step = steps.get(Qt.Key(event.key()))
            if step is not None and self.list.count():
                self.list.setCurrentRow(min(self.list.count() - 1, max(0, self.list.currentRow() + step)))
                return True
            if event.key() == Qt.Key.Key_Escape:
                self.dismiss()
                return True
        return super().eventFilter(watched, event)


def search(text: str, commands: Sequence[Command]) -> list[Command]:
    """The commands that fit `text`, best first; all of them for no text."""
    if not text.strip():
        return list(commands)
    from rapidfuzz import fuzz, process, utils

    names = [f"{command.title} {command.panel}" for command in commands]
    fitting = process.extract(
        text, names, scorer=fuzz.WRatio, processor=utils.default_process, limit=MOST, score_cutoff=60
    )
    words = text.casefold().split()
    # what holds every word as it was typed comes before what merely resembles it
    fitting.sort(key=lambda hit: (not all(word in hit[0].casefold() for word in words), -hit[1]))
    return [commands[place] for _, _, place in fitting]
