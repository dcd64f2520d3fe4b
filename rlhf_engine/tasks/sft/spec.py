"""Everything a person can choose about supervised fine-tuning. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, choose, param
from rlhf_engine.contract.training import CourseFields


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTSpec(CourseFields):
    """Teach a base model to answer in the manner of demonstrations. Only the answer and its end token are trained."""

    model: str = choose("model", "Model", "The model to teach: a base model, or the result of an earlier run.")
    dataset: str = choose("dataset", "Demonstrations", "Prompts with the answers wanted.", kind="demonstrations")

    epochs: float = param(3.0, "Epochs", "Passes over the demonstrations.", between=(0.01, 1000.0))
    learning_rate: float = param(
        2e-4, "Learning rate", "AdamW step size for the adapter.", between=(1e-8, 1e-1), log_scale=True
    )

    def __post_init__(self) -> None:
        check(self)
