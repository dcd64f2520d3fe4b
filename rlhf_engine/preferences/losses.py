"""The losses of learning from preferences. Pure functions of tensors, all of them per pair or per answer.

A *log-ratio* is log pi(y|x) - log pi_ref(y|x) of a whole answer with its end token: the sum over its tokens, or their
mean where a loss says so. Logs are natural.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from rlhf_engine.contract.preference import DPO_LOSSES

CERTAIN = -1e-6  # the highest mean log-probability an odds ratio is taken of: at 0 the odds are infinite


def dpo_loss(apart: Tensor, beta: float, kind: str = "sigmoid", smoothing: float = 0.0) -> Tensor:
    """Loss per pair from how much further the policy has gone towards the chosen answer. (N,) -> (N,).

    Args:
        apart: log-ratio of the chosen answer minus that of the rejected one. IPO wants per-token means.
        kind: one of `DPO_LOSSES`; d = beta * apart:
            sigmoid: -log sigma(d). Rafailov et al. 2023, arXiv:2305.18290, equation 7.
            conservative: (1 - e) * -log sigma(d) + e * -log sigma(-d). Mitchell 2023, "A note on DPO with noisy
                preferences".
            robust: ((1 - e) * -log sigma(d) - e * -log sigma(-d)) / (1 - 2e), whose mean over flipped labels is the
                loss without flips. Chowdhury et al. 2024, arXiv:2403.00409.
            hinge: max(0, 1 - d). Liu et al. 2023, arXiv:2309.06657, after Zhao et al. 2023, arXiv:2305.10425 (SLiC).
            ipo: (apart - 1 / (2 beta))^2. Azar et al. 2023, arXiv:2310.12036, equation 17.
        smoothing: e, the share of labels that are the wrong way round; conservative and robust only.
    """
    toward = -logsigmoid(beta * apart)
    match kind:
        case "sigmoid":
            return toward
        case "conservative":
            return (1 - smoothing) * toward - smoothing * logsigmoid(-beta * apart)
        case "robust":
            return ((1 - smoothing) * toward + smoothing * logsigmoid(-beta * apart)) / (1 - 2 * smoothing)
        case "hinge":
            return relu(1 - beta * apart)
        case "ipo":
            return (apart - 1 / (2 * beta)) ** 2
    raise ValueError(f"{kind!r} is none of {', '.join(DPO_LOSSES)}")


def dpo_loss_at_start(beta: float, kind: str) -> float:
    """The loss of a policy that is still its own reference: ln 2 in nats, or what stands for it."""
    return {"hinge": 1.0, "ipo": (1 / (2 * beta)) ** 2}.get(kind, math.log(2))


def kto_loss(
    log_ratio: Tensor, liked: Tensor, baseline: Tensor, beta: float, desirable: float = 1.0, undesirable: float = 1.0
) -> Tensor:
    """Loss per answer: how far a liked one is from being certain to be above the baseline, a disliked one from being
    below it. (N,), (N,) bool, () -> (N,), between 0 and the weight.

    Args:
        baseline: see `kto_baseline`; no gradient goes through it.
        desirable, undesirable: weights of the two classes.

    Source: Ethayarajh et al. 2024, arXiv:2402.01306, equation 8, with lambda - v = lambda * (1 - sigma).
    """
    above = beta * (log_ratio - baseline.detach())
    return torch.where(liked, desirable * torch.sigmoid(-above), undesirable * torch.sigmoid(above))


def kto_baseline(mean_log_ratio: Tensor) -> Tensor:
    """What an answer's log-ratio is measured from: a batch's mean log-ratio of answers to other prompts, not below 0.

    A biased, low-variance estimate of KL(policy || reference), without gradient. () -> ().
    Source: Ethayarajh et al. 2024, section 4.1.
    """
    return mean_log_ratio.detach().clamp(min=0.0)


def log_odds(mean_logp: Tensor) -> Tensor:
    """log(p / (1 - p)) of p = exp(mean_logp), the geometric mean of an answer's token probabilities. (N,) -> (N,).

    Source: Hong et al. 2024, arXiv:2403.07691, equations 3 and 4.
    """
    certain = mean_logp.clamp(max=CERTAIN)
    return certain - log1mexp(certain)


def orpo_odds_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """-log sigma(log odds ratio) per pair, from the answers' mean log-probabilities per token. (N,) x 2 -> (N,).

    Source: Hong et al. 2024, equation 7; the whole loss (6) adds it, times lambda, to the chosen answer's NLL.
    """
    return -logsigmoid(log_odds(chosen) - log_odds(rejected))


def simpo_loss(chosen: Tensor, rejected: Tensor, beta: float, gamma: float) -> Tensor:
    """-log sigma(beta * (chosen - rejected) - gamma) per pair, from mean log-probabilities per token. (N,) x 2 -> (N,).

    Source: Meng et al. 2024, arXiv:2405.14734, equation 6.
    """
    return -logsigmoid(beta * (chosen - rejected) - gamma)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, accurate near 0 and far below it.

    Source: Mächler 2012, "Accurately computing log(1 - exp(-|a|))": expm1 above -ln 2, log1p below. The second branch
    is given a harmless number where the first is taken, or its infinite gradient would turn into NaN.
    """
    near = x > -math.log(2)
    return torch.where(near, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(torch.where(near, -1.0, x))))
