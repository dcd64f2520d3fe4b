"""Everything a person can choose about writing answers. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, choose, param


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateSpec:
    """Write answers, streaming them as they come.

    A prompt is a text, or a list of {"role", "content"} turns. Answers are numbered model by model, then prompt by
    prompt: answer = (model * len(prompts) + prompt) * samples + sample. With `own_prompts` each model answers only the
    prompt in its own place, and answer = model * samples + sample.
    """

    models: tuple[str, ...] = choose("model", "Models", "One or more models that answer the same prompts.")
    prompts: tuple[Any, ...] = choose("", "Prompts", "Texts, or conversations.")

    samples: int = param(1, "Answers", "Answers to each prompt.", between=(1, 64))
    temperature: float = param(
        1.0, "Temperature", "Below 1 is safer, above 1 wilder; 0 always takes the likeliest token.", between=(0.0, 5.0)
    )
    top_p: float = param(1.0, "Top-p", "Choose among the likeliest tokens that add up to this.", between=(0.01, 1.0))
    top_k: int = param(0, "Top-k", "Choose among this many likeliest tokens. 0 is all.", between=(0, 1_000_000))
    max_new_tokens: int = param(
        128, "Longest answer", "Where to stop at the latest.", between=(1, 32_768), unit="tokens"
    )
    stop: tuple[str, ...] = param((), "Stop at", "Texts that end an answer; they are not part of it.")
    seed: int = param(0, "Seed", "Same seed, same answers.", between=(0, 2**31 - 1))
    alternatives: int = param(
        5, "Alternatives", "Likeliest tokens shown at each place.", between=(0, 20), group="Display", advanced=True
    )
    template: str = param(
        "auto",
        "Prompt format",
        "Auto asks a trained model as it was trained, and any other with the tokenizer's chat template where it has "
        "one, and plain text otherwise.",
        choices=("auto", "chat", "plain"),
        group="Display",
        advanced=True,
    )
    own_prompts: bool = param(
        False,
        "A prompt for each model",
        "Each model answers only the prompt in its own place: conversations go on in which models differ.",
        group="Display",
        advanced=True,
    )
    reward_model: str = choose(
        "reward_model", "Score with", "A reward model that scores each finished answer; empty is none.", default=""
    )
    dtype: str = param(
        "auto", "Precision", "Number format of the base.", choices=("auto", "fp32", "bf16"), advanced=True
    )
    device: str = param("auto", "Device", "Where the model lives.", choices=("auto", "cpu", "cuda"), advanced=True)

    def __post_init__(self) -> None:
        check(self)
        if not self.models:
            raise SpecError("models", "No model has been chosen.")
        if not self.prompts:
            raise SpecError("prompts", "There is no prompt.")
        if self.own_prompts and len(self.prompts) != len(self.models):
            raise SpecError(
                "prompts", f"{len(self.models)} models need a prompt each, but there are {len(self.prompts)} prompts."
            )

    @property
    def total_steps(self) -> int:
        return len(self.models) * (1 if self.own_prompts else len(self.prompts)) * self.samples
