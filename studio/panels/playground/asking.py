"""One question on its way: what was sent, and which card each piece of an answer belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from rlhf_engine.contract.events import Alert, Envelope, Produced, RunFinished, RunStarted, Stage, Text
from rlhf_engine.tasks.generate.spec import GenerateSpec
from studio.panels.playground.answer_card import AnswerCard
from studio.panels.playground.column import Column

if TYPE_CHECKING:
    from studio.session import Session


class Asking(QObject):
    """Made with the cards in the order of the answers' numbers. Signals: began(), said(str), ended(RunFinished)."""

    began = Signal()
    said = Signal(str)
    ended = Signal(object)

    def __init__(
        self,
        session: Session,
        spec: GenerateSpec,
        cards: list[tuple[Column, AnswerCard]],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.spec = spec
        self._session = session
        self._cards = cards
        self.run_id = session.submit(spec)
        self._feed = session.run_feed(self.run_id, self)
        self._feed.event.connect(self._hear)

    def stop(self) -> None:
        self._session.control(self.run_id).cancel()

    def say_waiting(self, text: str) -> None:
        """Tell every answer that has no word yet what it waits for."""
        for _, card in self._cards:
            card.waiting(text)

    def _hear(self, envelope: Envelope) -> None:
        match envelope.event:
            case RunStarted():
                self.began.emit()
            case Stage(text, done, total):
                if text != "Writing":
                    share = f" {done / total:.0%}" if total else ""
                    for _, card in self._cards:
                        card.waiting(f"{text}{share}…")
            case Text() as said if said.answer < len(self._cards):
                column, card = self._cards[said.answer]
                column.hear(card, said)
            case Produced("answers", _, facts):
                self._end_cards(facts.get("answers", []))
            case Alert() as alert:
                self.said.emit(" ".join(filter(None, (alert.text, alert.hint))))
            case RunFinished() as end:
                self._end_cards([])
                self._feed.stop()
                self.ended.emit(end)
            case _:
                pass

    def _end_cards(self, answers: list[dict[str, Any]]) -> None:
        facts = {int(answer["answer"]): answer for answer in answers}
        for number, (_, card) in enumerate(self._cards):
            if card.finish is None:
                card.end("")
            if number in facts:
                card.take_facts(facts[number])
