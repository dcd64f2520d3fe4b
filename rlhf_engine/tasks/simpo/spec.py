"""Everything a person can choose about SimPO. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, param
from rlhf_engine.contract.preference import PreferenceFields, nll_param, refuse_dropout


@dataclass(frozen=True, slots=True, kw_only=True)
class SimPOSpec(PreferenceFields):
    """Make chosen answers likelier per token than rejected ones, by a margin; no reference model.

    Source: Meng et al. 2024, "SimPO: Simple Preference Optimization with a Reference-Free Reward", arXiv:2405.14734.
    """

    beta: float = param(
        2.0,
        "Beta",
        "Scale of the reward, which is the mean log-probability per token: much larger than DPO's, from 2 to 10.",
        between=(1e-3, 1000.0),
        log_scale=True,
        group="Loss",
        source="Meng et al. 2024, arXiv:2405.14734, section 2",
    )
    gamma: float = param(
        1.0,
        "Target margin",
        "How much higher than the rejected answer the chosen one must score to be left alone. Good values are 0 to 1 "
        "times beta; begin at a half.",
        between=(0.0, 1000.0),
        group="Loss",
        source="Meng et al. 2024, arXiv:2405.14734, section 2",
    )
    nll_coef: float = nll_param()

    def __post_init__(self) -> None:
        check(self)
        refuse_dropout(self.lora_dropout)
