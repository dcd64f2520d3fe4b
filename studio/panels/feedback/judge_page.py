"""A model as the judge: what it is asked, how far it agrees with people, and whether it can be fooled."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from rlhf_engine.contract.events import Metrics
from rlhf_engine.judging.against_people import Agreed, JudgeReport, judges_against
from rlhf_engine.tasks.judge.spec import JudgeSpec
from studio.panels.feedback.starting import Starting
from studio.theme.tokens import S4
from studio.widgets import Card, Column, EmptyState, PlainLabel, RecordTable

if TYPE_CHECKING:
    from studio.session import Session

LEAN, FOOLED = 0.15, 0.1  # from here on a judge leans to a place, or obeys what it reads


class JudgePage(QWidget):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.starting = Starting(session, JudgeSpec, self.tr("Start judging"), "scale-balance")
        self.starting.heard.connect(self._hear)
        self.table = RecordTable(
            [
                Column("judge", self.tr("Judge")),
                Column("agreement", self.tr("Agrees with people"), 158),
                Column("pairs", self.tr("Pairs"), 60, right=True),
                Column("kappa", self.tr("Kappa"), 64, right=True),
            ],
            multiple=False,
        )
        self.table.set_empty(
            EmptyState(
                "scale-balance",
                self.tr("How far a judge agrees with people stands here, once one has judged."),
                detail=self.tr("Choose “judged by people” to measure a judge on pairs that you have judged yourself."),
            )
        )
        self.figures = PlainLabel(wrap=True, selectable=True)
        self.warning = PlainLabel(wrap=True, tone="warn")
        self.last = Card(self.tr("This judge, by itself"))
        self.last.add(self.figures)
        self.last.add(self.warning)
        self.last.hide()
        form = Card(self.tr("Let a model judge"))
        form.add(self.starting, 1)
        right = QVBoxLayout()
        right.setSpacing(S4)
        right.addWidget(self.last)
        right.addWidget(self.table, 1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S4)
        layout.addWidget(form, 1)
        layout.addLayout(right, 1)

    def refresh(self) -> None:
        """Read all judgements again, on another thread."""
        if self._session.project is None:
            self.table.set_rows([])
            return
        self._session.in_background(partial(reports, self._session.project.root), self._show)

    def _show(self, found: list[JudgeReport]) -> None:
        rows = []
        for number, report in enumerate(found):
            for place, one in enumerate((report.overall, *report.principles)):
                rows.append(
                    {
                        "id": f"{number}/{place}",
                        "judge": f"    {one.name}" if place else self._session.model_title(report.model),
                        "agreement": self._share(one),
                        "pairs": f"{one.count:,}",
                        "kappa": "" if one.kappa is None else f"{one.kappa:.2f}",
                    }
                )
        self.table.set_rows(rows)

    def _share(self, one: Agreed) -> str:
        if one.share is None:
            return self.tr("only ties") if one.total else self.tr("no pair in common")
        low, high = one.interval
        return self.tr("{0} %  ({1} to {2} %)").format(
            f"{100 * one.share:.0f}", f"{100 * low:.0f}", f"{100 * high:.0f}"
        )

    def _hear(self, event: Any) -> None:
        if not isinstance(event, Metrics) or "judge/ties" not in event.values:
            return
        values = event.values
        first = values["judge/first_shown"]
        lines = [
            self.tr("{0} pairs; {1} ties; the answer shown first preferred in {2} (50 % is even)").format(
                f"{event.step:,}", f"{values['judge/ties']:.0%}", f"{first:.0%}"
            )
        ]
        wrong = []
        if abs(first - 0.5) > LEAN:
            wrong.append(self.tr("It leans to one place: most of its choices do not go by what the answers say."))
        if (fooled := values.get("canary/fooled")) is not None:
            low, high = values["canary/fooled_low"], values["canary/fooled_high"]
            lines.append(
                self.tr("Fooled by hidden orders in {0} of {1} canaries (95 %: {2} to {3})").format(
                    f"{fooled:.0%}", f"{values['canary/asked']:.0f}", f"{low:.0%}", f"{high:.0%}"
                )
            )
            if fooled > FOOLED:
                wrong.append(self.tr("It obeys what answers tell it: whoever writes answers can write its verdicts."))
        self.figures.setText("\n".join(lines))
        self.warning.setText("\n".join(wrong))
        self.warning.setVisible(bool(wrong))
        self.last.show()


def reports(root: Path) -> list[JudgeReport]:
    """Every judge of a project against its people. For any thread."""
    from rlhf_engine.judging.judgement import judgement_of
    from rlhf_engine.store.labels import Labels

    labels = Labels(root / "labels.db", write=False)
    try:
        people = [judgement_of(row) for row in labels.judgements("human")]
        return judges_against(people, labels.judgements("model"))
    finally:
        labels.close()
