"""An answer with a number for each of its tokens, shown as the ground behind them: plain text, whatever it says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QPlainTextEdit, QTextEdit, QToolTip, QWidget

from studio.theme import colors, theme
from studio.widgets.labels import tooltip

MOST = 4000  # tokens
_SHOWN = str.maketrans({"\r": "␍", "\u2028": "⏎", "\u2029": "⏎", "\0": "␀", "\ufdd0": "?", "\ufdd1": "?"})


class TokenHeat(QPlainTextEdit):
    """`show_tokens(tokens, numbers)`: green grounds are above zero, red ones below, stronger with the size.

    The pointer over a token tells its number. Without numbers the text is plain.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setTabChangesFocus(True)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self._tokens: list[str] = []
        self._ends: list[int] = []
        self._numbers: dict[str, Sequence[float]] = {}
        self._name = ""
        self.viewport().installEventFilter(self)
        theme().changed.connect(self._paint)

    def show_text(self, text: str) -> None:
        self.show_tokens([text], {}, "")

    def show_tokens(self, tokens: Sequence[str], numbers: dict[str, Sequence[float]], name: str) -> None:
        """`numbers` holds a row for each measure, as long as `tokens`; `name` is the one that colours."""
        self._tokens = [token.translate(_SHOWN) for token in tokens[:MOST]]
        self._numbers, self._name = numbers, name
        self._ends, end = [], 0
        for token in self._tokens:
            end += len(token.encode("utf-16-le")) // 2  # Qt counts in UTF-16
            self._ends.append(end)
        text = "".join(self._tokens)
        if text != self.toPlainText():
            self.setPlainText(text)
        self._paint()

    def color_by(self, name: str) -> None:
        self._name = name
        self._paint()

    def scale(self) -> float:
        """The number that has the full colour: the largest in size."""
        values = [abs(value) for value in self._numbers.get(self._name, ()) if math.isfinite(value)]
        return max(values, default=0.0)

    def grounds(self) -> list[tuple[str, str]]:
        """(text, colour) of each coloured stretch."""
        return [(s.cursor.selectedText(), s.format.background().color().name()) for s in self.extraSelections()]

    def token_at(self, position: int) -> int:
        """The number of the token that covers a place of the text; -1 beyond the end."""
        return next((i for i, end in enumerate(self._ends) if position < end), -1)

    def told(self, token: int) -> str:
        """What the pointer tells of a token."""
        lines = [f"“{self._tokens[token]}”"]
        for name, values in self._numbers.items():
            if token < len(values):
                lines.append(f"{name}  {values[token]:+.3f}")
        return "\n".join(lines)

    def _paint(self) -> None:
        values, scale = self._numbers.get(self._name, ()), self.scale()
        made: list[QTextEdit.ExtraSelection] = []
        start = 0
        for end, value in zip(self._ends, values, strict=False):
            share = min(1.0, abs(value) / scale) if scale and math.isfinite(value) else 0.0
            if share > 0.03:
                selection = QTextEdit.ExtraSelection()
                cursor = QTextCursor(self.document())
                cursor.setPosition(start)
                cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
                look = QTextCharFormat()
                look.setBackground(heat(value > 0, share))
                selection.cursor, selection.format = cursor, look
                made.append(selection)
            start = end
        self.setExtraSelections(made)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent) and self._numbers:
            token = self.token_at(self.cursorForPosition(event.pos()).position())
            if token >= 0:
                QToolTip.showText(event.globalPos(), tooltip(self.told(token)), self)
            return True
        return super().eventFilter(watched, event)


def heat(above: bool, share: float) -> QColor:
    """The ground of a token: never so strong that the text on it could not be read."""
    c = colors()
    ground, tint = QColor(c.surface), QColor(c.good if above else c.bad)
    weight = 0.12 + 0.38 * share
    pairs = ((ground.red(), tint.red()), (ground.green(), tint.green()), (ground.blue(), tint.blue()))
    return QColor(*(round(a * (1 - weight) + b * weight) for a, b in pairs))


class HeatLegend(QWidget):
    """From the largest number below zero to the largest above."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedSize(160, 20)
        self._scale = 0.0
        theme().changed.connect(self.update)

    def show_scale(self, scale: float) -> None:
        self._scale = scale
        self.setVisible(scale > 0)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002
        painter = QPainter(self)
        steps = 9
        width = 80 / steps
        for i in range(steps):
            place = (i - steps // 2) / (steps // 2)
            color = heat(place > 0, abs(place)) if place else QColor(colors().surface)
            painter.fillRect(int(40 + i * width), 4, int(width) + 1, 12, color)
        painter.setPen(QColor(colors().muted))
        sides = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(0, 0, 36, 20, sides | Qt.AlignmentFlag.AlignRight, f"\u2212{self._scale:.2g}")
        painter.drawText(124, 0, 36, 20, sides | Qt.AlignmentFlag.AlignLeft, f"+{self._scale:.2g}")
