"""Everything a person can choose about KTO. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, choose, param
from rlhf_engine.contract.preference import ReferenceFields, beta_param, refuse_dropout

BALANCE = ("auto", "given")


@dataclass(frozen=True, slots=True, kw_only=True)
class KTOSpec(ReferenceFields):
    """Learn from answers that were liked or not, each by itself; no comparisons are needed.

    Source: Ethayarajh et al. 2024, "KTO: Model Alignment as Prospect Theoretic Optimization", arXiv:2402.01306.
    """

    dataset: str = choose(
        "dataset", "Ratings", "Answers that were liked or not. Comparisons serve too: one of each.", kind="ratings"
    )

    beta: float = beta_param()
    balance: str = param(
        "auto",
        "Balance",
        "Auto first weighs the two classes so that both count the same, however few of one there are; the weights "
        "below then come on top. Given takes these weights as they are.",
        choices=BALANCE,
        group="Loss",
        source="Ethayarajh et al. 2024, arXiv:2402.01306, section 4.2",
    )
    desirable_weight: float = param(
        1.0,
        "Weight of liked",
        "How much liked answers count. The paper keeps liked to disliked, in number times weight, from 1 to 4/3.",
        between=(0.0, 1000.0),
        group="Loss",
        source="Ethayarajh et al. 2024, arXiv:2402.01306, section 4.2",
    )
    undesirable_weight: float = param(
        1.0,
        "Weight of disliked",
        "How much disliked answers count. Higher than the other one, the policy becomes more careful.",
        between=(0.0, 1000.0),
        group="Loss",
        source="Ethayarajh et al. 2024, arXiv:2402.01306, section 4.2",
    )

    def __post_init__(self) -> None:
        check(self)
        refuse_dropout(self.lora_dropout)
        if self.batch_size < 2:
            raise SpecError(
                "batch_size",
                "Batch size is 1, but KTO estimates how far the policy has drifted from the whole batch.",
                "Choose at least 2; 16 or more is better.",
            )
        if self.desirable_weight == self.undesirable_weight == 0.0:
            raise SpecError("desirable_weight", "Both weights are 0: there would be nothing to learn.")
