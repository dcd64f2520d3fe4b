"""Everything a person can choose about an evaluation. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, choose, param


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSpec:
    """Ask models the same prompts, and measure what they answer: score, length, and how far they are from a reference.

    The drift is the KL to the reference per answer, estimated on the model's own answers; of best of n, its bound.
    """

    models: tuple[str, ...] = choose("model", "Models", "One or more models that answer the same prompts.")
    dataset: str = choose("dataset", "Prompts", "What they are asked.", kind="prompts")
    reference: str = choose(
        "model", "Reference", "What the drift is measured from, on the same tokenizer. Empty measures none.", default=""
    )
    reward_model: str = choose("reward_model", "Score with", "A reward model; empty is none.", default="")

    split: str = param("heldout", "Which prompts", "Those held out, or those trained on.", choices=("heldout", "train"))
    limit: int = param(256, "At most", "Prompts that are asked.", between=(1, 1_000_000), unit="prompts")
    samples: int = param(1, "Answers per prompt", "Answers that each model writes to a prompt.", between=(1, 1024))
    best_of: int = param(
        1,
        "Best of",
        "Each answer is the best of so many by the reward model; 1 takes them as they come.",
        between=(1, 1024),
    )
    temperature: float = param(1.0, "Temperature", "That of training, to see what was trained.", between=(0.05, 5.0))
    response_tokens: int = param(64, "Response length", "Longest answer.", between=(1, 8192), unit="tokens")
    batch_size: int = param(64, "Batch size", "Answers written at once.", between=(1, 65_536), advanced=True)
    template: str = param(
        "auto",
        "Prompt format",
        "Auto asks a trained model as it was trained, and any other with the tokenizer's chat template if it has one.",
        choices=("auto", "chat", "plain"),
        advanced=True,
    )
    seed: int = param(0, "Seed", "Same seed, same answers.", between=(0, 2**31 - 1))
    dtype: str = param(
        "auto", "Precision", "Number format of the base.", choices=("auto", "fp32", "bf16"), advanced=True
    )
    device: str = param("auto", "Device", "Where the model lives.", choices=("auto", "cpu", "cuda"), advanced=True)

    def __post_init__(self) -> None:
        check(self)
        if not self.models:
            raise SpecError("models", "No model has been chosen.")
        if self.best_of > 1 and not self.reward_model:
            raise SpecError("best_of", f"The best of {self.best_of} needs a reward model to choose it.")

    @property
    def total_steps(self) -> int:
        return len(self.models)
