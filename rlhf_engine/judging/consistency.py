"""How often a person says the same again of a pair seen before, and what that allows a reward model to reach."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rlhf_engine.judging.intervals import Interval, wilson
from rlhf_engine.judging.judgement import DECIDED, SPOKEN, Judgement

FEWEST = 10  # repeats before anything is said


@dataclass(frozen=True, slots=True)
class Consistency:
    """`same` of `repeats` got the verdict they had; `decided` of them had a winner both times, `same_winner` the same.

    `ceiling` is the best accuracy that a reward model can be measured at on these labels. Both have 95 % intervals.
    `unturned` and `turned` are (same, repeats) with the sides as they were, and swapped.
    """

    repeats: int
    same: int
    decided: int
    same_winner: int
    turned: tuple[int, int]
    unturned: tuple[int, int]

    @property
    def share(self) -> float:
        return self.same / self.repeats if self.repeats else 0.0

    @property
    def interval(self) -> Interval:
        return wilson(self.share, self.repeats)

    @property
    def ceiling(self) -> float:
        return ceiling(self.same_winner / self.decided) if self.decided else 1.0

    @property
    def ceiling_interval(self) -> Interval:
        low, high = wilson(self.same_winner / self.decided if self.decided else 1.0, self.decided)
        return ceiling(low), ceiling(high)

    @property
    def enough(self) -> bool:
        return self.repeats >= FEWEST


def ceiling(agreement: float) -> float:
    """The accuracy of a model that is always right, measured on labels of a person with this self-agreement.

    Suppose that a pair has a true winner and that each judgement misses it with probability e, by itself. Two
    judgements agree when both hit or both miss: a = (1 - e)² + e². The smaller root is e = (1 - √(2a - 1)) / 2.
    A model that always names the true winner is marked right when the label hit: its measured accuracy is 1 - e =
    (1 + √(2a - 1)) / 2. At a = 0.82 that is 0.9. Below a = 1/2 the labels are no better than a coin: 0.5.

    Errors that repeat (a pair misread in the same way twice) count as agreement, so the true ceiling may be lower.
    """
    return (1 + math.sqrt(max(0.0, 2 * agreement - 1))) / 2


def consistency(judgements: Iterable[Judgement]) -> Consistency:
    """Compare repeats with the judgement that they repeat. Repeats of what was taken back since are passed over."""
    rows = list(judgements)
    known = {said.id: said for said in rows}
    both = [(known[said.repeat_of], said) for said in rows if said.repeat_of in known and said.winner in SPOKEN]
    both = [(first, again) for first, again in both if first.winner in SPOKEN]
    decided = [(first, again) for first, again in both if first.winner in DECIDED and again.winner in DECIDED]
    turned = [first.winner == again.winner for first, again in both if first.left != again.left]
    unturned = [first.winner == again.winner for first, again in both if first.left == again.left]
    return Consistency(
        repeats=len(both),
        same=sum(turned) + sum(unturned),
        decided=len(decided),
        same_winner=sum(first.winner == again.winner for first, again in decided),
        turned=(sum(turned), len(turned)),
        unturned=(sum(unturned), len(unturned)),
    )
