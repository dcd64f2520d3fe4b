"""One row: in which order pairs are asked, why the present one is asked now, and what is missing for that order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QWidget

from rlhf_engine.choosing.orders import DISAGREE, OLDEST, SCORED, STRATEGIES
from rlhf_engine.contract.errors import EngineError
from rlhf_engine.contract.events import RunFinished
from rlhf_engine.tasks import REWARD
from rlhf_engine.tasks.score.spec import ScoreSpec
from studio.forms import Combo
from studio.panels.compare.plan import Plan, read_plan
from studio.panels.compare.reasons import lack, reason, strategy_words, vote_words
from studio.session import sentence
from studio.theme.tokens import S2
from studio.widgets import PlainLabel, button, set_tooltip, tooltip

if TYPE_CHECKING:
    from studio.panels.compare.queue import PairQueue, Said
    from studio.session import Session

MEMORY = "compare_next"
VOTE = "compare_vote"  # whether the model's vote is told after a person's


class NextRow(QWidget):
    """`planned(chosen)`: the pairs have another order; `chosen` by hand, rather than because something changed.

    `plan` is the order, None while there is none to follow. `how_many` and `vote_action` stand in a menu.
    """

    planned = Signal(bool)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.plan: Plan | None = None
        self.no_person_yet = False
        self._asked = 0  # so that a slow answer to an old question is not followed
        self._by_hand = False  # whether somebody waits for the order that is being worked out
        self._scoring = ""
        self.which = Combo()
        self.which.setAccessibleName(self.tr("Which pair comes next"))
        for strategy in STRATEGIES:
            words, about = strategy_words()[strategy]
            self.which.addItem(self.tr("Next: {0}").format(words), strategy)
            self.which.setItemData(self.which.count() - 1, tooltip(about), Qt.ItemDataRole.ToolTipRole)
        self.which.setCurrentIndex(max(0, self.which.findData(session.recall(MEMORY, OLDEST))))
        self.which.currentIndexChanged.connect(self._chosen)
        self.reason = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
        self.act = button("", self.score)
        self.act.hide()
        self.vote_action = QAction(self.tr("Tell the reward model's vote after mine"), self, checkable=True)
        self.vote_action.setChecked(bool(session.recall(VOTE, False)))
        self.vote_action.toggled.connect(lambda _: self._tell_votes())
        self.vote_action.setVisible(False)
        self.how_many = QAction(self.tr("How many more labels the reward model needs"), self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addWidget(self.which)
        layout.addWidget(self.reason, 1)
        layout.addWidget(self.act)
        self._soon = QTimer(self, singleShot=True, interval=1500)
        self._soon.timeout.connect(self.read)
        session.activity.ended.connect(self._run_ended)

    @property
    def strategy(self) -> str:
        return str(self.which.currentData())

    def choose(self, strategy: str) -> None:
        """This order, worked out anew where it is chosen already."""
        if strategy == self.strategy:
            self.read(chosen=True)
        else:
            self.which.setCurrentIndex(self.which.findData(strategy))

    @property
    def wanted(self) -> bool:
        """Whether an order or the scores are of use to anyone now."""
        return self.strategy != OLDEST or bool(self._session.recall(VOTE, False))

    def touch(self) -> None:
        """Pairs came or went: put them in order again, a moment later."""
        if self.strategy != OLDEST:
            self._soon.start()

    def stop(self) -> None:
        """Another project is open, or none."""
        self._soon.stop()
        self._asked += 1
        self._scoring = ""
        self._by_hand = False
        self.plan = None
        self.reason.setText("")
        self.act.hide()

    def read(self, chosen: bool = False) -> None:
        """Ask for the order, on another thread."""
        self._soon.stop()
        root = self._session.root
        if root is None:
            self.stop()
            return
        self._asked += 1
        self._by_hand = self._by_hand or chosen
        asked, strategy, again = self._asked, self.strategy, self.no_person_yet

        def told(plan: Plan) -> None:
            if asked == self._asked:
                self.plan, by_hand, self._by_hand = plan, self._by_hand, False
                self.planned.emit(by_hand)

        def failed(error: BaseException) -> None:
            if asked == self._asked:
                self.plan, self._by_hand = None, False
                self.reason.setText(sentence(error))

        if chosen and strategy != OLDEST:
            self.reason.setText(self.tr("Putting the pairs in order…"))
        self._session.in_background(lambda: read_plan(root, strategy, asked, again), told, failed)

    def show_reason(self, queue: PairQueue | None) -> None:
        """Tell why the pair on the screen is there, or what is missing."""
        plan = self.plan
        self.which.setEnabled(self._session.project is not None)
        if plan is None:
            return
        missing = lack(plan)
        turn = plan.turns.get(queue.current.id) if queue is not None and queue.current is not None else None
        told = reason(plan, turn) if turn is not None or not missing else ""
        if self._scoring and plan.strategy in SCORED:
            missing = self.tr("The reward model reads the pairs…")
        text = " · ".join(filter(None, (told, missing)))
        self.reason.setText(text)
        set_tooltip(self.reason, text)
        self.act.setVisible(bool(missing) and not self._scoring and self._helps(plan))
        self.act.setText(self.tr("Score the pairs") if plan.judge else self.tr("Train a reward model"))
        self.vote_action.setVisible(bool(plan.scores.of))

    def vote(self, said: Said) -> str:
        """What the reward model says of a pair that was just judged, where that is wished for."""
        if self.plan is None or not self._session.recall(VOTE, False):
            return ""
        return vote_words(said, self.plan.scores.of.get(said.shown.id))

    def score(self) -> None:
        """Let the newest reward model score the pairs, in a run of its own."""
        judge = self.plan.judge if self.plan is not None else ""
        if not judge:
            self._session.go("train", family=REWARD)
            return
        try:
            spec = ScoreSpec(reward_model=judge, device=self._session.settings.device)
            self._scoring = self._session.submit(spec)
        except EngineError as error:
            self._session.say(error)
            return
        self.act.hide()
        self.reason.setText(self.tr("The reward model reads the pairs…"))

    def _helps(self, plan: Plan) -> bool:
        return not (plan.strategy == DISAGREE and plan.scores.of and not plan.unscored)

    def _tell_votes(self) -> None:
        self._session.remember(VOTE, self.vote_action.isChecked())

    def _chosen(self) -> None:
        self._session.remember(MEMORY, self.strategy)
        self.read(chosen=True)

    def _run_ended(self, run_id: str, end: RunFinished) -> None:
        if run_id == self._scoring:
            self._scoring = ""
            if end.outcome == "failed":
                self._session.say(EngineError(end.message, end.hint))
        if self._session.root is not None and (self.wanted):
            self._soon.start()  # scores may have come, or a reward model
