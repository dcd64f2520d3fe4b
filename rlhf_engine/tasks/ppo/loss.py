"""PPO's arithmetic: pure functions of tensors. Reward shaping is in `reward_shaping.py`.

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


class PolicyLoss(NamedTuple):
    loss: Tensor  # (), the quantity to minimise
    clipped: Tensor  # (), share of tokens whose gradient was cut, 0..1
    approx_kl: Tensor  # (), half the mean squared log-ratio, in nats
    ratio: Tensor  # (), mean probability ratio
    ratio_max: Tensor  # (), largest


def policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: float,
    clip_high: float = 0.0,
    dual_clip: float = 0.0,
    total: Tensor | None = None,
) -> PolicyLoss:
    """The clipped surrogate: make better-than-expected tokens likelier, but only so far per update.

    Args:
        logp, old_logp: (B, T) log-probability of each token now, and when it was written.
        advantages: (B, T), usually whitened.
        clip, clip_high: the ratio is held within [1 - clip, 1 + clip_high]; a `clip_high` of 0 means `clip`.
        dual_clip: a bad token's loss is at most -A times this; 0 is off.
        total: tokens of the whole optimiser step, () (see `masked_mean`).

    Source: Schulman et al. 2017, equation 7; dual clip: Ye et al. 2020, arXiv:1912.09729, equation 5.
    """
    log_ratio = torch.where(mask, logp - old_logp, 0.0).clamp(-20, 20)
    ratio = log_ratio.exp()
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip, 1 + (clip_high or clip))
    worst = torch.maximum(unclipped, clipped)
    if dual_clip:
        worst = torch.where(advantages < 0, torch.minimum(worst, -advantages * dual_clip), worst)
    with torch.no_grad():
        stats = (
            masked_mean((clipped > unclipped).float(), mask, total),
            masked_mean(0.5 * log_ratio**2, mask, total),
            masked_mean(ratio, mask, total),
            torch.where(mask, ratio, 0.0).max(),
        )
    return PolicyLoss(masked_mean(worst, mask, total), *stats)


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


def k1(log_ratio: Tensor) -> Tensor:
    """The log-ratio itself: unbiased, may be negative. All three: Schulman 2020, joschu.net/blog/kl-approx."""
    return log_ratio


def k2(log_ratio: Tensor) -> Tensor:
    """Half the squared log-ratio: biased, low variance; as an on-policy loss its gradient is that of the KL."""
    return 0.5 * log_ratio**2


def k3(log_ratio: Tensor) -> Tensor:
    """exp(-d) - 1 + d, d = log pi - log pi_ref: unbiased, never negative. d is held to +-20, the result to 10."""
    held = log_ratio.clamp(-20, 20)
    return (torch.exp(-held) - 1 + held).clamp(max=10)


def adapt_kl_coef(beta: float, kl: float, target: float, horizon: int, episodes: int) -> float:
    """Beta after a batch: raised when the drift per answer is above `target` nats, lowered when below.

    Source: Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences", section 2.2. Held to [1e-4, 10].
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return min(max(beta * (1 + error * episodes / horizon), 1e-4), 10.0)
