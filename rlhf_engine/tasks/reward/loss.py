"""The losses of reward modelling. Pure functions of tensors.

Two answers a and b with scores differing by `apart` = r(a) - r(b); theta >= 1 says how easily people call them equal.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry_loss(
    chosen: Tensor, rejected: Tensor, margins: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """-log sigma(chosen - rejected - margin), per pair. (B,) x 2 -> (B,), in nats.

    `smoothing` is the share of labels assumed to be the wrong way round.

    Source: Bradley and Terry 1952; Ouyang et al. 2022, equation 1; margin: Touvron et al. 2023 (Llama 2), equation 2.
    """
    apart = chosen - rejected - (0.0 if margins is None else margins)
    loss = -logsigmoid(apart)
    return (1 - smoothing) * loss - smoothing * logsigmoid(-apart) if smoothing else loss


def split_tie_loss(first: Tensor, second: Tensor) -> Tensor:
    """A tie as half a win for each side: -(log sigma(d) + log sigma(-d)) / 2, smallest at d = 0. (B,) x 2 -> (B,)."""
    apart = first - second
    return -0.5 * (logsigmoid(apart) + logsigmoid(-apart))


def rao_kupper_loss(
    chosen: Tensor,
    rejected: Tensor,
    tied: Tensor,
    log_theta: Tensor,
    margins: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """-log of the probability of what people said, a win or a tie. (B,) x 2, (B,) bool, () -> (B,), in nats.

    P(a beats b) = e^a / (e^a + theta e^b) = sigma(d - log theta), and what the two wins leave is the tie:
    P(a ties b) = (theta^2 - 1) e^(a + b) / ((e^a + theta e^b) (theta e^a + e^b)). A margin or smoothing acts on wins
    alone. With theta 1 there are no ties, and a win costs what it costs in `bradley_terry_loss`.

    Source: Rao and Kupper 1967, "Ties in Paired-Comparison Experiments: A Generalization of the Bradley-Terry Model".
    """
    apart = chosen - rejected
    wide = logsigmoid(apart - log_theta) + logsigmoid(-apart - log_theta)
    tie = -wide - log_theta2_minus_1(log_theta)
    asked = apart - (0.0 if margins is None else margins)
    win = -logsigmoid(asked - log_theta)
    if smoothing:
        win = (1 - smoothing) * win - smoothing * logsigmoid(-asked - log_theta)
    return torch.where(tied, tie, win)


def log_theta2_minus_1(log_theta: Tensor) -> Tensor:
    """log(theta^2 - 1) = log(e^(2 v) - 1) for v = log theta > 0, without overflow."""
    return 2 * log_theta + torch.log(-torch.expm1(-2 * log_theta))


def win_log_probability(apart: Tensor, log_theta: Tensor | float = 0.0) -> Tensor:
    """log P(a beats b), given that one of them wins. (B,) -> (B,). With theta 1 it is log sigma(apart).

    Under Rao-Kupper a decided pair is more certain than sigma(apart) says, since the doubtful ones are ties.
    """
    win, loss = logsigmoid(apart - log_theta), logsigmoid(-apart - log_theta)
    return win - torch.logaddexp(win, loss)


def best_loss(scores: Tensor, mask: Tensor) -> Tensor:
    """-log softmax of the first answer's score among all: people preferred it to each of the others. (..., K) -> (...).

    Two answers give Bradley-Terry. `mask` is True on answers that are there.
    Source: Ziegler et al. 2019, arXiv:1909.08593, equation 1.
    """
    return torch.where(mask, scores, -torch.inf).logsumexp(-1) - scores[..., 0]


def order_loss(scores: Tensor, mask: Tensor) -> Tensor:
    """-log of the probability of a whole order, the best answer first. (..., K) -> (...).

    The best is drawn by softmax from all, the second from the rest, and so on. Two answers give Bradley-Terry. `mask`
    is True on answers that are there, before those that are not.
    Source: Plackett 1975, "The Analysis of Permutations"; Luce 1959.
    """
    count = scores.shape[-1]
    itself = torch.eye(count, dtype=torch.bool, device=scores.device)  # so that no row is empty, also of what is absent
    left = itself.logical_not().triu() & mask.unsqueeze(-2) | itself  # (..., K, K): who is still there at each draw
    scores = torch.where(mask, scores, 0.0)
    drawn_from = torch.where(left, scores.unsqueeze(-2), -torch.inf).logsumexp(-1)
    return torch.where(mask, drawn_from - scores, 0.0).sum(-1)


def centering_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(chosen + rejected)^2 per pair: keeps scores near zero, which Bradley-Terry alone leaves open. (B,) x 2 -> (B,).

    Source: Eisenstein et al. 2023, "Helping or Herding?", equation 4.
    """
    return (chosen + rejected) ** 2
