"""Shows our own help pages and nothing else: it fetches no picture, opens no address, follows links to pages only."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from PySide6.QtCore import QEvent, QTimer, QUrl, Signal
from PySide6.QtGui import QTextBlockFormat, QTextCursor, QTextDocument
from PySide6.QtWidgets import QTextBrowser, QWidget

from studio.theme.tokens import S1, S3, S4, S6

CHUNK = 1500  # characters of Markdown that are laid out at a time: a whole page would stop the window
_FEATURES = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML
_ABOVE = {1: 0, 2: S6, 3: S4, 4: S3}  # room above a heading by its level


class HelpBrowser(QTextBrowser):
    """`show_markdown(text, anchor)`. Signals: followed(key, anchor) for a link; shown() when a page is whole."""

    followed = Signal(str, str)
    shown = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setOpenLinks(False)
        self.setOpenExternalLinks(False)
        self.setUndoRedoEnabled(False)
        self.setAccessibleName(self.tr("Help page"))
        self.document().setDocumentMargin(S4)
        self.anchorClicked.connect(self._clicked)
        self._text, self._anchor, self._place = "", "", 0
        self._chunks: deque[str] = deque()
        self._next = QTimer(self, singleShot=True, interval=0)
        self._next.timeout.connect(self._bring)

    @property
    def whole(self) -> bool:
        return not self._chunks

    def show_markdown(self, text: str, anchor: str = "", place: int = 0) -> None:
        """A page from the heading or name `anchor` on, else from a place of the scroll bar on."""
        self._text, self._anchor, self._place = text, anchor, place
        self._chunks = deque(chunks(text))
        self.clear()
        self._bring()

    def seek(self, anchor: str) -> None:
        """Another part of the page that is shown, once it is there; its beginning without an anchor."""
        self._anchor, self._place = anchor, 0
        if self.whole and not (anchor and self.go_to(anchor)):
            self.verticalScrollBar().setValue(0)

    def go_to(self, anchor: str) -> bool:
        """Scroll to a heading, or to where a setting or metric of that name is explained."""
        block, heading = self.document().begin(), None
        while block.isValid():
            if block.blockFormat().headingLevel():
                heading = block
            if anchor in (block.text(), block.text().partition(" ")[0]):
                place = heading or block
                cursor = QTextCursor(place)
                self.setTextCursor(cursor)
                top = self.document().documentLayout().blockBoundingRect(place).top()
                self.verticalScrollBar().setValue(round(top))
                return True
            block = block.next()
        return False

    def loadResource(self, kind: int, name: QUrl | str) -> Any:  # noqa: ARG002
        """Nothing is ever loaded for a page."""
        return None

    def _bring(self) -> None:
        if not self._chunks:
            return
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        first = cursor.position()
        if first:
            cursor.insertBlock(QTextBlockFormat())
        chunk = self._chunks.popleft()
        cursor.insertMarkdown(chunk, _FEATURES)
        self._space(first, level=len(chunk) - len(chunk.lstrip("#")))
        if self._chunks:
            self._next.start()
            return
        if not (self._anchor and self.go_to(self._anchor)):
            self.verticalScrollBar().setValue(self._place)
        self.shown.emit()

    def _space(self, begin: int, level: int) -> None:
        """Room above the headings from a place in the document on. Inserting forgets the `level` of its first block."""
        block = self.document().findBlock(begin + bool(begin))
        while block.isValid():
            level = level or block.blockFormat().headingLevel()
            if level:
                room = QTextBlockFormat()
                room.setHeadingLevel(level)
                room.setTopMargin(_ABOVE.get(level, S3))
                room.setBottomMargin(S1)
                QTextCursor(block).mergeBlockFormat(room)
            block, level = block.next(), 0

    def _clicked(self, url: QUrl) -> None:
        if not url.scheme() and not url.host():  # an address is no page
            self.followed.emit(url.path(), url.fragment(QUrl.ComponentFormattingOption.FullyDecoded))

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_next"):
            # links keep the colour that they were made with
            anchor, place = ("", self.verticalScrollBar().value()) if self.whole else (self._anchor, self._place)
            self.show_markdown(self._text, anchor, place)
        super().changeEvent(event)


def chunks(text: str) -> list[str]:
    """Markdown cut before headings into pieces of about `CHUNK` characters."""
    found, open_ = [], ""
    for part in re.split(r"\n\n(?=#)", text):
        open_ += ("\n\n" if open_ else "") + part
        if len(open_) > CHUNK:
            found.append(open_)
            open_ = ""
    return [*found, *([open_] if open_ else [])]
