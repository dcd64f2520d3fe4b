"""Everything a person can choose about rejection sampling. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, param
from rlhf_engine.contract.online import RolloutFields, check_picked


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfNSpec(RolloutFields):
    """Write n answers to each prompt, keep the best, and learn to write those: rejection-sampling SFT. On the way it
    measures what best of n itself is worth. The kept answers become a dataset.

    Source: Nakano et al. 2021 (WebGPT), arXiv:2112.09332, section 3.2 (best of n); Dong et al. 2023 (RAFT),
    arXiv:2304.06767; Touvron et al. 2023 (Llama 2), section 3.2.3.
    """

    updates: int = param(20, "Updates", "How many times to write, choose and learn.", between=(1, 1_000_000))
    group_size: int = param(8, "Answers per prompt", "n: of so many answers the best is kept.", between=(2, 1024))
    minibatch_size: int = param(
        32,
        "Minibatch size",
        "Written answers per optimiser step; of every prompt's, the best is learned.",
        between=(2, 65_536),
    )
    epochs: int = param(
        1,
        "Epochs per update",
        "Passes over the kept answers of an update. 0 learns nothing: it only writes the dataset and measures.",
        between=(0, 50),
        group="Loss",
    )
    least_margin: float = param(
        0.0,
        "Least margin",
        "A best answer is kept only where it scores this much above the mean of its prompt's answers.",
        between=(0.0, 1000.0),
        group="Loss",
        advanced=True,
    )

    def __post_init__(self) -> None:
        check(self)
        check_picked(self, self.group_size)
