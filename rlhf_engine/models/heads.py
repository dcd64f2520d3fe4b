"""Scalar heads: one number read off a hidden state. Rewards and values are the same head on different adapters."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ScalarHead(nn.Module):
    """A linear map from a hidden state to a number, in fp32 whatever the base is in.

    Initialised with standard deviation 1 / sqrt(hidden + 1), as in Stiennon et al. 2020 and the N+ details, or with
    zeros. `mean` and `std` normalise rewards; they belong to the head, are saved with it and are not trained.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, hidden: int, zero: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, 1, dtype=torch.float32)
        nn.init.zeros_(self.linear.bias)
        if zero:
            nn.init.zeros_(self.linear.weight)
        else:
            nn.init.normal_(self.linear.weight, std=(hidden + 1) ** -0.5)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., H) -> (...), normalised."""
        raw: Tensor = self.linear(hidden.float()).squeeze(-1)
        return (raw - self.mean) / self.std
