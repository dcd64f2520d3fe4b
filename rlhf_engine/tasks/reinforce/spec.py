"""Everything a person can choose about a REINFORCE++ run. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, param
from rlhf_engine.contract.online import GroupFields, check_groups, check_surrogate

_P = "Policy loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforceSpec(GroupFields):
    """Push every token by the reward still to come, measured against the mean of its prompt's answers and normalised
    over the whole update: REINFORCE++ with baseline.

    Source: Hu et al. 2025, "REINFORCE++", arXiv:2501.03262; Williams 1992.
    """

    group_size: int = param(
        4, "Answers per prompt", "Answers whose mean is the baseline; 1 without one.", between=(1, 1024)
    )
    baseline: str = param(
        "group",
        "Baseline",
        "The mean score of the prompt's answers, or none: then only the normalising over the update remains.",
        choices=("group", "none"),
        group=_P,
    )
    epochs: int = param(1, "Epochs per update", "Passes over each batch of answers.", between=(1, 50), group=_P)
    gamma: float = param(
        1.0, "Discount", "Worth of a reward one token later.", between=(0.0, 1.0), group=_P, advanced=True
    )
    whiten_advantages: bool = param(
        True,
        "Whiten advantages",
        "Mean 0, variance 1 over all answer tokens of the update.",
        group=_P,
        advanced=True,
    )

    def __post_init__(self) -> None:
        check(self)
        check_surrogate(self)
        check_groups(self, self.group_size)
        if self.baseline == "group" and self.group_size < 2:
            raise SpecError(
                "group_size",
                "One answer per prompt has no others to be compared with.",
                "Raise the answers per prompt, or choose no baseline.",
            )
