"""Trains the reward model again after every so many verdicts, one at a time, and lets it score the pairs.

Off unless Settings says otherwise. Judging never waits for it: it goes through the queue of runs like any other. When
the pairs have scores, it says on how many of them model and people disagree, one click away.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

from rlhf_engine.choosing.orders import DISAGREE
from rlhf_engine.contract.errors import DataError, EngineError
from rlhf_engine.contract.events import RunFinished
from rlhf_engine.launch.growth import Growth, growth_of
from rlhf_engine.tasks.score.spec import ScoreSpec
from studio.session import sentence

if TYPE_CHECKING:
    from studio.session import Session

MEMORY = "retrained"  # at how many verdicts, by project


class Retraining(QObject):
    """Made by the window."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent or session)
        self._session = session
        self._busy = False  # from finding the settings until the new model has been submitted
        self._training = self._scoring = ""
        self.own: set[str] = set()  # its runs: nobody else needs to tell how they ended
        session.project_changed.connect(self._begin)
        session.labels_changed.connect(self._labels_changed)
        session.activity.ended.connect(self._ended)
        self._begin()

    def verdicts(self) -> int:
        """Pairs that people have judged, skips left out."""
        counts = self._session.labels.judged_by_people()
        return sum(count for winner, count in counts.items() if winner not in ("", "skip"))

    def see_to_it(self) -> None:
        """Begin where enough has been judged since the last time."""
        every, root = self._session.settings.retrain_every, self._session.root
        if not every or root is None or self._busy or self._training:
            return
        count = self.verdicts()
        last = int(self._kept().get(str(root), count))
        if count - last < every:
            if count < last:
                self._keep(root, count)  # some were taken back: counted from here on
            return
        self._busy = True
        self._keep(root, count)  # whatever comes of it, it is not tried again at the next verdict
        self._session.in_background(
            lambda: newest_recipe(root), lambda found: self._freeze(root, found, count), lambda e: self._fail(e)
        )

    def _begin(self) -> None:
        self._busy, self._training, self._scoring = False, "", ""
        if self._session.root is not None:
            if str(self._session.root) not in self._kept():
                self._keep(self._session.root, self.verdicts())  # counted from here on, also before it is wished for
            self.see_to_it()

    def _labels_changed(self, changed: Any) -> None:
        if changed & type(changed).COMPARISONS:
            self.see_to_it()

    def _freeze(self, root: Path, recipe: tuple[Growth, float], count: int) -> None:
        found, ai_share = recipe
        if root != self._session.root:
            return
        if found.settings is None:
            self._busy = False
            self._session.toast(
                self.tr("{0} pairs are judged, but there is no reward model to train again: train a first one.").format(
                    f"{count:,}"
                ),
                "info",
            )
            return
        settings, name = found.settings, self.tr("Reward model, {0} verdicts").format(f"{count:,}")
        train = lambda ref: self._train(root, replace(settings, dataset=ref), name)  # noqa: E731
        self._session.freeze("comparisons", name, train, self._fail, ai_share)

    def _train(self, root: Path, spec: Any, name: str) -> None:
        if root != self._session.root:
            return
        self._busy = False
        try:
            self._training = self._session.submit(spec, name)
            self.own.add(self._training)
        except EngineError as error:
            self._fail(error)

    def _ended(self, run_id: str, end: RunFinished) -> None:
        if run_id and run_id in (self._training, self._scoring):
            trained = run_id == self._training
            self._training = self._scoring = ""
            if end.outcome == "failed":
                self._fail(EngineError(end.message, end.hint))
            elif end.outcome == "completed":
                (self._score if trained else self._look)(run_id)

    def _score(self, run_id: str) -> None:
        try:
            spec = ScoreSpec(reward_model=f"run:{run_id}", device=self._session.settings.device)
            self._scoring = self._session.submit(spec, self.tr("Scores of the pairs"))
            self.own.add(self._scoring)
        except EngineError as error:
            self._fail(error)

    def _look(self, _: str) -> None:
        """Count where model and people disagree, and offer to go there."""
        root = self._session.root
        if root is not None:
            self._session.in_background(lambda: disagreements(root), self._offer, self._fail)

    def _offer(self, found: tuple[int, int]) -> None:
        wrong, judged = found
        told = self.tr("The reward model has learned from your verdicts and scored the pairs.")
        if not wrong:
            self._session.toast(told, "good")
            return
        differ = self.tr("It disagrees with you on {0} of {1}.").format(f"{wrong:,}", f"{judged:,}")
        go = lambda: self._session.go("compare", order=DISAGREE)  # noqa: E731
        self._session.toast(f"{told} {differ}", "info", self.tr("Look"), go)

    def _fail(self, error: BaseException) -> None:
        self._busy = False
        self._session.toast(self.tr("The reward model was not trained again: {0}").format(sentence(error)), "warn")

    def _kept(self) -> dict[str, Any]:
        kept = self._session.recall(MEMORY, {})
        return kept if isinstance(kept, dict) else {}

    def _keep(self, root: Path, count: int) -> None:
        self._session.remember(MEMORY, {**self._kept(), str(root): count})


def newest_recipe(root: Path) -> tuple[Growth, float]:
    """The settings of the newest reward model, and the share of AI labels in its dataset. For any thread."""
    from rlhf_engine.data.datasets import open_dataset

    growth = growth_of(root)
    if growth.settings is None:
        return growth, 0.0
    try:
        labels = open_dataset(root, growth.settings.dataset).info.facts.get("labels", {})
    except DataError:  # deleted since: people's labels are the plain choice
        labels = {}
    return growth, float(labels.get("ai_share_wanted", 0.0))


def disagreements(root: Path) -> tuple[int, int]:
    """On how many of the pairs that people judged the newest scores prefer another answer. For any thread."""
    from studio.panels.compare.plan import read_plan

    plan = read_plan(root, DISAGREE)
    return len(plan.turns), plan.total - plan.unscored
