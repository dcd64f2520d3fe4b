"""Everything a person can choose about DPO and its variants. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check
from rlhf_engine.contract.preference import (
    ReferenceFields,
    beta_param,
    dpo_loss_param,
    label_smoothing_param,
    lengths_param,
    nll_param,
    refuse_dropout,
    refuse_smoothing_without_use,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DPOSpec(ReferenceFields):
    """Learn from comparisons without a reward model: the policy's own log-ratios to its start are the rewards.

    Source: Rafailov et al. 2023, "Direct Preference Optimization", arXiv:2305.18290.
    """

    loss: str = dpo_loss_param()
    beta: float = beta_param()
    label_smoothing: float = label_smoothing_param()
    lengths: str = lengths_param()
    nll_coef: float = nll_param()

    def __post_init__(self) -> None:
        check(self)
        refuse_smoothing_without_use(self.loss, self.label_smoothing)
        refuse_dropout(self.lora_dropout)
