"""Everything a person can choose about a GRPO run. No torch in this file: the studio reads it to draw the form."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, param
from rlhf_engine.contract.online import GroupFields, check_groups, check_surrogate

_P = "Policy loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPOSpec(GroupFields):
    """Write a group of answers to each prompt, and push each by how far it is from the group's mean.

    Source: Shao et al. 2024, "DeepSeekMath", arXiv:2402.03300; Yu et al. 2025 (DAPO), arXiv:2503.14476; Liu et al. 2025
    (Dr. GRPO), arXiv:2503.20783; Zheng et al. 2025 (GSPO), arXiv:2507.18071.
    """

    epochs: int = param(1, "Epochs per update", "Passes over each batch of answers.", between=(1, 50), group=_P)
    kl_coef: float = param(
        0.04, "KL penalty", "Beta: loss per nat of drift from the starting model.", between=(0.0, 10.0)
    )
    kl_in: str = param(
        "loss",
        "KL counts in",
        "The loss, as in GRPO, or the reward of the whole answer; never both.",
        choices=("loss", "reward"),
        group="KL",
        advanced=True,
    )
    kl_estimator: str = param(
        "k3",
        "KL estimator",
        "k3 never goes below 0, and k3+ has its value with the exact gradient of k2. k1 is for rewards.",
        choices=("k1", "k2", "k3", "k3+"),
        group="KL",
        advanced=True,
        source="Schulman 2020, joschu.net/blog/kl-approx",
    )
    aggregation: str = param(
        "sequence",
        "Loss is the mean over",
        "sequence: every answer counts the same (GRPO). token: every token does (DAPO). fixed: divided by the response "
        "length, whatever was written (Dr. GRPO).",
        choices=("sequence", "token", "fixed"),
        group=_P,
        advanced=True,
    )
    scale_advantages: str = param(
        "group",
        "Divide advantages by",
        "The standard deviation of the group (GRPO), of the whole update, or nothing (Dr. GRPO).",
        choices=("group", "batch", "none"),
        group=_P,
        advanced=True,
    )
    level: str = param(
        "token",
        "Ratio of",
        "Each token's own probability ratio, or the geometric mean of the answer's (GSPO).",
        choices=("token", "sequence mean"),
        group=_P,
        advanced=True,
    )
    drop_flat_groups: bool = param(
        False,
        "Leave flat groups out",
        "Groups whose answers all score the same teach nothing, but count in the mean unless left out.",
        group=_P,
        advanced=True,
    )
    mask_truncated: bool = param(
        False,
        "Leave cut-off answers out",
        "Answers without an end take part in the comparison, but are not learned from.",
        group=_P,
        advanced=True,
        source="Yu et al. 2025 (DAPO), section 3.4",
    )

    def __post_init__(self) -> None:
        check(self)
        check_surrogate(self)
        check_groups(self, self.group_size)
