"""One model and its side of the conversation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from rlhf_engine.contract.events import Text
from rlhf_engine.data.records import Prompt
from studio.forms import Combo
from studio.panels.playground.answer_card import AnswerCard
from studio.panels.playground.conversation import Exchange
from studio.session import ModelChoice
from studio.theme.tokens import S2, S3
from studio.widgets import PlainLabel, icon_button, tooltip


@dataclass
class Turn:
    """A question and the answers to it. `sent` is exactly what the model got, `bare` the same without examples."""

    question: str
    sent: Prompt
    bare: Prompt
    frame: QWidget
    cards: list[AnswerCard]

    @property
    def exchange(self) -> Exchange:
        """What the conversation goes on with: the chosen answer, else the first."""
        card = next((card for card in self.cards if card.is_chosen), self.cards[0])
        return Exchange(self.question, card.text())


class Column(QFrame):
    """Signals: model_changed(), removed(column), chosen(), demonstrated(card), rated(card, liked), picked(token)."""

    model_changed = Signal()
    removed = Signal(object)
    chosen = Signal()
    demonstrated = Signal(object)
    rated = Signal(object, object)
    picked = Signal(dict)

    def __init__(self, letter: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", "true")
        self.setMinimumWidth(230)
        self.turns: list[Turn] = []
        self._tokens_shown = False
        self._began = 0.0
        self._written = 0
        self.letter = PlainLabel(letter, bold=True)
        self.model = Combo()
        self.model.setAccessibleName(self.tr("Model"))
        self.model.setSizeAdjustPolicy(Combo.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model.setMinimumContentsLength(10)
        self.model.setPlaceholderText(self.tr("Choose a model"))
        self.model.currentIndexChanged.connect(lambda _: self.model_changed.emit())
        self.pace = PlainLabel(tone="muted")
        self.close_button = icon_button("close", self.tr("Remove this model"), lambda: self.removed.emit(self))
        head = QHBoxLayout()
        head.setContentsMargins(S3, S2, S2, 0)
        head.setSpacing(S2)
        head.addWidget(self.letter)
        head.addWidget(self.model, 1)
        head.addWidget(self.pace)
        head.addWidget(self.close_button)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget()
        self._talk = QVBoxLayout(inside)
        self._talk.setContentsMargins(S3, S2, S3, S3)
        self._talk.setSpacing(S3)
        self.hint = PlainLabel(self.tr("What you ask below is answered here."), tone="muted", wrap=True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._talk.addWidget(self.hint, 1000)  # in the middle, as long as it is there
        self._talk.addStretch(1)
        self.area.setWidget(inside)
        inside.setAutoFillBackground(False)  # the card's ground, not the window's
        self.area.viewport().setAutoFillBackground(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addLayout(head)
        layout.addWidget(self.area, 1)

    @property
    def ref(self) -> str:
        return str(self.model.currentData() or "")

    def offer(self, choices: Sequence[ModelChoice], otherwise: str = "") -> None:
        """Fill the list of models; what is chosen stays chosen while it is there, else `otherwise` is."""
        chosen = self.ref or otherwise
        self.model.blockSignals(True)
        self.model.clear()
        for choice in choices:
            self.model.addItem(choice.title, choice.ref)
            self.model.setItemData(self.model.count() - 1, tooltip(choice.detail), Qt.ItemDataRole.ToolTipRole)
        self.model.setCurrentIndex(max(self.model.findData(chosen), 0 if choices else -1))
        self.model.blockSignals(False)

    def earlier(self) -> list[Exchange]:
        return [turn.exchange for turn in self.turns]

    def begin(self, question: str, sent: Prompt, bare: Prompt, samples: int) -> list[AnswerCard]:
        """A new turn with empty answers."""
        frame = QWidget()
        layout = QVBoxLayout(frame)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addWidget(PlainLabel(self.tr("You"), tone="muted", bold=True))
        asked = PlainLabel(question, wrap=True, selectable=True)
        asked.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout.addWidget(asked)
        cards = []
        for number in range(samples):
            card = AnswerCard(self.tr("Answer {0}").format(number + 1) if samples > 1 else "")
            card.chosen.connect(self.chosen)
            card.demonstrated.connect(self.demonstrated)
            card.rated.connect(self.rated)
            card.picked.connect(self.picked)
            card.show_tokens(self._tokens_shown)
            layout.addWidget(card)
            cards.append(card)
        self._talk.insertWidget(self._talk.count() - 1, frame)
        self.turns.append(Turn(question, sent, bare, frame, cards))
        self.hint.hide()
        self._began, self._written = 0.0, 0
        self.pace.setText("")
        QTimer.singleShot(0, self, self._to_end)
        return cards

    def hear(self, card: AnswerCard, said: Text) -> None:
        bar = self.area.verticalScrollBar()
        at_end = bar.value() >= bar.maximum() - 8
        card.hear(said)
        now = time.monotonic()
        self._began = self._began or now
        self._written += len(said.tokens)
        if now - self._began > 0.3:
            self.pace.setText(self.tr("{0} tok/s").format(f"{self._written / (now - self._began):.1f}"))
        if at_end:
            QTimer.singleShot(0, self, self._to_end)

    def show_tokens(self, on: bool) -> None:
        self._tokens_shown = on
        for turn in self.turns:
            for card in turn.cards:
                card.show_tokens(on)

    def drop_last(self) -> None:
        if self.turns:
            turn = self.turns.pop()
            turn.frame.hide()
            turn.frame.deleteLater()
        self.hint.setVisible(not self.turns)

    def clear(self) -> None:
        while self.turns:
            self.drop_last()
        self.pace.setText("")

    def _to_end(self) -> None:
        self.area.verticalScrollBar().setValue(self.area.verticalScrollBar().maximum())
