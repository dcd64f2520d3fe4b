"""Markdown that somebody else wrote, for reading: it loads nothing, opens nothing and knows no HTML.

The text is parsed here and inserted piece by piece as plain text with a look. So nothing in it could fetch a picture or
follow an address: a picture is its description, a link its words with the address behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QColor, QFont, QTextBlockFormat, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QFrame, QTextEdit, QWidget

from studio.theme import colors
from studio.theme.tokens import S1, S2, S3

if TYPE_CHECKING:
    from markdown_it.token import Token

MOST = 100_000  # characters; what is longer is no page to read beside one's work
_DEEPEST = 19  # lists and quotes within each other
_INDENT = 18
_SIZES = {1: 1.3, 2: 1.15, 3: 1.05}


class MarkdownPane(QTextEdit):
    """`show_markdown(text)`. Anything longer than MOST is cut, with a line that says so."""

    _text = ""  # a change of the palette may come before there is any

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setUndoRedoEnabled(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.document().setDocumentMargin(S2)
        self.show_markdown(text)

    def show_markdown(self, text: str) -> None:
        from markdown_it import MarkdownIt

        self._text = text
        tokens = MarkdownIt("commonmark", {"html": False}).parse(text[:MOST])
        self.clear()
        if any(token.level >= _DEEPEST for token in tokens):  # the parser leaves out what is deeper
            self.setPlainText(text[:MOST])
        else:
            _Writer(self).write(tokens)
        if len(text) > MOST:
            cut = self.tr("… {0} more characters are not shown.").format(f"{len(text) - MOST:,}")
            _Writer(self).paragraph(cut)
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._text:
            place = self.verticalScrollBar().value()
            self.show_markdown(self._text)  # looks keep the colours that they were made with
            self.verticalScrollBar().setValue(place)


class _Writer:
    """Puts tokens into an empty or begun document."""

    def __init__(self, pane: MarkdownPane) -> None:
        self._pane = pane
        self._cursor = QTextCursor(pane.document())
        self._cursor.movePosition(QTextCursor.MoveOperation.End)
        self._first = pane.document().isEmpty()
        self._lists: list[int] = []  # the next number of each open list, 0 for a list of points
        self._marker = ""
        self._quotes = 0

    def write(self, tokens: Sequence[Token]) -> None:
        level = 0
        for token in tokens:
            match token.type:
                case "heading_open":
                    level = int(token.tag[1:])
                case "heading_close":
                    level = 0
                case "bullet_list_open":
                    self._lists.append(0)
                case "ordered_list_open":
                    self._lists.append(int(token.attrGet("start") or 1))
                case "bullet_list_close" | "ordered_list_close":
                    self._lists.pop()
                case "list_item_open":
                    number = self._lists[-1]
                    self._marker = f"{number}. " if number else "• "
                    self._lists[-1] += bool(number)
                case "blockquote_open":
                    self._quotes += 1
                case "blockquote_close":
                    self._quotes -= 1
                case "inline":
                    self._block(level)
                    self._inline(token.children or [], level)
                case "fence" | "code_block":
                    self._block(0)
                    self._cursor.insertText(token.content.rstrip("\n").replace("\n", "\u2028"), self._look(code=True))
                case "hr":
                    self._block(0)
                    self._cursor.insertText("― ― ―", self._look())

    def paragraph(self, text: str) -> None:
        self._block(0)
        self._cursor.insertText(text, self._look(italic=True))

    def _block(self, level: int) -> None:
        """Begin a paragraph; a list's point goes before the first one of an item."""
        shape = QTextBlockFormat()
        shape.setTopMargin((S3 if level else S1) if not self._first else 0)
        shape.setBottomMargin(S1)
        indent = _INDENT * (len(self._lists) + self._quotes)
        shape.setLeftMargin(indent)
        if self._first:
            self._cursor.setBlockFormat(shape)
            self._first = False
        else:
            self._cursor.insertBlock(shape)
        if self._marker:
            width = self._pane.fontMetrics().horizontalAdvance(self._marker)
            shape.setTextIndent(-width)
            self._cursor.setBlockFormat(shape)
            self._cursor.insertText(self._marker, self._look())
            self._marker = ""

    def _inline(self, tokens: Sequence[Token], level: int) -> None:
        bold, italic = bool(level), bool(self._quotes)
        address = ""
        for token in tokens:
            look = self._look(bold, italic, level=level)
            match token.type:
                case "strong_open" | "strong_close":
                    bold = token.type == "strong_open" or bool(level)
                case "em_open" | "em_close":
                    italic = token.type == "em_open" or bool(self._quotes)
                case "link_open":
                    address = str(token.attrGet("href") or "")
                case "link_close":
                    self._cursor.insertText(f" ({address})", self._look(muted=True))
                case "code_inline":
                    self._cursor.insertText(token.content, self._look(bold, italic, code=True))
                case "image":
                    self._cursor.insertText(f"[{token.content}]", self._look(muted=True))
                case "softbreak":
                    self._cursor.insertText(" ", look)
                case "hardbreak":
                    self._cursor.insertText("\u2028", look)
                case _:
                    self._cursor.insertText(token.content.replace("\ufffc", "\ufffd"), look)

    def _look(
        self, bold: bool = False, italic: bool = False, code: bool = False, muted: bool = False, level: int = 0
    ) -> QTextCharFormat:
        look = QTextCharFormat()
        look.setForeground(QColor(colors().muted if muted else colors().text))
        look.setFontWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
        look.setFontItalic(italic)
        if level in _SIZES:
            look.setFontPointSize(self._pane.font().pointSizeF() * _SIZES[level])
        if code:
            look.setFontFixedPitch(True)
            look.setFontFamilies(["monospace"])
        return look
