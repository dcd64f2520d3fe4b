"""A run's answers against those of the model it began with: judged blind in Compare, drawn as a win rate by step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from rlhf_engine.choosing.win_rates import WinRate, meta_of_run, win_rates
from rlhf_engine.contract.errors import EngineError
from rlhf_engine.contract.events import Sample
from rlhf_engine.tasks import TASKS, Task
from studio.theme.tokens import S2
from studio.widgets import PlainLabel, button, set_tooltip

if TYPE_CHECKING:
    from studio.session import Session

CURVE = "judged/win_rate"
Samples = Mapping[int, Sequence[Sample]]


def pairs_of(run_id: str, title: str, samples: Samples) -> list[dict[str, Any]]:
    """The answers of a run beside those it began with, as pairs to be judged, in an order drawn by the run: judged step
    by step, a habit that grows while one judges would look like learning. The same sample always has the same id, so
    that it is there once however often it is added."""
    found = []
    for step, of_step in sorted(samples.items()):
        for sample in of_step:
            policy, start = sample.completion, sample.reference
            if not policy.strip() or not start.strip() or policy.strip() == start.strip():
                continue
            told = "\n".join((run_id, str(step), sample.prompt, policy, start))
            meta = {
                **meta_of_run(run_id, step),
                "a": {"model": f"run:{run_id}", "title": f"{title}, {step}", "score": sample.score},
                "b": {"model": "", "title": _START},
            }
            id = hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:32]
            found.append({"id": id, "prompt": sample.prompt, "a": policy, "b": start, "meta": meta})
    return sorted(found, key=lambda pair: str(pair["id"]))  # a hash: as good as drawn


def judged_of(root: Path, run_id: str) -> list[WinRate]:
    """The win rates of a run, from all that people have judged. For any thread."""
    from rlhf_engine.store.labels import Labels

    labels = Labels(root / "labels.db", write=False)
    try:
        return win_rates(labels.standing_comparisons(), run_id)
    finally:
        labels.close()


class BlindRow(QWidget):
    """`drawn(step, columns)`: the win rates are others than before."""

    drawn = Signal(int, object)  # as a dict, Qt would sort its columns

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._run = self._title = ""
        self._samples: Samples = {}
        self._asked = 0
        self._rates: list[WinRate] = []
        self.said = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
        self.judge = button(self.tr("Judge blind"), self.add_pairs, icon="scale-balance")
        set_tooltip(
            self.judge,
            self.tr(
                "Put this run's sample answers beside those of the model it began with, names hidden, into Compare. "
                "Your verdicts draw its win rate here, step by step, also while it is going."
            ),
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addWidget(self.said, 1)
        layout.addWidget(self.judge)
        self.hide()
        self._soon = QTimer(self, singleShot=True, interval=1000)
        self._soon.timeout.connect(self.read)
        session.labels_changed.connect(self._labels_changed)
        session.project_changed.connect(self.forget)

    @property
    def judged(self) -> bool:
        """Whether there is a win rate to draw."""
        return bool(self._rates)

    def show_run(self, run_id: str, title: str, task: str, samples: Samples) -> None:
        """Follow a run; `samples` may grow."""
        fresh = run_id != self._run
        self._run, self._title, self._samples = run_id, title, samples
        about = TASKS.get(task)
        compares = about is not None and about.beside == Task.__dataclass_fields__["beside"].default
        self.setVisible(compares and any(sample.reference for found in samples.values() for sample in found))
        if fresh:
            self._rates = []
            self._show()
            if run_id:
                self.read()

    def forget(self) -> None:
        self._soon.stop()
        self._asked += 1
        self._run, self._samples, self._rates = "", {}, []
        self.hide()

    def read(self) -> None:
        """Work the win rates out anew, on another thread."""
        self._soon.stop()
        root, run_id = self._session.root, self._run
        if root is None or not run_id:
            return
        self._asked += 1
        asked = self._asked

        def told(rates: list[WinRate]) -> None:
            if asked == self._asked and rates != self._rates:
                self._rates = rates
                self._show()

        self._session.in_background(lambda: judged_of(root, run_id), told)

    def add_pairs(self) -> None:
        """Put all samples that are not there yet into Compare, and go there."""
        pairs = pairs_of(self._run, self._title, self._samples)
        if not pairs:
            self._session.toast(self.tr("All its answers are the same as before training: nothing to judge."), "info")
            return
        try:
            _, changed = self._session.labels.add_many("pairs", pairs, source="model")
        except EngineError as error:
            self._session.say(error)
            return
        self._session.announce(changed)
        self._session.go("compare", first=[pair["id"] for pair in pairs])

    def _labels_changed(self, changed: Any) -> None:
        if self._run and changed & type(changed).COMPARISONS:
            self._soon.start()

    def _show(self) -> None:
        if not self._rates:
            self.said.setText(self.tr("Its answers have not been judged against those it began with."))
            return
        last, count = self._rates[-1], sum(rate.count for rate in self._rates)
        told = self.tr("Preferred to its start at step {0}: {1} (95 %: {2} to {3}) · {4} blind verdicts in all")
        self.said.setText(
            told.format(last.step, f"{last.share:.0%}", f"{last.low:.0%}", f"{last.high:.0%}", f"{count:,}")
        )
        names = ("step", "share", "low", "high", "count")
        columns = {name: tuple(float(getattr(rate, name)) for rate in self._rates) for name in names}
        columns = {{"low": "share_low", "high": "share_high"}.get(name, name): v for name, v in columns.items()}
        self.drawn.emit(last.step, columns)


_START = "Starting model"
