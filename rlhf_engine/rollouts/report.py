"""What is measured after every update, by the names under which it is plotted, and one answer as a sample."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from rlhf_engine.contract.events import Sample
from rlhf_engine.data.chat import answer_text
from rlhf_engine.rewards.rules import repeated_share
from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.loss import k1, k3
from rlhf_engine.rollouts.rollout import Rollout
from rlhf_engine.tensors import masked_mean


def measured(found: Rollout, final_scores: Tensor, beta: float) -> dict[str, float]:
    """All over real answer tokens only. KL and entropy in nats, lengths in tokens."""
    mask = found.mask
    kl_sequence = k1(found.log_ratio).sum(1)
    lengths = found.lengths.float()
    answers = [row[keep].tolist() for row, keep in zip(found.batch.answer_ids, mask, strict=True)]
    quantiles = found.raw_scores.quantile(torch.tensor([0.05, 0.5, 0.95], device=mask.device)).tolist()
    values = {
        "objective/score": found.raw_scores.mean(),
        "objective/score_std": found.raw_scores.std(),
        "objective/score_shaped": final_scores.mean(),
        "reward/penalised": found.scores.mean(),
        "objective/kl_sequence": kl_sequence.mean(),
        "objective/kl_token_k1": masked_mean(k1(found.log_ratio), mask),
        "objective/kl_token_k3": masked_mean(k3(found.log_ratio), mask),
        "objective/rlhf_reward": (final_scores - beta * kl_sequence).mean(),
        "objective/entropy": masked_mean(found.entropy, mask),
        "objective/negative_logp": -masked_mean(found.logp, mask),
        "answers/length_mean": lengths.mean(),
        "answers/length_p95": lengths.quantile(0.95),
        "answers/eos_rate": found.ended.float().mean(),
        "answers/truncated_rate": (~found.ended).float().mean(),
    }
    if len(found.parts) > 1:
        values |= {f"component/{name}": part.float().mean() for name, part in found.parts.items()}
    if found.gold is not None:
        values["objective/gold"] = found.gold.mean()
    numbers = {name: value.item() for name, value in values.items()}
    numbers |= dict(zip(("reward/p5", "reward/p50", "reward/p95"), quantiles, strict=True))
    pairs = [pair for answer in answers for pair in itertools.pairwise(answer)]
    numbers["answers/distinct_2"] = len(set(pairs)) / len(pairs) if pairs else 0.0
    numbers["answers/repeated_3"] = sum(repeated_share(answer, 3) for answer in answers) / len(answers)
    return numbers | {"objective/beta": beta}


def as_sample(actors: Actors, found: Rollout, columns: dict[str, Tensor], row: int, prompt: str, step: int) -> Sample:
    """One answer of the batch just learned from; `columns` (B, R) are what is known of its tokens, with their drift."""
    keep = found.mask[row]
    tokens = found.batch.answer_ids[row][keep].tolist()
    tokenizer = actors.backbone.base.tokenizer
    shown = {name: column[row] for name, column in columns.items()} | {"kl": found.log_ratio[row]}
    return Sample(
        step,
        prompt,
        answer_text(tokenizer, tokens),
        found.raw_scores[row].item(),
        "",
        tuple(tokenizer.decode([t]) for t in tokens),
        {name: tuple(column[keep].tolist()) for name, column in shown.items()},
    )
