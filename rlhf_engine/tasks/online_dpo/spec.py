"""Everything a person can choose about an online DPO run. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, param
from rlhf_engine.contract.online import RolloutFields, check_picked
from rlhf_engine.contract.preference import (
    beta_param,
    dpo_loss_param,
    label_smoothing_param,
    lengths_param,
    refuse_smoothing_without_use,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineDPOSpec(RolloutFields):
    """Write a few answers to each prompt, let the reward choose the best and the worst, and learn that pair by DPO.

    Source: Guo et al. 2024, "Direct Language Model Alignment from Online AI Feedback", arXiv:2402.04792; best against
    worst of n: Dong et al. 2024, arXiv:2405.07863.
    """

    group_size: int = param(
        2, "Answers per prompt", "Of these, the best and the worst become the pair.", between=(2, 1024)
    )
    minibatch_size: int = param(
        32,
        "Minibatch size",
        "Written answers per optimiser step; of every prompt's, one pair is learned.",
        between=(2, 65_536),
    )
    beta: float = beta_param()
    loss: str = dpo_loss_param()
    label_smoothing: float = label_smoothing_param()
    lengths: str = lengths_param()
    epochs: int = param(1, "Epochs per update", "Passes over the pairs of an update.", between=(1, 50), group="Loss")

    def __post_init__(self) -> None:
        check(self)
        check_picked(self, self.group_size)
        refuse_smoothing_without_use(self.loss, self.label_smoothing)
