"""What to judge by, in the words of whoever runs the project: Markdown, shown without loading or opening anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPlainTextEdit, QStackedWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.store.database import store_errors
from studio.panels.compare.listener import Listener
from studio.theme.tokens import S2, S3, S4
from studio.widgets import MarkdownPane, PlainLabel, button, ghost_button, primary_button

if TYPE_CHECKING:
    from studio.session import Session

FILE = "guidelines.md"
PANE = 300  # pixels high


class GuidelinesPane(QWidget):
    """To be read beside the answers; `asked()` when they are to be written."""

    asked = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.edit = ghost_button(self.tr("Edit"), self.asked.emit)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(S2)
        self._layout.addWidget(self.edit, 0, Qt.AlignmentFlag.AlignLeft)

    @cached_property
    def pane(self) -> MarkdownPane:
        """Made when it is first wanted: parsing Markdown takes a library."""
        made = MarkdownPane()
        made.setMinimumHeight(PANE)
        made.setAccessibleName(self.tr("Guidelines"))
        self._layout.insertWidget(0, made)
        made.show()
        return made

    def read(self) -> None:
        """Read the file again."""
        self.pane.show_markdown(found(self._session)[1])
        self.edit.setEnabled(self._session.root is not None)


class Guidelines(QDialog):
    """The project's guidelines.md, else the one that comes with the sample project; one of `keys` or Esc closes it."""

    def __init__(self, session: Session, parent: QWidget, keys: Sequence[str] = ("H",)) -> None:
        super().__init__(parent)
        self._session = session
        self.setWindowTitle(self.tr("How to judge"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(660, 540)
        self.pane = MarkdownPane()
        self.editor = QPlainTextEdit()
        self.editor.setAccessibleName(self.tr("Guidelines in Markdown"))
        self.where = PlainLabel(tone="muted", wrap=True, selectable=True)
        self.edit = ghost_button(self.tr("Edit"), self.begin)
        self.save = primary_button(self.tr("Save"), self.keep)
        self.drop = ghost_button(self.tr("Do not save"), self.show_text)
        self.shut = button(self.tr("Close   {0}").format(keys[0] if keys else "Esc"), self.accept)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.pane)
        self._stack.addWidget(self.editor)
        actions = QHBoxLayout()
        actions.setSpacing(S2)
        actions.addWidget(self.edit)
        actions.addStretch()
        for made in (self.drop, self.save, self.shut):
            actions.addWidget(made)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S4, S4, S4, S4)
        layout.setSpacing(S3)
        layout.addWidget(self._stack, 1)
        layout.addWidget(self.where)
        layout.addLayout(actions)
        self._listener = Listener(self)
        self._listener.hear((key, self.accept) for key in keys)
        self.show_text()

    def show_text(self) -> None:
        """Read the file again, and show it."""
        own, text = found(self._session)
        where = self.tr("From {0}") if own else self.tr("An example. Write your own as {0}")
        self.where.setText(where.format(self._session.root / FILE if self._session.root is not None else FILE))
        self.pane.show_markdown(text)
        self._write(False)

    def begin(self) -> None:
        """Write the project's own; what is shown is what one begins with."""
        self.editor.setPlainText(found(self._session)[1])
        self._write(True)
        self.editor.setFocus()

    def keep(self) -> None:
        if self._session.root is None:
            return
        try:
            write(self._session.root, self.editor.toPlainText())
        except EngineError as error:
            self._session.say(error)  # what was written stays in the field
            return
        self.show_text()

    def _write(self, on: bool) -> None:
        self._stack.setCurrentWidget(self.editor if on else self.pane)
        self._listener.listen(not on)
        self.edit.setVisible(not on and self._session.root is not None)
        self.shut.setVisible(not on)
        self.drop.setVisible(on)
        self.save.setVisible(on)


def found(session: Session) -> tuple[bool, str]:
    """Whether the guidelines are the project's own, and their text."""
    from resources.starter import PROJECT

    own = session.root / FILE if session.root is not None else Path()
    for file in (own, PROJECT / FILE):
        if file.is_file():
            return file is own, file.read_text(encoding="utf-8", errors="replace")
    return False, ""


def write(root: Path, text: str) -> None:
    """Keep a project's own guidelines; the old ones stay until the new ones are whole."""
    unfinished = root / f".{FILE}.new"
    with store_errors(root / FILE):
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(root / FILE)
