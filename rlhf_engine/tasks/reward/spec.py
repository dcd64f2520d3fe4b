"""Everything a person can choose about training a reward model. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, choose, param
from rlhf_engine.contract.training import CourseFields


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSpec(CourseFields):
    """Learn a score from comparisons, so that the preferred answer scores higher (Bradley-Terry)."""

    model: str = choose("model", "Model", "Where the reward model starts; best is the SFT model.")
    dataset: str = choose("dataset", "Comparisons", "Pairs of answers with the better one known.", kind="comparisons")

    epochs: float = param(
        2.0, "Epochs", "Passes over the comparisons; more than a few overfit.", between=(0.01, 1000.0)
    )
    learning_rate: float = param(
        2e-4, "Learning rate", "AdamW step size for adapter and head.", between=(1e-8, 1e-1), log_scale=True
    )
    centering: float = param(
        0.01,
        "Centering",
        "Weight of (chosen + rejected)^2, which keeps scores near zero.",
        between=(0.0, 10.0),
        group="Loss",
        advanced=True,
        source="Eisenstein et al. 2023, arXiv:2312.09244",
    )
    label_smoothing: float = param(
        0.0,
        "Label smoothing",
        "Share of the labels assumed to be wrong.",
        between=(0.0, 0.49),
        group="Loss",
        advanced=True,
    )
    margin: float = param(
        0.0,
        "Margin per strength",
        "How much further apart a strong preference must score than a slight one. 0 ignores strength.",
        between=(0.0, 10.0),
        group="Loss",
        advanced=True,
        source="Touvron et al. 2023, Llama 2, section 3.2.2",
    )
    normalise_on: int = param(
        128,
        "Normalise on",
        "Answers of the starting model whose scores are given mean 0 and standard deviation 1. 0 is no normalising.",
        between=(0, 100_000),
        unit="answers",
        group="Loss",
        advanced=True,
        source="Ziegler et al. 2019, arXiv:1909.08593, section 2",
    )
    response_tokens: int = param(
        64,
        "Response length",
        "Longest answer written for normalising.",
        between=(1, 8192),
        unit="tokens",
        group="Loss",
        advanced=True,
    )

    def __post_init__(self) -> None:
        check(self)
