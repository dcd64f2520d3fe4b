"""All prompts of a dataset, revised: demonstrations to learn from, and pairs with the model's labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from rlhf_engine.contract.events import Envelope, Metrics, Produced, RunStarted
from rlhf_engine.tasks.constitution.spec import ConstitutionSpec
from studio.panels.feedback.starting import Starting
from studio.theme.tokens import S4
from studio.widgets import Card, PlainLabel, ghost_button

if TYPE_CHECKING:
    from studio.session import Session


class BatchPage(QWidget):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._dataset = ""
        self.starting = Starting(session, ConstitutionSpec, self.tr("Revise all"), "play")
        self.starting.heard.connect(self._hear)
        self.starting.told.connect(self._begin)
        self.figures = PlainLabel(self.tr("What comes of it stands here."), wrap=True, selectable=True)
        self.made = PlainLabel(wrap=True, selectable=True)
        self.show_dataset = ghost_button(
            self.tr("Show the demonstrations"),
            lambda: self._session.go("data", dataset=self._dataset),
            icon="database-outline",
        )
        self.show_dataset.hide()
        form = Card(self.tr("All prompts"))
        form.add(self.starting, 1)
        result = Card(self.tr("Result"))
        for widget in (self.figures, self.made, self.show_dataset):
            result.add(widget)
        right = QVBoxLayout()
        right.addWidget(result)
        right.addStretch()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S4)
        layout.addWidget(form, 1)
        layout.addLayout(right, 1)

    def _begin(self, envelope: Envelope) -> None:
        """What an earlier run made stands there until another one begins."""
        if isinstance(envelope.event, RunStarted):
            self.made.setText("")
            self.show_dataset.hide()

    def _hear(self, event: Any) -> None:
        match event:
            case Metrics(step, values) if "revision/changed" in values:
                told = self.tr("{0} answers; {1} changed").format(f"{step:,}", f"{values['revision/changed']:.0%}")
                if "revision/preferred" in values:
                    told += self.tr("; {0} of the revisions preferred, {1} ties").format(
                        f"{values['revision/preferred']:.0%}", f"{values['revision/ties']:.0%}"
                    )
                self.figures.setText(told)
            case Produced("dataset", path, facts):
                self._dataset = f"dataset:{path.rpartition('/')[2]}"
                self._add(self.tr("{0} demonstrations are a dataset.").format(f"{facts.get('rows', 0):,}"))
                self.show_dataset.show()
            case Produced("labels", _, facts):
                told = self.tr("{0} comparisons with the model's label are in this project; people can judge them too.")
                self._add(told.format(f"{facts.get('labels', 0):,}"))
            case _:
                pass

    def _add(self, line: str) -> None:
        self.made.setText("\n".join(filter(None, (self.made.text(), line))))
