"""How many more labels? The reward model's learning curve in one sentence, and the runs that are missing for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from rlhf_engine.choosing.learning_curve import MEANING, answer, next_goal
from rlhf_engine.contract.errors import EngineError
from rlhf_engine.launch.growth import Growth, growth_of
from rlhf_engine.tasks import REWARD
from studio.session import sentence
from studio.theme.tokens import S2
from studio.widgets import Card, PlainLabel, button, primary_button

if TYPE_CHECKING:
    from studio.session import Session


class HowMany(Card):
    """`closed()` when it is put away."""

    closed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("How many more labels?"), parent, icon="chart-bell-curve-cumulative")
        self._session = session
        self._growth: Growth | None = None
        self._asked = 0
        self.said = PlainLabel(wrap=True, selectable=True)
        self.points = PlainLabel(tone="muted", wrap=True)
        self.measure = primary_button(self.tr("Measure"), self.run)
        self.meaning = PlainLabel(MEANING, tone="muted", wrap=True)
        self.add(self.said)
        self.add(self.points)
        self.add(self.meaning)
        row = QHBoxLayout()
        row.setSpacing(S2)
        row.addStretch()
        row.addWidget(button(self.tr("Close   Esc"), self.closed.emit))
        row.addWidget(self.measure)
        self.body.addLayout(row)
        self._soon = QTimer(self, singleShot=True, interval=500)
        self._soon.timeout.connect(self.read)
        session.runs_changed.connect(lambda: None if self.isHidden() else self._soon.start())
        self.hide()

    def open(self) -> None:
        self.said.setText(self.tr("Working it out…"))
        self.points.hide()
        self.meaning.hide()
        self.measure.hide()
        self.show()
        self.read()

    def close_card(self) -> None:
        self._soon.stop()
        self._asked += 1
        self.hide()

    def read(self) -> None:
        """Ask for the curve, on another thread."""
        root = self._session.root
        if root is None:
            self.close_card()
            return
        self._asked += 1
        asked = self._asked

        def told() -> tuple[Growth, str]:
            growth = growth_of(root)
            found = growth.fit()  # some hundred curves: not for the window's thread
            return growth, answer(found, next_goal(found)) if found else ""

        self._session.in_background(
            told,
            lambda found: self._show(*found) if asked == self._asked else None,
            lambda error: self.said.setText(sentence(error)) if asked == self._asked else None,
        )

    def run(self) -> None:
        """Line up the runs that are missing; where there is no reward model, go and train one."""
        if self._growth is None:
            return
        if self._growth.settings is None:
            self._session.go("train", family=REWARD)
            return
        try:
            for spec in self._growth.missing():
                if halted := self._growth.halted.get(spec.labels):
                    self._session.resume(halted)
                    continue
                name = self.tr("Reward model, {0} labels").format(f"{spec.labels:,}")
                self._session.submit(spec, name if spec.labels else self.tr("Reward model, all labels"))
        except EngineError as error:
            self._session.say(error)
            return
        self.measure.hide()
        self.said.setText(self.tr("The runs wait in the queue; the answer comes when they have ended."))

    def _show(self, growth: Growth, told: str) -> None:
        self._growth = growth
        missing = growth.missing()
        self.meaning.setVisible(bool(told))
        if growth.settings is None:
            told = self.tr("There is no reward model in this project yet.")
        elif not told:
            told = self.tr("Reward models on an eighth, a quarter, half and all of the labels tell how accuracy grows.")
        self.said.setText(told)
        line = self.tr("{0} labels: {1}")
        points = [line.format(f"{point.labels:,}", f"{point.accuracy:.0%}") for point in growth.points]
        held = self.tr("held-out accuracy, {0} pairs").format(f"{growth.points[-1].of:,}") if points else ""
        self.points.setText(" · ".join([*points, held]) if points else "")
        self.points.setVisible(bool(points))
        train = growth.settings is None
        busy = any(going.task == "reward" for going in self._session.activity.kept())
        self.measure.setVisible((train or bool(missing)) and not busy)
        words = self.tr("Measure (1 run)") if len(missing) == 1 else self.tr("Measure ({0} runs)").format(len(missing))
        self.measure.setText(self.tr("Train a reward model") if train else words)
