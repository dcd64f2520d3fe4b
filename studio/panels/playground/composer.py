"""Where a question is typed: Enter sends it, Shift+Enter begins a new line, Ctrl+Up brings back earlier ones."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QPlainTextEdit, QWidget

KEPT = 100


class Composer(QPlainTextEdit):
    """`sent(text)` on Enter. Grows with its text up to six lines."""

    sent = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.past: list[str] = []
        self._place = 0  # in `past`; its length is the draft
        self._draft = ""
        self.setTabChangesFocus(True)
        self.setAccessibleName(self.tr("Question"))
        self.textChanged.connect(self._grow)
        self._grow()

    def note(self, text: str) -> None:
        """Remember a question that was asked, and clear the field."""
        if text in self.past:
            self.past.remove(text)
        self.past = [*self.past, text][-KEPT:]
        self._place, self._draft = len(self.past), ""
        self.clear()

    def recall(self, way: int) -> None:
        """Show the question before (-1) or after (1) this one; after the last comes what was being typed."""
        if self._place == len(self.past):
            self._draft = self.toPlainText()
        self._place = max(0, min(len(self.past), self._place + way))
        self.setPlainText(self.past[self._place] if self._place < len(self.past) else self._draft)
        self.moveCursor(self.textCursor().MoveOperation.End)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and (plain or control):
            self.sent.emit(self.toPlainText())
        elif event.key() == Qt.Key.Key_Up and control:
            self.recall(-1)
        elif event.key() == Qt.Key.Key_Down and control:
            self.recall(1)
        elif event.key() == Qt.Key.Key_Escape:
            event.ignore()  # stops the answers
        else:
            super().keyPressEvent(event)

    def _grow(self) -> None:
        lines = max(2, min(6, int(self.document().size().height())))
        self.setFixedHeight(lines * self.fontMetrics().lineSpacing() + 20)
