"""A read-only view of text written by models and files: shown as it is, however long or odd, and copied as stored."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Sequence

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QKeySequence, QResizeEvent, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QPushButton, QScroller, QTextEdit, QVBoxLayout, QWidget

from studio.theme import colors, mono_font, theme
from studio.widgets.buttons import ghost_button
from studio.widgets.display import Display

CAP = 20_000  # characters shown before "Show all"
TINTED = 2_000  # stand-ins that get a ground of their own; those after them are only written
_ANY = 16_777_215  # Qt's word for a height without limit
Span = tuple[int, int]  # from, to: characters of the stored text


class PlainText(QFrame):
    """`text()` and copying give the stored text; what is displayed may be capped and have stand-ins (see `display`).

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
        self._display = Display()
        self._spans: Sequence[Span] = ()
        self._heads: Sequence[Span] = ()
        self._fit = fit
        self._most_lines = most_lines
        self.view = _View(self)
        self.view.setReadOnly(True)
        self.view.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.view.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        QScroller.grabGesture(self.view.viewport(), QScroller.ScrollerGestureType.TouchGesture)
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
        theme().changed.connect(self._paint)
        self.set_text(text)

    def text(self) -> str:
        """The stored text, whole."""
        return self._text

    @property
    def displayed(self) -> str:
        """As much of the stored text as is displayed."""
        return self._text[: self._display.length]

    def set_text(self, text: str) -> None:
        if text == self._text and self.more.isHidden():
            return
        self._text = text
        self._spans = self._heads = ()
        self._write(text[:CAP])
        self.more.setVisible(len(text) > CAP)
        if len(text) > CAP:
            self.more.setText(self.tr("Show all {0} characters").format(f"{len(text):,}"))

    def set_fit(self, on: bool) -> None:
        """Whether the height follows the text, or whoever lays this out."""
        self._fit = on
        if not on:
            self.view.setMinimumHeight(0)
            self.view.setMaximumHeight(_ANY)
        self._follow_height()

    def show_marks(self, on: bool) -> None:
        """Whether blanks, tabs, line ends and characters without a shape are shown."""
        if on == self._display.marks:
            return
        option = self.view.document().defaultTextOption()
        seen = QTextOption.Flag.ShowTabsAndSpaces | QTextOption.Flag.ShowLineAndParagraphSeparators
        option.setFlags(option.flags() | seen if on else option.flags() & ~seen)
        self.view.document().setDefaultTextOption(option)
        place = self.view.verticalScrollBar().value()
        shown = self.displayed
        self._display = Display(on)
        self._write(shown)
        self.view.verticalScrollBar().setValue(place)

    def mark(self, spans: Sequence[Span], heads: Sequence[Span] = ()) -> None:
        """Give these stretches of the stored text another ground, and `heads` a heading's look; the text stays."""
        if spans or heads or self._spans or self._heads:
            self._spans, self._heads = spans, heads
            self._paint()

    def marked(self) -> list[str]:
        """The stored texts that are marked."""
        return [self._text[start:end] for start, end in self._spans]

    def append(self, piece: str) -> None:
        """Add to the end while an answer is being written, without laying out what is already there."""
        if not piece:
            return
        before = self._text
        self._text += piece
        if len(before) >= CAP and not self.more.isHidden():
            return
        if before.endswith("\r"):  # a line end that came in two
            self._write(self._text)
            return
        shown = self._display.add(piece)
        cursor = self.view.textCursor()
        at_end = self.view.verticalScrollBar().value() >= self.view.verticalScrollBar().maximum() - 4
        cursor.movePosition(cursor.MoveOperation.End)
        cursor.insertText(shown)
        if at_end:
            self.view.verticalScrollBar().setValue(self.view.verticalScrollBar().maximum())
        if self._display.swaps:
            self._paint()
        self._follow_height()

    def _show_all(self) -> None:
        self._write(self._text)
        self.more.hide()
        self.expanded.emit()

    def _write(self, text: str) -> None:
        self._display = Display(self._display.marks)
        self._turn(text)
        self.view.setPlainText(self._display.add(text))
        self._paint()
        self._follow_height()

    def _turn(self, text: str) -> None:
        """A text that begins in a script written from the right stands at the right."""
        strong = (unicodedata.bidirectional(c) for c in text[:400])
        first = next((way for way in strong if way in ("L", "R", "AL")), "L")
        side = Qt.AlignmentFlag.AlignLeft if first == "L" else Qt.AlignmentFlag.AlignRight
        option = self.view.document().defaultTextOption()
        if option.alignment() != side:
            option.setAlignment(side)
            self.view.document().setDefaultTextOption(option)

    def _paint(self) -> None:
        """Marks are laid over the text; the document knows nothing of them."""
        stand_ins = self._display.stand_ins()[:TINTED] if self._display.swaps else []
        if not (stand_ins or self._spans or self._heads):
            if self.view.extraSelections():
                self.view.setExtraSelections([])
            return
        at = Places(self.view.toPlainText()) if self._display.length else Places("")
        shown = self._display.shown_at
        most = self._display.length
        made = [self._over(*at.span(start, end), _stand_in_look()) for start, end in stand_ins]
        for spans, look in ((self._heads, _head_look()), (self._spans, _mark_look())):
            made += [self._over(*at.span(shown(a), shown(min(b, most))), look) for a, b in spans if a < most]
        self.view.setExtraSelections(made)

    def _over(self, start: int, end: int, look: QTextCharFormat) -> QTextEdit.ExtraSelection:
        selection = QTextEdit.ExtraSelection()
        cursor = QTextCursor(self.view.document())
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        selection.cursor, selection.format = cursor, look
        return selection

    def _follow_height(self) -> None:
        if not self._fit:
            return
        line = self.view.fontMetrics().lineSpacing()
        self.view.setFixedHeight(shown_lines(self.view, self._most_lines) * line + 20)

    def stored(self, start: int, end: int) -> str:
        """The stored text between two places of the displayed one."""
        return self._text[self._display.stored_at(start) : self._display.stored_at(end)]


