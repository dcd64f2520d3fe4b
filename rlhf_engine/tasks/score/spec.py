"""Everything a person can choose about scoring pairs. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, choose, param


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSpec:
    """Let a reward model score both answers of this project's pairs, so that the next ones to judge can be chosen."""

    reward_model: str = choose("reward_model", "Score with", "A reward model of this project.")

    pairs: str = param(
        "both",
        "Which pairs",
        "Those that wait are put in order by their scores. Of judged ones it shows where you and the model disagree.",
        choices=("both", "waiting", "judged"),
    )
    limit: int = param(
        3000,
        "At most",
        "Of those that wait the oldest, and as many judged ones: those that people judged last, then the oldest that "
        "only a rule, an import or a model has judged.",
        between=(1, 1_000_000),
        unit="pairs",
    )
    batch_size: int = param(32, "Batch size", "Pairs scored at once.", between=(1, 4096), advanced=True)
    seed: int = param(0, "Seed", "Unused; every spec has one.", between=(0, 2**31 - 1), advanced=True)
    dtype: str = param(
        "auto", "Precision", "Number format of the base.", choices=("auto", "fp32", "bf16"), advanced=True
    )
    device: str = param("auto", "Device", "Where the model lives.", choices=("auto", "cpu", "cuda"), advanced=True)

    def __post_init__(self) -> None:
        check(self)

    @property
    def total_steps(self) -> int:
        return 0  # known once the pairs are read
