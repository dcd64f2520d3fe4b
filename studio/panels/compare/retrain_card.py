"""The setting by which the reward model is trained again while one judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QWidget

from studio.forms import Spin
from studio.theme.tokens import S2
from studio.widgets import Card, PlainLabel

if TYPE_CHECKING:
    from studio.session import Session


class RetrainCard(Card):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Reward model while judging"), parent, icon="autorenew")
        self._session = session
        self.every = Spin()
        self.every.setRange(0, 100_000)
        self.every.setSingleStep(50)
        self.every.setSpecialValueText(self.tr("Never"))
        self.every.setValue(session.settings.retrain_every)
        self.every.setFixedWidth(120)
        self.every.setAccessibleName(self.tr("Train again every so many verdicts"))
        self.every.valueChanged.connect(self._set)
        label = PlainLabel(self.tr("Train again every"))
        label.setBuddy(self.every)
        row = QHBoxLayout()
        row.setSpacing(S2)
        row.addWidget(label)
        row.addWidget(self.every)
        row.addWidget(PlainLabel(self.tr("verdicts")))
        row.addStretch()
        self.body.addLayout(row)
        about = self.tr(
            "With the settings of the newest reward model, on all comparisons, after whatever else is training. It "
            "then scores the pairs, so that Compare can ask what it knows least. Judging goes on meanwhile."
        )
        self.add(PlainLabel(about, tone="muted", wrap=True))

    def _set(self, every: int) -> None:
        self._session.settings.retrain_every = every
        self._session.keep_settings()
