"""A read-only view of text written by models and files: shown as it is, however long or odd, and copied as stored."""

from __future__ import annotations

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QResizeEvent, QTextOption
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from studio.theme import mono_font
from studio.widgets.buttons import ghost_button

CAP = 20_000  # characters shown before "Show all"
LINE = 2_000  # Qt lays out one line of 200,000 characters in five seconds


class PlainText(QFrame):
    """`text()` and copying give the stored text; what is displayed may have soft breaks and be capped.

    With `fit`, the height follows the text, up to `most_lines` lines.
    """

    expanded = Signal()

    def __init__(
        self,
        text: str = "",
        parent: QWidget | None = None,
        *,
        mono: bool = False,
        fit: bool = False,
        most_lines: int = 24,
    ) -> None:
        super().__init__(parent)
        self._text = ""
        self._breaks: list[int] = []
        self._fit = fit
        self._most_lines = most_lines
        self.view = _View(self)
        self.view.setReadOnly(True)
        self.view.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.view.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        if mono:
            self.view.setFont(mono_font())
        self.more: QPushButton = ghost_button(self.tr("Show all"))
        self.more.clicked.connect(self._show_all)
        self.more.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.view)
        layout.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)
        self.set_text(text)

    def text(self) -> str:
        """The stored text, whole."""
        return self._text

    def set_text(self, text: str) -> None:
        if text == self._text and self.more.isHidden():
            return
        self._text = text
        self._display(text[:CAP])
        self.more.setVisible(len(text) > CAP)
        if len(text) > CAP:
            self.more.setText(self.tr("Show all {0} characters").format(f"{len(text):,}"))

    def append(self, piece: str) -> None:
        """Add to the end while an answer is being written, without laying out what is already there."""
        if not piece:
            return
        before = len(self._text)
        self._text += piece
        if before >= CAP and not self.more.isHidden():
            return
        shown, breaks = soft_break(piece, self._open_line(before))
        self._breaks += [before + at for at in breaks]
        cursor = self.view.textCursor()
        at_end = self.view.verticalScrollBar().value() >= self.view.verticalScrollBar().maximum() - 4
        cursor.movePosition(cursor.MoveOperation.End)
        cursor.insertText(shown)
        if at_end:
            self.view.verticalScrollBar().setValue(self.view.verticalScrollBar().maximum())
        self._follow_height()

    def _open_line(self, end: int) -> int:
        """How long the last displayed line is by now."""
        last = max(self._text.rfind("\n", 0, end) + 1, self._breaks[-1] if self._breaks else 0)
        return end - last

    def _show_all(self) -> None:
        self._display(self._text)
        self.more.hide()
        self.expanded.emit()

    def _display(self, text: str) -> None:
        shown, self._breaks = soft_break(text)
        self.view.setPlainText(shown)
        self._follow_height()

    def _follow_height(self) -> None:
        if not self._fit:
            return
        line = self.view.fontMetrics().lineSpacing()
        self.view.setFixedHeight(shown_lines(self.view, self._most_lines) * line + 20)

    def stored(self, start: int, end: int) -> str:
        """The stored text between two places of the displayed one."""
        first = start - sum(1 for i, at in enumerate(self._breaks) if at + i < start)
        last = end - sum(1 for i, at in enumerate(self._breaks) if at + i < end)
        return self._text[first:last]


class _View(QPlainTextEdit):
    def __init__(self, parent: PlainText) -> None:
        super().__init__(parent)
        self._owner = parent
        self.setUndoRedoEnabled(False)
        self.setTabChangesFocus(True)

    def createMimeDataFromSelection(self) -> QMimeData:
        cursor = self.textCursor()
        data = QMimeData()
        document = self.document().toPlainText()
        start = len(document.encode("utf-16-le")[: 2 * cursor.selectionStart()].decode("utf-16-le", "ignore"))
        end = len(document.encode("utf-16-le")[: 2 * cursor.selectionEnd()].decode("utf-16-le", "ignore"))
        data.setText(self._owner.stored(start, end))
        return data

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._owner._follow_height()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        # a page may have keys of its own (1, 2, S); only moving, selecting and copying belong to the text
        moving = (QKeySequence.StandardKey.Copy, QKeySequence.StandardKey.SelectAll)
        if any(event.matches(key) for key in moving) or event.key() in (
            Qt.Key.Key_Up,
            Qt.Key.Key_Down,
            Qt.Key.Key_PageUp,
            Qt.Key.Key_PageDown,
            Qt.Key.Key_Home,
            Qt.Key.Key_End,
        ):
            super().keyPressEvent(event)
        else:
            event.ignore()


def shown_lines(view: QPlainTextEdit, most: int) -> int:
    """How many lines, wrapped ones counted, a text takes at its width; at most `most`.

    Asking for a block's place lays it out: after a resize the document still counts the lines of the old width.
    """
    layout, block, lines = view.document().documentLayout(), view.document().begin(), 0
    while block.isValid() and lines < most:
        layout.blockBoundingRect(block)
        lines += max(1, block.layout().lineCount())
        block = block.next()
    return max(1, min(lines, most))


def soft_break(text: str, already: int = 0) -> tuple[str, list[int]]:
    """`text` with a newline put into every line that is longer than LINE, and where in `text` each was put.

    `already` is the length of the line that `text` goes on with.
    """
    pieces, breaks, at = [], [], 0
    for number, line in enumerate(text.split("\n")):
        length = already if number == 0 else 0
        if length + len(line) <= LINE:
            pieces.append(line)
        else:
            parts, begin = [], 0
            room = max(0, LINE - length)
            while len(line) - begin > room:
                parts.append(line[begin : begin + room])
                begin += room
                breaks.append(at + begin)
                room = LINE
            parts.append(line[begin:])
            pieces.append("\n".join(parts))
        at += len(line) + 1
    return "\n".join(pieces), breaks
