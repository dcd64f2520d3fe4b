"""How easily people call two answers equal: the one number that the Rao-Kupper model adds to the scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from rlhf_engine.data.indexed import FROM
from rlhf_engine.tasks.reward.groups import Group
from rlhf_engine.tasks.reward.spec import RewardSpec

_LOOKED_AT = 2000  # comparisons by which the share of ties in a large dataset is told
RATE = 0.02  # AdamW step size for log theta, whatever the adapter's: its scale is that of the scores, and known


class TieThreshold(nn.Module):
    """theta >= 1, kept as log theta = softplus(raw), so that it stays above 1 however it is trained.

    Without Rao-Kupper it is 1: there are no ties, and all that is said of it is exactly Bradley-Terry.
    """

    def __init__(self, theta: float = 1.0, learned: bool = False) -> None:
        super().__init__()
        log_theta = torch.tensor(theta, dtype=torch.float64).log()
        self.raw = nn.Parameter(torch.log(torch.expm1(log_theta)).float(), requires_grad=learned)

    @classmethod
    def of(cls, spec: RewardSpec, groups: Sequence[Group]) -> TieThreshold:
        """As chosen; or learned, from the theta at which equal scores would give as many ties as there are."""
        if spec.ties != "rao-kupper":
            return cls()
        if spec.tie_theta:
            return cls(spec.tie_theta)
        step = max(1, len(groups) // _LOOKED_AT) if len(groups) > FROM else 1  # of a million pairs a part will do
        strengths = [strength for i in range(0, len(groups), step) for *_, strength in groups[i].said]
        share = min(0.9, max(0.01, strengths.count(0) / len(strengths)))
        return cls((1 + share) / (1 - share), learned=True)

    @property
    def learned(self) -> bool:
        return self.raw.requires_grad

    @property
    def log_theta(self) -> Tensor:
        """() fp32; 0 where there are no ties."""
        return softplus(self.raw)

    def join(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        """Be trained by an optimiser whose own rate is `rate`."""
        optimizer.add_param_group({"params": [self.raw], "scale": RATE / rate, "weight_decay": 0.0})
