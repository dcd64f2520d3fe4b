"""Which token comes next: the distribution after temperature, top-k and top-p, and one number that picks from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

_BITS = 48  # of each uniform number: the largest is still below 1 after it was multiplied in fp64
# Steele et al. 2014, "Fast splittable pseudorandom number generators", section 5: SplitMix64, as signed numbers.
_STEP = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST, _SECOND = 0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64)


@dataclass(frozen=True, slots=True)
class Sampler:
    """How tokens are drawn. temperature 0 always takes the likeliest. `top_k` 0 and `top_p` 1 change nothing."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


class Drawn(NamedTuple):
    tokens: Tensor  # (N,) int64
    logp: Tensor  # (N,) fp32, nats, under the distribution the token was drawn from
    logits: Tensor  # (N, V) fp32, of that distribution: what is left out has -inf
    total: Tensor  # (N, 1) fp32: log of the sum of their exponentials


class Noise:
    """One uniform number for each token of each answer, whenever it is asked for.

    A generator hands over one seed; the number of token t of answer n is a hash of (seed, n, t). So what an answer says
    depends on the generator's state and its own number, not on which answers are written beside it or how many at once.
    """

    def __init__(self, answers: int, generator: torch.Generator, device: torch.device) -> None:
        seed = torch.randint(1 << 62, (1,), generator=generator, device=generator.device).to(device)
        self._keys = _mix(seed + _STEP * torch.arange(1, answers + 1, device=device))

    def at(self, answers: Tensor, places: Tensor) -> Tensor:
        """(N,) answers and (N,) places within them -> (N,) fp64 in [0, 1)."""
        bits = _mix(self._keys[answers] + _STEP * (places + 1))
        return ((bits >> (64 - _BITS)) & ((1 << _BITS) - 1)).double() * 2.0**-_BITS


def draw(logits: Tensor, sampler: Sampler, noise: Tensor | None) -> Drawn:
    """One token for each row of logits (N, V), by inverting its cumulative distribution at the noise (N,).

    Without noise, or at temperature 0, it is the likeliest token, and the distribution that of temperature 1.
    """
    if noise is None or sampler.temperature == 0:
        total = logits.logsumexp(-1, keepdim=True)
        tokens = logits.argmax(-1)
        return Drawn(tokens, _chosen(logits, total, tokens), logits, total)
    if sampler.temperature != 1:
        logits = logits / sampler.temperature
    if sampler.top_k and sampler.top_k < logits.shape[-1]:
        least = logits.topk(sampler.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampler.top_p < 1:
        ordered, places = logits.sort(descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        drop = torch.zeros_like(before, dtype=torch.bool).scatter(-1, places, before >= sampler.top_p)
        logits = logits.masked_fill(drop, -torch.inf)
    total = logits.logsumexp(-1, keepdim=True)
    reached = (logits - total).exp_().cumsum(-1, dtype=torch.float64)
    # The first token whose sum is above the number has a share of its own: one of probability 0 is never drawn.
    tokens = torch.searchsorted(reached, noise.unsqueeze(1) * reached[:, -1:], right=True).squeeze(1)
    tokens = tokens.clamp(max=logits.shape[-1] - 1)  # only where a logit is no number does none reach it
    return Drawn(tokens, _chosen(logits, total, tokens), logits, total)


def likeliest(drawn: Drawn, count: int) -> list[list[tuple[int, float]]]:
    """For each row the likeliest tokens with their log-probabilities; those of probability 0 are left out."""
    if not count:
        return [[] for _ in drawn.tokens]
    values, places = drawn.logits.topk(min(count, drawn.logits.shape[-1]))
    rows = zip(places.tolist(), (values - drawn.total).tolist(), strict=True)
    return [[(t, v) for t, v in zip(*row, strict=True) if v > -float("inf")] for row in rows]


def _chosen(logits: Tensor, total: Tensor, tokens: Tensor) -> Tensor:
    return (logits.gather(-1, tokens.unsqueeze(-1)) - total).squeeze(-1)


def _mix(x: Tensor) -> Tensor:
    """64 bits to 64 bits, one to one; each bit of `x` moves about half of the others. Products wrap around."""
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    """To the right, filled up with zeros: torch fills up with the sign."""
    return (x >> by) & ((1 << (64 - by)) - 1)
