"""An answer token by token: how likely each was, and what else could have stood there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from studio.theme.tokens import S2, S3
from studio.widgets import PlainLabel
from studio.widgets.plain_text import shown_lines
from studio.widgets.token_heat import TokenHeat

FULL = 5.0  # nats of surprise that have the full colour: less than one chance in a hundred
HALF = "·"  # stands for a token that is only part of a character

Token = dict[str, Any]  # {"text", "logprob", "top": [[text, logprob], …]}


class TokenView(TokenHeat):
    """`show_answer(tokens)`: the redder the ground, the less likely the token was. `picked(token)` on a click."""

    picked = Signal(dict)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._answer: list[Token] = []
        self.cursorPositionChanged.connect(self._pick)

    def show_answer(self, tokens: list[Token]) -> None:
        self._answer = list(tokens)
        numbers: dict[str, Sequence[float]] = {
            self.tr("log-probability"): [float(token["logprob"]) for token in tokens]
        }
        self.blockSignals(True)
        self.show_tokens([token["text"] or HALF for token in tokens], numbers, self.tr("log-probability"))
        self.blockSignals(False)
        self._follow_height()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._follow_height()

    def _follow_height(self) -> None:
        self.setFixedHeight(shown_lines(self, 40) * self.fontMetrics().lineSpacing() + 18)

    def scale(self) -> float:
        return FULL

    def pick(self, number: int) -> None:
        if 0 <= number < len(self._answer):
            self.picked.emit(self._answer[number])

    def _pick(self) -> None:
        self.pick(self.token_at(self.textCursor().position()))


class Alternatives(QWidget):
    """The likeliest tokens at one place, as a plain table."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.about = PlainLabel(wrap=True)
        self.about.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels([self.tr("Token"), self.tr("Chance"), self.tr("Nats")])
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
        self.table.setShowGrid(False)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            self.table.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S3, S3, S3, S3)
        layout.setSpacing(S2)
        layout.addWidget(self.about)
        layout.addWidget(self.table, 1)
        self.clear()

    def clear(self) -> None:
        self.about.setText(self.tr("Click a token of an answer to see what else could have stood there."))
        self.table.setRowCount(0)
        self.table.hide()

    def show_token(self, token: Token) -> None:
        text, logprob = str(token["text"]), float(token["logprob"])
        named = self.tr("“{0}”").format(visible(text)) if text else self.tr("Part of a character")
        self.about.setText(self.tr("{0} had a chance of {1} ({2} nats).").format(named, chance(logprob), nats(logprob)))
        top = token["top"]
        self.table.setRowCount(len(top))
        self.table.setVisible(bool(top))
        for row, (other, value) in enumerate(top):
            cells = (visible(str(other)), chance(float(value)), nats(float(value)))
            for column, cell in enumerate(cells):
                made = QTableWidgetItem(cell)
                if column:
                    made.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, made)


def chance(logprob: float) -> str:
    """A log-probability as a person says it: 93 %, 0.4 %."""
    share = 100 * math.exp(min(0.0, logprob))
    if share < 0.001:
        return "< 0.001 %"
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"


def nats(value: float) -> str:
    """Two digits; never a negative nothing."""
    return f"{value:.2f}".replace("-0.00", "0.00")


def visible(text: str) -> str:
    """Whitespace of a token in letters that can be seen."""
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
