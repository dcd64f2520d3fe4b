"""One to four models beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from studio.panels.playground.answer_card import AnswerCard
from studio.panels.playground.column import Column, Turn
from studio.theme.tokens import S3

if TYPE_CHECKING:
    from studio.session import ModelChoice, Session

MOST = 4
LETTERS = "ABCD"


class Columns(QWidget):
    """Signals: changed() when models were added, removed or chosen; chosen(); demonstrated(card); picked(token);
    rated(card, liked).
    """

    changed = Signal()
    chosen = Signal()
    demonstrated = Signal(object)
    rated = Signal(object, object)
    picked = Signal(dict)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._tokens_shown = False
        self._busy = False
        self.all: list[Column] = []
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(S3)

    @property
    def talked(self) -> bool:
        return any(column.turns for column in self.all)

    def add(self, ref: str = "") -> Column | None:
        """Another model, one that is not there yet if there is one; None when there are four."""
        if len(self.all) == MOST:
            return None
        column = Column(LETTERS[len(self.all)])
        column.model_changed.connect(self.changed)
        column.removed.connect(self.remove)
        column.chosen.connect(self.chosen)
        column.demonstrated.connect(self.demonstrated)
        column.rated.connect(self.rated)
        column.picked.connect(self.picked)
        column.show_tokens(self._tokens_shown)
        used = {other.ref for other in self.all}
        self.all.append(column)
        self._layout.addWidget(column, 1)
        choices = self._choices()
        fresh = next((choice.ref for choice in reversed(choices) if choice.ref not in used), "")
        column.offer(choices, ref or fresh)
        self._show_buttons()
        self.changed.emit()
        return column

    def remove(self, column: Column) -> None:
        """The last one stays."""
        if len(self.all) == 1 or self._busy:
            return
        self.all.remove(column)
        column.hide()
        column.deleteLater()
        for letter, left in zip(LETTERS, self.all, strict=False):
            left.letter.setText(letter)
        self._show_buttons()
        self.changed.emit()

    def refresh(self) -> None:
        """Read again which models there are."""
        choices = self._choices()
        for column in self.all:
            column.offer(choices, self._session.model)

    def take(self, refs: list[str]) -> None:
        """Show these models, from the first column on."""
        for number, ref in enumerate(refs[:MOST]):
            column = self.all[number] if number < len(self.all) else self.add(ref)
            if column is not None:
                column.model.setCurrentIndex(column.model.findData(ref))

    def clear(self) -> None:
        for column in self.all:
            column.clear()

    def show_tokens(self, on: bool) -> None:
        self._tokens_shown = on
        for column in self.all:
            column.show_tokens(on)

    def set_busy(self, busy: bool) -> None:
        """While answers are written, models stay as they are."""
        self._busy = busy
        self._show_buttons()

    def choices(self) -> list[tuple[Column, Turn, AnswerCard]]:
        """The ticked answers, column by column."""
        return [
            (column, turn, card)
            for column in self.all
            for turn in column.turns
            for card in turn.cards
            if card.is_chosen
        ]

    def newest(self) -> list[AnswerCard]:
        """The answers to the last question, column by column."""
        return [card for column in self.all if column.turns for card in column.turns[-1].cards]

    def _choices(self) -> list[ModelChoice]:
        return [choice for choice in self._session.models() if not choice.scores]

    def _show_buttons(self) -> None:
        for column in self.all:
            column.model.setEnabled(not self._busy)
            column.close_button.setVisible(len(self.all) > 1)
            column.close_button.setEnabled(not self._busy)
