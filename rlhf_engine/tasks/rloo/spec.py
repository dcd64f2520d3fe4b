"""Everything a person can choose about an RLOO run. No torch in this file: the studio reads it to draw the form."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, param
from rlhf_engine.contract.online import GroupFields, check_groups, check_surrogate


@dataclass(frozen=True, slots=True, kw_only=True)
class RLOOSpec(GroupFields):
    """Write several answers to each prompt, and compare every one with the mean of the others: no value model needed.

    Source: Ahmadian et al. 2024, "Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human
    Feedback in LLMs", arXiv:2402.14740.
    """

    epochs: int = param(
        1, "Epochs per update", "Passes over each batch of answers.", between=(1, 50), group="Policy loss"
    )
    level: str = param(
        "sequence",
        "Ratio of",
        "Whether a whole answer or each token has a probability ratio, which is clipped.",
        choices=("sequence", "token"),
        group="Policy loss",
        advanced=True,
    )
    normalise_advantages: bool = param(
        False,
        "Normalise advantages",
        "Mean 0 and variance 1 over the answers of the update.",
        group="Policy loss",
        advanced=True,
    )

    def __post_init__(self) -> None:
        check(self)
        check_surrogate(self)
        check_groups(self, self.group_size)
