"""From a reward model's score to a reward per token, in one fixed order:

score -> over-long and repetition penalties -> missing end -> running scale or norm -> clip -> placed on the last token
-> minus beta times the KL estimate per token -> optional whitening. Pure functions; `Moments` is the only thing with a
memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlhf_engine.contract.online import RolloutFields
from rlhf_engine.rewards.rules import repeated_share
from rlhf_engine.tensors import last_index, whiten


def overlong_penalty(lengths: Tensor, limit: int, buffer: int) -> Tensor:
    """0 up to `limit - buffer` tokens, then falling evenly to -1 at `limit`. (B,) -> (B,).

    Source: Yu et al. 2025, "DAPO", equation 13.
    """
    return ((limit - buffer - lengths.float()) / buffer).clamp(-1.0, 0.0)


def repetition_penalty(answers: list[list[int]], weight: float, n: int = 3) -> Tensor:
    """-(1 - distinct / all) * weight over the n-grams of each answer; 0 for answers shorter than n. -> (B,)."""
    return torch.tensor([-weight * repeated_share(answer, n) for answer in answers])


def without_end(scores: Tensor, ended: Tensor, how: str, penalty: float) -> Tensor:
    """Scores of answers that never ended, lowered or replaced. `how` is nothing, subtract or replace. (B,) -> (B,)."""
    match how:
        case "subtract":
            return torch.where(ended, scores, scores - penalty)
        case "replace":
            return torch.where(ended, scores, torch.full_like(scores, -penalty))
        case _:
            return scores


class Moments:
    """Mean and variance of everything seen so far, in float64.

    Source: Chan, Golub and LeVeque 1979, the merging of two samples' moments.
    """

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0, 0.0, 0.0

    def update(self, values: Tensor) -> None:
        batch = values.double()
        count, mean = batch.numel(), batch.mean().item()
        delta, total = mean - self.mean, self.count + count
        self._squares += ((batch - mean) ** 2).sum().item() + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count = total

    @property
    def std(self) -> float:
        """Unbiased; 1 until two different values have been seen."""
        variance = self._squares / (self.count - 1) if self.count > 1 else 0.0
        return float(variance**0.5) or 1.0

    def apply(self, values: Tensor, how: str) -> Tensor:
        """`how` is none, scale (divide by std) or norm (subtract the mean first). Update before you apply."""
        if how == "none":
            return values
        return (values - (self.mean if how == "norm" else 0.0)) / self.std

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean, "squares": self._squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.mean, self._squares = state["count"], state["mean"], state["squares"]


def penalised(raw: Tensor, answers: list[list[int]], ended: Tensor, spec: RolloutFields) -> Tensor:
    """Scores with the penalties of the spec, in their fixed order. (B,) -> (B,)."""
    scores = raw.clone()
    lengths = torch.tensor([len(answer) for answer in answers], device=raw.device)
    if spec.overlong_buffer:
        scores += overlong_penalty(lengths, spec.response_tokens, spec.overlong_buffer)
    if spec.repetition_penalty:
        scores += repetition_penalty(answers, spec.repetition_penalty).to(raw.device)
    return without_end(scores, ended, spec.missing_eos, spec.missing_eos_penalty)


class Shaped(NamedTuple):
    """Scores (B,) after each stage that looks at the whole update."""

    scaled: Tensor
    final: Tensor  # after clipping: what training is given


def shaped(penalised_scores: Tensor, moments: Moments, spec: RolloutFields) -> Shaped:
    """Running scale or norm, then clip. The moments take the batch in before they are used (Chan et al. 1979)."""
    moments.update(penalised_scores)
    scaled = moments.apply(penalised_scores, spec.reward_scaling)
    return Shaped(scaled, scaled.clamp(-spec.score_clip, spec.score_clip) if spec.score_clip else scaled)


def pipeline_of(spec: RolloutFields, then: str) -> str:
    """The way from score to reward as this spec has it, in one line for the log. `then` is what the method adds."""
    stages = ["score"]
    stages += [f"over-long penalty over the last {spec.overlong_buffer} tokens"] if spec.overlong_buffer else []
    stages += [f"repetition penalty {spec.repetition_penalty:g}"] if spec.repetition_penalty else []
    if spec.missing_eos != "nothing":
        stages.append(f"no end: {spec.missing_eos} {spec.missing_eos_penalty:g}")
    stages += [f"running {spec.reward_scaling}"] if spec.reward_scaling != "none" else []
    stages += [f"clip to {spec.score_clip:g}"] if spec.score_clip else []
    return " → ".join([*stages, then])


def token_rewards(scores: Tensor, log_ratio: Tensor, mask: Tensor, beta: float, whitened: bool = False) -> Tensor:
    """-beta * log(pi / pi_ref) on every token, and the score on the last one. (B,), (B, T), (B, T) -> (B, T).

    The last token is the answer's own last, the end token where there is one. `whitened` divides by the standard
    deviation over the batch and keeps the mean. Source: Ouyang et al. 2022, equation 2.
    """
    rewards = torch.where(mask, -beta * log_ratio, 0.0)
    last = last_index(mask)
    rows = torch.arange(len(scores), device=scores.device)[last >= 0]
    rewards[rows, last[rows]] += scores[rows]
    return whiten(rewards, mask, shift_mean=False) if whitened else rewards
