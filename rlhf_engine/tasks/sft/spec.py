"""Everything a person can choose about supervised fine-tuning. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import EntryKind, check, choose, param
from rlhf_engine.contract.training import CourseFields


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherDataset:
    """Another dataset of demonstrations, mixed in with the first."""

    kind: str = "dataset"
    dataset: str = choose("dataset", "Demonstrations", "Prompts with the answers wanted.", kind="demonstrations")
    weight: float = param(
        1.0,
        "Weight",
        "How often it is drawn from; the first dataset has weight 1.",
        between=(0.001, 1000.0),
        log_scale=True,
    )

    def __post_init__(self) -> None:
        check(self)


MIXTURE = (EntryKind("dataset", "Dataset", "More demonstrations, and how often to draw from them.", FurtherDataset),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTSpec(CourseFields):
    """Teach a base model to answer in the manner of demonstrations."""

    model: str = choose("model", "Model", "The model to teach: a base model, or the result of an earlier run.")
    dataset: str = choose("dataset", "Demonstrations", "Prompts with the answers wanted.", kind="demonstrations")

    epochs: float = param(
        3.0,
        "Epochs",
        "Passes over the demonstrations. In a mixture, one pass draws as many as all its datasets hold together.",
        between=(0.01, 1000.0),
    )
    learning_rate: float = param(
        2e-4, "Learning rate", "AdamW step size for the adapter.", between=(1e-8, 1e-1), log_scale=True
    )
    trained_on: str = param(
        "answer",
        "Learn from",
        "The last answer of each demonstration, every turn of the assistant, or all tokens, the prompts too. A plain "
        "transcript has no end token after earlier turns: stopping is learned from the last answer there.",
        choices=("answer", "assistant turns", "all tokens"),
        group="Data",
    )
    mixture: tuple[FurtherDataset, ...] = param(
        (),
        "Mixed with",
        "Further datasets that every batch draws from. One that is used up begins again, in a new order.",
        group="Data",
        entries=MIXTURE,
    )
    mixing: str = param(
        "by weight",
        "Shares",
        "How often each dataset of a mixture is drawn from. By weight: as its weight says. By size: as its weight "
        "times the number of its examples says, so that weights of 1 give all datasets laid together.",
        choices=("by weight", "by size"),
        group="Data",
        advanced=True,
    )
    neftune_alpha: float = param(
        0.0,
        "Embedding noise (NEFTune)",
        "Uniform noise of up to alpha / sqrt(tokens x width) on the input embeddings, while learning only. It makes "
        "answers longer and less copied. 0 is none; 5 to 15 are usual.",
        between=(0.0, 100.0),
        group="Optimisation",
        advanced=True,
        source="Jain et al. 2023, NEFTune: Noisy Embeddings Improve Instruction Finetuning, arXiv:2310.05914",
    )
    packing: bool = param(
        False,
        "Packing",
        "Lays the examples of a step end to end in rows of up to the longest example, none seeing another. It changes "
        "speed, not what is learned; a micro-batch then counts rows. Worth it where lengths differ much.",
        group="Memory",
        advanced=True,
        source="Krell et al. 2021, Efficient Sequence Packing without Cross-contamination, arXiv:2107.02027",
    )

    def __post_init__(self) -> None:
        check(self)
