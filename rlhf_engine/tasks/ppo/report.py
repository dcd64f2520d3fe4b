"""What is measured after every update, by the names under which it is plotted, and what looks unhealthy."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from rlhf_engine.contract.events import Sample
from rlhf_engine.data.chat import answer_text
from rlhf_engine.models.previews import Fixed
from rlhf_engine.models.sampling import Answer
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.runtime.device import peak_memory
from rlhf_engine.tasks.ppo.actors import POLICY, REFERENCE, Actors
from rlhf_engine.tasks.ppo.loss import explained_variance, k1, k3
from rlhf_engine.tasks.ppo.reward_shaping import repeated_share
from rlhf_engine.tasks.ppo.rollout import Rollout
from rlhf_engine.tasks.ppo.spec import PPOSpec
from rlhf_engine.tensors import masked_mean


def measured(found: Rollout, final_scores: Tensor, returns: Tensor, beta: float) -> dict[str, float]:
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
        "value/mean": masked_mean(found.values, mask),
        "value/explained_variance": explained_variance(found.values, returns, mask),
        "answers/length_mean": lengths.mean(),
        "answers/length_p95": lengths.quantile(0.95),
        "answers/eos_rate": found.ended.float().mean(),
        "answers/truncated_rate": (~found.ended).float().mean(),
    }
    numbers = {name: value.item() for name, value in values.items()}
    numbers |= dict(zip(("reward/p5", "reward/p50", "reward/p95"), quantiles, strict=True))
    pairs = [pair for answer in answers for pair in itertools.pairwise(answer)]
    numbers["answers/distinct_2"] = len(set(pairs)) / len(pairs) if pairs else 0.0
    numbers["answers/repeated_3"] = sum(repeated_share(answer, 3) for answer in answers) / len(answers)
    return numbers | {"objective/beta": beta, "memory/peak": peak_memory() / 1e6}


def watch(values: dict[str, float], step: int, run: RunContext) -> None:
    """Say in a sentence what looks wrong. The bands are starting values, after Axolotl's and TRL's stability notes."""

    def warn(key: str, level: str, text: str, hint: str) -> None:
        run.alert(key, level, text, hint, step)

    kl, cut = values["objective/kl_token_k1"], values["answers/truncated_rate"]
    if values["objective/score_std"] < 1e-4:
        warn("flat", "warning", "All answers score the same: there is nothing to learn from.", "Try other prompts.")
    if kl > 2:
        warn("kl", "danger", f"The drift is {kl:.1f} nats per token.", "Raise the KL penalty.")
    elif kl > 0.5:
        warn("kl", "warning", f"The drift is {kl:.2f} nats per token.", "Read the samples: is the reward being gamed?")
    if (clipped := values["policy/clip_fraction"]) > 0.3:
        warn("clip", "warning", f"{clipped:.0%} of the tokens hit the clip range.", "Lower the learning rate.")
    if values["objective/entropy"] < 0.01:
        warn("entropy", "danger", "The policy has become certain of every token.", "Raise the KL penalty, or stop.")
    if cut > 0.8:
        warn("cut", "warning", f"{cut:.0%} of the answers are cut off.", "Raise the response length.")
    if (norm := values["policy/grad_norm"]) > 10:
        warn("norm", "warning", f"The gradient norm is {norm:.0f}.", "Lower the learning rate.")
    if (high := values.get("reward/above_p99", 0.0)) > 0.5:
        text = f"{high:.0%} of the answers score higher than 99% of the starting model's did."
        warn("high", "info", text, "Read the samples: better answers, or a gamed reward?")


@torch.no_grad()
def explain(
    actors: Actors, spec: PPOSpec, asked: list[Fixed], answers: list[Answer]
) -> list[tuple[float | None, dict[str, tuple[float, ...]]]]:
    """Score of each preview and, per token, its log-probability, its log-ratio to the reference and its value."""
    prompts = [fixed.ids for fixed in asked]
    batch = actors.collate(prompts, [a.tokens for a in answers], 0, 0)
    policy = actors.logprobs(POLICY, batch, spec.temperature).logp
    reference = actors.logprobs(REFERENCE, batch, spec.temperature).logp
    values, _ = actors.values(batch)
    scores = actors.scores([fixed.prompt for fixed in asked], prompts, answers, spec.micro_batch_size).tolist()
    rows = []
    for i, answer in enumerate(answers):
        n = len(answer.tokens)
        columns = {"logprob": policy[i, :n], "kl": (policy - reference)[i, :n], "value": values[i, :n]}
        rows.append((scores[i], {name: tuple(column.tolist()) for name, column in columns.items()}))
    return rows


def as_sample(actors: Actors, found: Rollout, advantages: Tensor, row: int, prompt: str, step: int) -> Sample:
    """One answer of the batch just learned from, with the credit each token was given."""
    keep = found.mask[row]
    tokens = found.batch.answer_ids[row][keep].tolist()
    tokenizer = actors.backbone.base.tokenizer
    columns = {"advantage": advantages[row], "kl": found.log_ratio[row], "value": found.values[row]}
    return Sample(
        step,
        prompt,
        answer_text(tokenizer, tokens),
        found.raw_scores[row].item(),
        "",
        tuple(tokenizer.decode([t]) for t in tokens),
        {name: tuple(column[keep].tolist()) for name, column in columns.items()},
    )
