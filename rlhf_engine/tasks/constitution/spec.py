"""Everything a person can choose about answers revised by principles. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, choose, param


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionFields:
    """How a model answers, criticises its answer by a principle, revises it, and compares the two.

    Source: Bai et al. 2022, arXiv:2212.08073, section 3.1 (critique and revision) and 4.1 (comparison).
    """

    model: str = choose("model", "Model", "Writes, criticises, revises and compares; it should follow instructions.")

    principles: tuple[str, ...] = param(
        (), "Principles", "Names of this project's principles, one in each line; none is all of them."
    )
    rounds: int = param(
        1,
        "Rounds",
        "How often an answer is criticised and revised, each time by a principle drawn anew.",
        between=(1, 8),
        source="Bai et al. 2022, arXiv:2212.08073, section 3.5",
    )
    temperature: float = param(0.7, "Temperature", "Of everything that is written.", between=(0.0, 5.0))
    response_tokens: int = param(
        128, "Longest text", "Of answer, criticism and revision each.", between=(1, 8192), unit="tokens"
    )
    template: str = param(
        "full",
        "Question",
        "How the model is asked: full for models that follow instructions, short for base models and short contexts.",
        choices=("full", "short"),
        advanced=True,
    )
    batch_size: int = param(8, "Batch size", "Texts written and read at once.", between=(1, 4096), advanced=True)
    prompt_format: str = param(
        "auto",
        "Prompt format",
        "Auto asks a trained model as it was trained, and any other with the tokenizer's chat template if it has one.",
        choices=("auto", "chat", "plain"),
        advanced=True,
    )
    seed: int = param(0, "Seed", "Same seed, same texts and the same principles drawn.", between=(0, 2**31 - 1))
    dtype: str = param(
        "auto", "Precision", "Number format of the base.", choices=("auto", "fp32", "bf16"), advanced=True
    )
    device: str = param("auto", "Device", "Where the model lives.", choices=("auto", "cpu", "cuda"), advanced=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstitutionSpec(RevisionFields):
    """Revise a model's answers to a set of prompts: demonstrations to learn from, and comparisons by the model."""

    dataset: str = choose("dataset", "Prompts", "What is answered; held-out prompts are left alone.", kind="prompts")

    limit: int = param(64, "At most", "Prompts that are answered.", between=(1, 1_000_000), unit="prompts")
    demonstrations: str = param(
        "preferred",
        "Demonstrations",
        "Which revised answers become a dataset of demonstrations: all, those that the comparison prefers to the first "
        "answer, or none.",
        choices=("all", "preferred", "none"),
    )
    comparisons: bool = param(
        True,
        "Comparisons",
        "Add first answer and revision to this project as a pair, with the model's label. People can still judge it.",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.demonstrations == "none" and not self.comparisons:
            raise SpecError("comparisons", "With neither demonstrations nor comparisons nothing would be kept.")

    @property
    def total_steps(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviseSpec(RevisionFields):
    """The same for one prompt, step by step; nothing is kept."""

    prompt: str = param("", "Prompt", "What is answered.", multiline=True)

    def __post_init__(self) -> None:
        check(self)
        if not self.prompt.strip():
            raise SpecError("prompt", "There is no prompt.", "Write one.")

    @property
    def total_steps(self) -> int:
        return 1
