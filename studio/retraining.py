"""Trains the reward model again after every so many verdicts, one at a time, and lets it score the pairs.

Off unless Settings says otherwise. Judging never waits for it: it goes through the queue of runs like any other.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

from rlhf_engine.contract.errors import EngineError
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
        self._training = ""
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
            if str(root) not in self._kept() or count < last:
                self._keep(root, count)  # counted from here on
            return
        self._busy = True
        self._keep(root, count)  # whatever comes of it, it is not tried again at the next verdict
        self._session.in_background(
            lambda: growth_of(root), lambda found: self._freeze(root, found, count), lambda e: self._fail(e)
        )

    def _begin(self) -> None:
        self._busy, self._training = False, ""
        if self._session.project is not None:
            self.see_to_it()

    def _labels_changed(self, changed: Any) -> None:
        if changed & type(changed).COMPARISONS:
            self.see_to_it()

    def _freeze(self, root: Path, found: Growth, count: int) -> None:
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
        self._session.freeze(
            "comparisons", name, lambda ref: self._train(root, replace(settings, dataset=ref), name), self._fail
        )

    def _train(self, root: Path, spec: Any, name: str) -> None:
        if root != self._session.root:
            return
        self._busy = False
        try:
            self._training = self._session.submit(spec, name)
        except EngineError as error:
            self._fail(error)

    def _ended(self, run_id: str, end: RunFinished) -> None:
        if not run_id or run_id != self._training:
            return
        self._training = ""
        if end.outcome == "completed":
            try:
                spec = ScoreSpec(reward_model=f"run:{run_id}", device=self._session.settings.device)
                self._session.submit(spec)
            except EngineError as error:
                self._fail(error)
        elif end.outcome == "failed":
            self._fail(EngineError(end.message, end.hint))

    def _fail(self, error: BaseException) -> None:
        self._busy = False
        self._session.toast(self.tr("The reward model was not trained again: {0}").format(sentence(error)), "warn")

    def _kept(self) -> dict[str, Any]:
        kept = self._session.recall(MEMORY, {})
        return kept if isinstance(kept, dict) else {}

    def _keep(self, root: Path, count: int) -> None:
        self._session.remember(MEMORY, {**self._kept(), str(root): count})
