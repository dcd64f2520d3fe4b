"""The arithmetic of learning from one's own answers: KL estimates, the clipped surrogate and how it is averaged.

Pure functions of tensors. Notation: (B, T) over response tokens, `mask` True on real ones (the end token included);
log-probabilities in nats.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlhf_engine.tensors import masked_mean


class Whole(NamedTuple):
    """What a mean over a whole optimiser step divides by, so that micro-batches add up to the same gradient.

    `how` is "token" (every token counts the same: DAPO), "sequence" (every answer counts the same: GRPO) or "fixed"
    (divided by the longest length that was allowed: Dr. GRPO). `tokens`, `answers` and `longest` are of the whole step.

    Source: Shao et al. 2024 (GRPO), arXiv:2402.03300, equation 3; Yu et al. 2025 (DAPO), equation 8; Liu et al. 2025
    (Dr. GRPO), arXiv:2503.20783, section 3.1.
    """

    how: str
    tokens: Tensor | float
    answers: int
    longest: int

    def mean(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T) x 2 -> (), this part's contribution to the mean."""
        match self.how:
            case "sequence":
                lengths = mask.sum(1).clamp(min=1)
                return (torch.where(mask, x, x.new_zeros(())).sum(1) / lengths).sum() / self.answers
            case "fixed":
                return torch.where(mask, x, x.new_zeros(())).sum() / (self.answers * self.longest)
            case _:
                return masked_mean(x, mask, self.tokens)


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
    whole: Whole | None = None,
    level: str = "token",
) -> PolicyLoss:
    """The clipped surrogate: make better-than-expected tokens likelier, but only so far per update.

    Args:
        logp, old_logp: (B, T) log-probability of each token now, and when it was written.
        advantages: (B, T), usually whitened.
        clip, clip_high: the ratio is held within [1 - clip, 1 + clip_high]; a `clip_high` of 0 means `clip`.
        dual_clip: a bad token's loss is at most -A times this; 0 is off.
        whole: what the mean divides by; without it, the tokens given here.
        level: the ratio is each token's own; "sequence", that of its whole answer (the product of all); or "sequence
            mean", the geometric mean of them.

    Source: Schulman et al. 2017, equation 7; dual clip: Ye et al. 2020, arXiv:1912.09729, equation 5; sequence:
    Ahmadian et al. 2024 (RLOO), arXiv:2402.14740; sequence mean: Zheng et al. 2025 (GSPO), arXiv:2507.18071, eq. 7.
    """
    whole = whole or Whole("token", mask.sum().clamp(min=1), len(mask), mask.shape[1])
    moved = torch.where(mask, logp - old_logp, 0.0)
    log_ratio = moved
    if level != "token":
        of_answer = moved.sum(1, keepdim=True)
        of_answer = of_answer / mask.sum(1, keepdim=True).clamp(min=1) if level == "sequence mean" else of_answer
        log_ratio = torch.where(mask, of_answer, 0.0)
    ratio = log_ratio.clamp(-20, 20).exp()
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip, 1 + (clip_high or clip))
    worst = torch.maximum(unclipped, clipped)
    if dual_clip:
        worst = torch.where(advantages < 0, torch.minimum(worst, -advantages * dual_clip), worst)
    with torch.no_grad():
        stats = (
            masked_mean((clipped > unclipped).float(), mask, whole.tokens),
            masked_mean(0.5 * moved.clamp(-20, 20) ** 2, mask, whole.tokens),
            masked_mean(ratio, mask, whole.tokens),
            torch.where(mask, ratio, 0.0).max(),
        )
    return PolicyLoss(whole.mean(worst, mask), *stats)


def kl_estimate(log_ratio: Tensor, estimator: str) -> Tensor:
    """The KL to the reference per token by one of the estimators, (B, T) -> (B, T). k3+ has the value of k3 and the
    gradient of k2, which on-policy is that of the KL itself."""
    match estimator:
        case "k2":
            return k2(log_ratio)
        case "k3":
            return k3(log_ratio)
        case "k3+":
            slope = k2(log_ratio)
            return k3(log_ratio).detach() + slope - slope.detach()
        case _:
            return k1(log_ratio)


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
