"""One prompt, step by step: answer, criticism, revision, and which of the two the model prefers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from rlhf_engine.contract.events import Envelope, Produced, RunStarted, Text
from rlhf_engine.tasks.constitution.spec import ReviseSpec
from studio.panels.feedback.starting import Starting
from studio.theme.tokens import S3, S4
from studio.widgets import Card, EmptyState, PlainLabel, PlainText

if TYPE_CHECKING:
    from studio.session import Session


class StepsPage(QWidget):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.starting = Starting(session, ReviseSpec, self.tr("Go step by step"), "play")
        self.starting.heard.connect(self._hear)
        self.starting.told.connect(self._step)
        self.texts: list[PlainText] = []
        self.verdict = PlainLabel(wrap=True, bold=True)
        self._inside = QWidget()
        self._steps = QVBoxLayout(self._inside)
        self._steps.setContentsMargins(0, 0, 0, 0)
        self._steps.setSpacing(S3)
        self._steps.addStretch()
        self.nothing = EmptyState(
            "format-list-numbered",
            self.tr("Answer, criticism and revision of one prompt appear here, one after the other."),
            detail=self.tr("Nothing of it is kept. “All prompts” makes training data in the same way."),
        )
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(self._inside)
        self._area = area
        area.hide()
        form = Card(self.tr("One prompt"))
        form.add(self.starting, 1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S4)
        layout.addWidget(form, 1)
        layout.addWidget(area, 1)
        layout.addWidget(self.nothing, 1)

    def clear(self) -> None:
        """Take the steps of the run before away."""
        while self._steps.count() > 1:
            entry = self._steps.takeAt(0)
            widget = entry.widget() if entry is not None else None
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self.texts = []

    def _step(self, envelope: Envelope) -> None:
        event = envelope.event
        if isinstance(event, RunStarted):
            self.clear()
        elif isinstance(event, Text) and event.answer == len(self.texts):
            self._area.show()
            self.nothing.hide()
            turn = (event.answer + 1) // 2
            names = {0: self.tr("First answer"), 1: self.tr("Criticism {0}"), 2: self.tr("Revision {0}")}
            name = names[0 if event.answer == 0 else 2 - event.answer % 2].format(turn)
            card = Card(name)
            text = PlainText(event.piece or self.tr("(nothing)"), fit=True)
            card.add(text)
            self.texts.append(text)
            self._steps.insertWidget(self._steps.count() - 1, card)

    def _hear(self, event: Any) -> None:
        if not isinstance(event, Produced) or event.what != "revision":
            return
        card = Card(self.tr("Comparison"))
        self.verdict = PlainLabel(self._told(event.facts), wrap=True)
        card.add(self.verdict)
        self._steps.insertWidget(self._steps.count() - 1, card)

    def _told(self, facts: dict[str, Any]) -> str:
        by = ", ".join(facts.get("principles", []))
        if "winner" not in facts:
            return self.tr("By {0}: the texts are the same, or too long to be compared.").format(by)
        words = {
            "revision": self.tr("The model prefers the revision"),
            "first": self.tr("The model prefers its first answer"),
            "tie": self.tr("A tie: the two orders disagree"),
        }
        return self.tr(
            "{0}, by {1}. Probability that the revision is better: {2} shown first, {3} shown second."
        ).format(words[str(facts["winner"])], by, f"{facts['ab']:.2f}", f"{facts['ba']:.2f}")
