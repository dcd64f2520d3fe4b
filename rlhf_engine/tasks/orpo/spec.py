"""Everything a person can choose about ORPO. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, choose, param
from rlhf_engine.contract.preference import PreferenceFields, refuse_dropout


@dataclass(frozen=True, slots=True, kw_only=True)
class ORPOSpec(PreferenceFields):
    """Supervised fine-tuning on the chosen answers and a push away from the rejected ones, in one loss.

    Source: Hong et al. 2024, "ORPO: Monolithic Preference Optimization without Reference Model", arXiv:2403.07691.
    """

    model: str = choose("model", "Model", "What to teach: ORPO may begin with a base model, since it fine-tunes too.")

    learning_rate: float = param(
        5e-5,
        "Learning rate",
        "AdamW step size for the adapter. ORPO fine-tunes too, so it wants more than DPO.",
        between=(1e-8, 1e-1),
        log_scale=True,
    )
    odds_weight: float = param(
        0.1,
        "Odds ratio weight",
        "Lambda: how much telling the answers apart counts beside the loss of supervised fine-tuning.",
        between=(0.0, 100.0),
        group="Loss",
        source="Hong et al. 2024, arXiv:2403.07691, equation 6",
    )

    def __post_init__(self) -> None:
        check(self)
        refuse_dropout(self.lora_dropout)