class Places:
    """Where characters are for Qt, which counts those beyond U+FFFF twice."""

    def __init__(self, shown: str) -> None:
        wide = bool(shown) and max(shown) > "\uffff"
        self._wide = [number for number, character in enumerate(shown) if character > "\uffff"] if wide else []

    def of(self, place: int) -> int:
        return place + bisect_left(self._wide, place)

    def span(self, start: int, end: int) -> Span:
        return self.of(start), self.of(end)

    def back(self, qt_place: int) -> int:
        """The character at one of Qt's places."""
        return qt_place - bisect_left(self._wide, qt_place, key=self._twice)

    def _twice(self, wide: int) -> int:
        return self.of(wide)


def _mark_look() -> QTextCharFormat:
    look = QTextCharFormat()
    ground = QColor(colors().warn)
    ground.setAlpha(70)
    look.setBackground(ground)
    look.setFontUnderline(True)  # not by colour alone
    return look


def _stand_in_look() -> QTextCharFormat:
    look = QTextCharFormat()
    look.setBackground(QColor(colors().raised))
    look.setForeground(QColor(colors().link))
    return look


def _head_look() -> QTextCharFormat:
    look = QTextCharFormat()
    look.setBackground(QColor(colors().raised))
    look.setForeground(QColor(colors().link))
    return look


class _View(QPlainTextEdit):
    def __init__(self, parent: PlainText) -> None:
        super().__init__(parent)
        self._owner = parent
        self.setUndoRedoEnabled(False)
        self.setTabChangesFocus(True)

    def createMimeDataFromSelection(self) -> QMimeData:
        cursor = self.textCursor()
        data = QMimeData()
        at = Places(self.document().toPlainText())
        data.setText(self._owner.stored(at.back(cursor.selectionStart()), at.back(cursor.selectionEnd())))
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
