"""What PPO has beside the clipped surrogate: advantages from a value model, and the value model's own loss.

Notation: (B, T) over response tokens, `mask` True on real ones (the end token included); log-probabilities in nats.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlhf_engine.tensors import masked_mean


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float, bootstrap: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, both (B, T) and 0 where masked.

    delta_t = r_t + gamma V_{t+1} - V_t and A_t = delta_t + gamma lam A_{t+1}; the return is A_t + V_t. Masked positions
    in the middle carry value and advantage through. After the last token the value is 0, or `bootstrap` (B,).

    Source: Schulman et al. 2016, "High-Dimensional Continuous Control Using GAE", equations 11 to 16.
    """
    advantages = torch.zeros_like(values)
    following = torch.zeros_like(values[:, 0])
    next_value = torch.zeros_like(values[:, 0]) if bootstrap is None else bootstrap
    for t in reversed(range(values.shape[1])):
        here = mask[:, t]
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = torch.where(here, delta + gamma * lam * following, following)
        next_value = torch.where(here, values[:, t], next_value)
        advantages[:, t] = torch.where(here, following, 0.0)
    return advantages, torch.where(mask, advantages + values, 0.0)


class ValueLoss(NamedTuple):
    loss: Tensor  # ()
    clipped: Tensor  # (), share of tokens whose clipped error was the larger one


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float, total: Tensor | None = None
) -> ValueLoss:
    """Half the squared error, where a value that moved further than `clip` is judged at the edge. 0 does not clip.

    Source: Schulman et al.'s PPO code, as described in Huang et al. 2022, "The 37 Implementation Details of PPO".
    """
    error = (values - returns) ** 2
    if not clip:
        return ValueLoss(0.5 * masked_mean(error, mask, total), torch.zeros_like(error[0, 0]))
    held = old_values + (values - old_values).clamp(-clip, clip)
    edge = (held - returns) ** 2
    cut = masked_mean((edge > error).float(), mask, total)
    return ValueLoss(0.5 * masked_mean(torch.maximum(error, edge), mask, total), cut)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over the masked positions: 1 is perfect, 0 no better than a constant."""
    true, error = returns[mask], (returns - values)[mask]
    if true.numel() < 2:
        return torch.zeros(())
    variance = true.var()
    return torch.where(variance > 0, 1 - error.var() / variance.clamp(min=1e-12), torch.zeros_like(variance))
