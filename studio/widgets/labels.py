"""Text that is shown as it is: no widget here ever reads markup into what a model or a file said."""

from __future__ import annotations

import html

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QLabel, QSizePolicy, QWidget

from studio.theme import theme


class PlainLabel(QLabel):
    """A QLabel that never guesses. `tone` is "", muted, good, warn or bad; `elide` shortens instead of wrapping."""

    def __init__(
        self,
        text: str = "",
        parent: QWidget | None = None,
        *,
        tone: str = "",
        wrap: bool = False,
        elide: Qt.TextElideMode | None = None,
        selectable: bool = False,
        size: float = 1.0,
        bold: bool = False,
    ) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self._elide = elide
        if tone:
            self.setProperty("tone", tone)
        self.setWordWrap(wrap)
        if selectable:
            self.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
        if elide is not None:
            self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._size, self._bold = size, bold
        self._own_font = False
        if size != 1.0 or bold:
            self._set_font()
        self.setText(text)

    def set_bold(self, yes: bool) -> None:
        if yes != self._bold:
            self._bold = yes
            self._set_font()

    def _set_font(self) -> None:
        """A font of its own does not follow the application's by itself."""
        if not self._own_font:
            self._own_font = True
            theme().changed.connect(self._set_font)
        font = QApplication.font()
        font.setPointSizeF(font.pointSizeF() * self._size)
        font.setBold(self._bold)
        self.setFont(font)

    def set_tone(self, tone: str) -> None:
        if self.property("tone") != tone:
            self.setProperty("tone", tone)
            self.style().unpolish(self)
            self.style().polish(self)

    def minimumSizeHint(self) -> QSize:
        hint = super().minimumSizeHint()
        return QSize(0, hint.height()) if self._elide is not None else hint

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._elide is None:
            super().paintEvent(event)
            return
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        one_line = self.text().replace("\n", " ")[:2000]
        shown = self.fontMetrics().elidedText(one_line, self._elide, self.contentsRect().width())
        painter.drawText(self.contentsRect(), self.alignment() | Qt.TextFlag.TextSingleLine, shown)


def set_tooltip(widget: QWidget, text: str) -> None:
    """A tooltip that shows `text` as it is; raw text could be taken for HTML, escaped text alone would show &amp;."""
    widget.setToolTip(tooltip(text))


def tooltip(text: str) -> str:
    return f"<qt>{html.escape(text[:2000]).replace(chr(10), '<br>')}</qt>" if text else ""
