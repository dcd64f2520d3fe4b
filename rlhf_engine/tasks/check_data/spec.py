"""Everything a person can choose about looking a dataset over. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, choose, param


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSpec:
    """Look for duplicates, leaks between the splits, pairs that say nothing and rows that are too long."""

    dataset: str = choose("dataset", "Dataset", "The dataset to look over, or a file.")
    max_tokens: int = param(
        1024,
        "Longest example",
        "Rows with more tokens are named.",
        between=(16, 1_048_576),
        unit="tokens",
    )
    model: str = choose(
        "model", "Tokens of", "Whose tokens are counted. Empty takes four characters for a token.", default=""
    )
    seed: int = param(0, "Seed", "Unused; every spec has one.", between=(0, 2**31 - 1), advanced=True)

    def __post_init__(self) -> None:
        check(self)

    @property
    def total_steps(self) -> int:
        return 0
