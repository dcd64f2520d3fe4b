"""Several answers to one prompt, compared with each other: advantages without a value model. Pure functions.

Scores are (B,), the answers to one prompt side by side, `size` of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

FLAT = 1e-6  # a group whose scores differ by less has nothing to say


def leave_one_out(scores: Tensor, size: int) -> Tensor:
    """Each score minus the mean of the others of its group. (B,) -> (B,).

    Source: Kool et al. 2019; Ahmadian et al. 2024, "Back to Basics" (RLOO), arXiv:2402.14740, equation 8.
    """
    groups = scores.view(-1, size)
    others = (groups.sum(1, keepdim=True) - groups) / (size - 1)
    return (groups - others).flatten()


def group_advantages(scores: Tensor, size: int, scale: str) -> Tensor:
    """Each score minus its group's mean, divided by the unbiased standard deviation of the group ("group"), of all
    scores ("batch"), or by nothing ("none"). (B,) -> (B,).

    Source: Shao et al. 2024 (GRPO), arXiv:2402.03300, section 4.1.2; none: Liu et al. 2025 (Dr. GRPO),
    arXiv:2503.20783.
    """
    groups = scores.view(-1, size)
    centred = groups - groups.mean(1, keepdim=True)
    if scale == "group":
        centred = centred / (groups.std(1, keepdim=True) + 1e-4)
    elif scale == "batch":
        centred = centred / (scores.std() + 1e-4)
    return centred.flatten()


def flat_groups(scores: Tensor, size: int) -> Tensor:
    """True for every answer whose group has no difference in it. (B,) -> (B,) bool."""
    groups = scores.view(-1, size)
    flat = groups.amax(1) - groups.amin(1) < FLAT
    return flat.repeat_interleave(size)


def group_metrics(scores: Tensor, size: int) -> dict[str, float]:
    """Share of groups without a difference, and the mean spread within them."""
    return {
        "groups/zero_std": flat_groups(scores, size).float().mean().item(),
        "groups/spread": scores.view(-1, size).std(1).mean().item() if size > 1 else 0.0,
    }


def per_token(advantages: Tensor, mask: Tensor) -> Tensor:
    """One number per answer on each of its tokens. (B,), (B, R) -> (B, R)."""
    return torch.where(mask, advantages.unsqueeze(1), 0.0)


def returns_to_go(rewards: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """What is still to come from each token on, discounted. (B, R) x 2 -> (B, R), 0 where masked.

    Source: Williams 1992 (REINFORCE); Sutton and Barto 2018, equation 3.8.
    """
    found = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        following = torch.where(mask[:, t], rewards[:, t] + gamma * following, following)
        found[:, t] = torch.where(mask[:, t], following, 0.0)
    return found


class Picked(NamedTuple):
    """Of each group, the rows of its best and its worst answer, and whether their scores differ. (G,) each."""

    best: Tensor
    worst: Tensor
    differs: Tensor


def best_and_worst(scores: Tensor, size: int) -> Picked:
    """(B,) -> (G,) x 3. Of equal scores the first counts."""
    groups = scores.view(-1, size)
    start = torch.arange(len(groups), device=scores.device) * size
    best, worst = groups.argmax(1), groups.argmin(1)
    return Picked(start + best, start + worst, groups.amax(1) - groups.amin(1) >= FLAT)


def expected_best(scores: Tensor, size: int) -> Tensor:
    """The mean over groups of the expected best score of k answers, for k = 1 to n. (B,) -> (n,).

    Without bias from the n answers that there are: the i-th smallest is the best of k in C(i - 1, k - 1) of C(n, k)
    draws. Source: Chen et al. 2021 (pass@k), arXiv:2107.03374, section 2.1, for scores instead of passes.
    """
    ordered = scores.view(-1, size).sort(1).values.double().mean(0)
    found = [
        sum(math.comb(i, k - 1) * ordered[i].item() for i in range(k - 1, size)) / math.comb(size, k)
        for k in range(1, size + 1)
    ]
    return torch.tensor(found)


def best_of_n_kl(n: int) -> float:
    """What taking the best of n costs in KL at most: ln n - (n - 1) / n, in nats per answer.

    Source: Stiennon et al. 2020, arXiv:2009.01325, appendix G.3; that it is a bound: Beirami et al. 2024,
    arXiv:2401.01879.
    """
    return math.log(n) - (n - 1) / n
