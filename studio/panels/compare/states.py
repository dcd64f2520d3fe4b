"""What is shown when there is no pair to judge: why, and what to do next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from rlhf_engine.tasks import REWARD
from studio.panels.compare.queue import PairQueue
from studio.widgets import EmptyState

if TYPE_CHECKING:
    from studio.session import Session


def nothing_to_judge(
    session: Session, queue: PairQueue | None, generate: Callable[[], object], judge_again: Callable[[], object]
) -> EmptyState:
    """No project, no pairs yet, or all of them judged."""
    if queue is None:
        return EmptyState(
            "scale-balance",
            _tr("Open a project to judge its pairs of answers."),
            (_tr("Go to Home"), lambda: session.go("home")),
        )
    make = (_tr("Generate pairs…"), generate)
    if not queue.tally.total:
        return EmptyState(
            "scale-balance",
            _tr("Nothing to judge yet. Two answers to one prompt make a pair."),
            make,
            [(_tr("Import comparisons…"), lambda: session.go("data", kind="comparisons"))],
        )
    others = [make]
    detail = [_tr("{0} of them skipped.").format(queue.tally.skipped)] if queue.tally.skipped else []
    share = queue.left_share
    if share is not None and len(queue.said) >= 10:
        detail.append(_tr("In this sitting the left answer won {0} of the time.").format(f"{share:.0%}"))
    if not queue.no_person_yet and session.labels.judged_by_people()[""]:
        others.insert(0, (_tr("Judge these yourself"), judge_again))
        detail.append(_tr("A rule or an import judged some of them; your own verdict would stand in its place."))
    return EmptyState(
        "check-circle-outline",
        _tr("All {0} pairs are judged.").format(f"{queue.tally.total:,}"),
        (_tr("Train a reward model"), lambda: session.go("train", family=REWARD)),
        others,
        detail=" ".join(detail),
    )


def _tr(text: str) -> str:
    return QCoreApplication.translate("Compare", text)
