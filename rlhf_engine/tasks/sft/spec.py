"""Everything a person can choose about supervised fine-tuning. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, choose, param
from rlhf_engine.contract.training import TrainingFields


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTSpec(TrainingFields):
    """Teach a base model to answer in the manner of demonstrations. Only the answer and its end token are trained."""

    model: str = choose("model", "Model", "The model to teach: a base model, or the result of an earlier run.")
    dataset: str = choose("dataset", "Demonstrations", "Prompts with the answers wanted.", kind="demonstrations")

    epochs: float = param(3.0, "Epochs", "Passes over the demonstrations.", between=(0.01, 1000.0))
    learning_rate: float = param(
        2e-4, "Learning rate", "AdamW step size for the adapter.", between=(1e-8, 1e-1), log_scale=True
    )
    evaluate_every: int = param(
        10,
        "Evaluate every",
        "How often to measure the loss on held-out prompts. 0 is only at the end.",
        between=(0, 1_000_000),
        unit="steps",
        group="Keeping",
        advanced=True,
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def total_steps(self) -> int:
        return 0
