"""One round of answers with everything PPO needs to know about them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.data.records import Prompt
from rlhf_engine.models.sampling import Answer, Sampler, complete
from rlhf_engine.runtime.context import Clock, RunContext
from rlhf_engine.tasks.ppo.actors import POLICY, REFERENCE, Actors, Batch
from rlhf_engine.tasks.ppo.reward_shaping import overlong_penalty, repetition_penalty, without_end
from rlhf_engine.tasks.ppo.spec import PPOSpec


@dataclass(frozen=True, slots=True)
class Question:
    prompt: Prompt
    ids: list[int]


@dataclass(frozen=True, slots=True)
class Rollout:
    """All (B, R) unless said otherwise, in the order in which the first epoch learns from them."""

    batch: Batch
    logp: Tensor
    ref_logp: Tensor
    entropy: Tensor
    values: Tensor
    value_after: Tensor  # (B,): the value after the last token, for answers that were cut off
    raw_scores: Tensor  # (B,): straight from the reward model
    scores: Tensor  # (B,): after the penalties of the spec, before scaling and clipping
    ended: Tensor  # (B,): bool, the answer has its end token
    mask: Tensor

    @property
    def lengths(self) -> Tensor:
        """Tokens of each answer, (B,)."""
        return self.mask.sum(1)

    @property
    def log_ratio(self) -> Tensor:
        """log pi - log pi_ref per token."""
        return torch.where(self.mask, self.logp - self.ref_logp, 0.0)


@torch.no_grad()
def rollout(actors: Actors, spec: PPOSpec, run: RunContext, questions: list[Question], clock: Clock) -> Rollout:
    """Write an answer to each question and measure it under every role. Each process writes its share; all get all."""
    mine = run.world.share(questions)
    prompt_ids = [q.ids for q in mine]
    sampler = Sampler(spec.response_tokens, spec.temperature)
    with clock("rollout"):
        answers = complete(actors.backbone, POLICY, prompt_ids, sampler, run.sampling_rng, run.safe_point)
    with clock("score"):
        raw = actors.scores([q.prompt for q in mine], prompt_ids, answers, spec.micro_batch_size)
        shaped = shape(raw, answers, spec)
        ended = torch.tensor([a.finish == "eos" for a in answers], device=run.device)
        prompt_width = max(len(q.ids) for q in questions)
        width = run.world.largest(max(len(a.tokens) for a in answers))
        local = actors.collate(prompt_ids, [a.tokens for a in answers], prompt_width, width)
        ids, attention, mask = (run.world.gather(t) for t in (local.ids, local.attention, local.mask))
        batch = Batch(ids, attention, mask, prompt_width)
        raw, shaped, ended = (run.world.gather(t) for t in (raw, shaped, ended))
        parts = [measure(actors, batch.rows(rows), spec, run) for rows in micro_batches(len(questions), spec)]
    logp, ref_logp, entropy, values, after = (torch.cat(column) for column in zip(*parts, strict=True))
    return Rollout(batch, logp, ref_logp, entropy, values, after, raw, shaped, ended, batch.answer_mask)


def measure(actors: Actors, batch: Batch, spec: PPOSpec, run: RunContext) -> tuple[Tensor, ...]:
    run.safe_point()
    policy = actors.logprobs(POLICY, batch, spec.temperature)
    reference = actors.logprobs(REFERENCE, batch, spec.temperature)
    values, after = actors.values(batch)
    return policy.logp, reference.logp, policy.entropy, values, after


def micro_batches(count: int, spec: PPOSpec) -> list[slice]:
    """The rows of each forward pass: never across two minibatches, so the first epoch repeats them exactly.

    The same rows in the same rectangle give the same bits: that is why the first probability ratio is 1, and not
    merely close to it.
    """
    return [
        slice(start, min(start + spec.micro_batch_size, mini + spec.minibatch_size))
        for mini in range(0, count, spec.minibatch_size)
        for start in range(mini, mini + spec.minibatch_size, spec.micro_batch_size)
    ]


def shape(raw: Tensor, answers: list[Answer], spec: PPOSpec) -> Tensor:
    """Scores with the penalties of the spec, in their fixed order."""
    scores = raw.clone()
    lengths = torch.tensor([len(a.tokens) for a in answers], device=raw.device)
    if spec.overlong_buffer:
        scores += overlong_penalty(lengths, spec.response_tokens, spec.overlong_buffer)
    if spec.repetition_penalty:
        scores += repetition_penalty([a.tokens for a in answers], spec.repetition_penalty).to(raw.device)
    ended = torch.tensor([a.finish == "eos" for a in answers], device=raw.device)
    return without_end(scores, ended, spec.missing_eos, spec.missing_eos_penalty)


def require_identities(actors: Actors, spec: PPOSpec, found: Rollout) -> None:
    """At the start the policy is its own reference: KL is exactly 0 and the first ratio exactly 1. Else do not start.

    Exactly on a CPU in fp32. Other devices and formats may differ in the last bits: 1e-4 in fp32, 2e-2 in bf16.

    Raises:
        ModelError: says which identity does not hold, by how much, and what that means.
    """
    exact = (
        found.logp.device.type == "cpu" and next(iter(actors.backbone.base.model.parameters())).dtype == torch.float32
    )
    bf16 = actors.backbone.base.model.dtype != torch.float32
    tolerance = 0.0 if exact else 2e-2 if bf16 else 1e-4
    drift = found.log_ratio.abs().max().item()
    if drift > tolerance:
        raise ModelError(
            f"Before the first update the KL to the reference is not 0: policy and reference are {drift:.3g} nats "
            "apart on a token.",
            "The reference must be the policy as it starts: base and SFT adapter together.",
        )
    first = micro_batches(len(found.logp), spec)[0]
    with torch.enable_grad():
        again = actors.logprobs(POLICY, found.batch.rows(first), spec.temperature).logp
    off = torch.where(found.mask[first], (again - found.logp[first]).exp() - 1, 0.0).abs().max().item()
    if off > tolerance:
        raise ModelError(
            f"Before the first update the probability ratio is not 1, but up to {1 + off:.6g}.",
            "The training pass does not reproduce the sampling pass: look for dropout, or another precision.",
        )
