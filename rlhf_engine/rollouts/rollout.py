"""One round of answers with everything a method needs to know about them."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.contract.online import RolloutFields
from rlhf_engine.data.questions import Question
from rlhf_engine.models.sampling import SLOTS, Answer, Sampler, complete
from rlhf_engine.rewards.shaping import penalised
from rlhf_engine.rollouts.actors import POLICY, REFERENCE, Actors
from rlhf_engine.rollouts.batch import Batch, micro_batches
from rlhf_engine.runtime.context import Clock, RunContext


@dataclass(frozen=True, slots=True)
class Rollout:
    """All (B, R) unless said otherwise, in the order in which the first epoch learns from them."""

    batch: Batch
    logp: Tensor
    ref_logp: Tensor
    entropy: Tensor
    raw_scores: Tensor  # (B,): the weighted sum of the reward's components
    scores: Tensor  # (B,): after the penalties of the spec, before scaling and clipping
    ended: Tensor  # (B,): bool, the answer has its end token
    mask: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)  # (B,) each: the components' own numbers
    gold: Tensor | None = None  # (B,): what the gold proxy says, which rewards nothing
    policy_measured: bool = True  # else `logp` and `entropy` are filled in by the first pass that learns

    @property
    def lengths(self) -> Tensor:
        """Tokens of each answer, (B,)."""
        return self.mask.sum(1)

    @property
    def log_ratio(self) -> Tensor:
        """log pi - log pi_ref per token."""
        return torch.where(self.mask, self.logp - self.ref_logp, 0.0)


def rollout(
    actors: Actors, spec: RolloutFields, run: RunContext, questions: list[Question], clock: Clock, policy: bool = True
) -> Rollout:
    """Write an answer to each question and measure it under each role. Each process writes its share; all get all.

    `policy` False leaves the policy's own log-probabilities to the first pass that learns."""
    with clock("rollout"):
        answers = run.attempt("rollout", write, actors, spec, run, run.world.share(questions))
    with clock("score"):
        return run.attempt("scoring", score, actors, spec, run, questions, answers, policy)


def write(actors: Actors, spec: RolloutFields, run: RunContext, questions: list[Question]) -> list[Answer]:
    """The policy's answers, written side by side as far as memory lets them."""
    prompts, sampler = [q.ids for q in questions], Sampler(spec.response_tokens, spec.temperature)
    slots = run.at_once(SLOTS, len(prompts))
    return complete(actors.backbone, POLICY, prompts, sampler, run.sampling_rng, run.safe_point, slots=slots)


@torch.no_grad()
def score(
    actors: Actors,
    spec: RolloutFields,
    run: RunContext,
    questions: list[Question],
    answers: list[Answer],
    policy: bool = True,
) -> Rollout:
    """What is known of this process's `answers` and of those of all others. `questions` are everyone's."""
    mine = run.world.share(questions)
    said = actors.rewards(mine, answers)
    gold = actors.rewards.gold_scores(mine, answers)
    ended = torch.tensor([a.finish == "eos" for a in answers], device=run.device)
    scores = penalised(said.total, [a.tokens for a in answers], ended, spec)
    prompt_width = max(len(q.ids) for q in questions)
    width = run.world.largest(max(len(a.tokens) for a in answers))
    local = Batch.of(actors.backbone, [q.ids for q in mine], [a.tokens for a in answers], prompt_width, width)
    gather = run.world.gather
    batch = Batch(gather(local.ids), gather(local.attention), gather(local.mask), prompt_width)
    measured = [measure(actors, batch.rows(part), spec, run, policy) for part in passes(len(questions), spec, run)]
    logp, ref_logp, entropy = (torch.cat(column) for column in zip(*measured, strict=True))
    return Rollout(
        batch,
        logp,
        ref_logp,
        entropy,
        gather(said.total),
        gather(scores),
        gather(ended),
        batch.answer_mask,
        {name: gather(part) for name, part in said.parts.items()},
        None if gold is None else gather(gold),
        policy,
    )


def passes(count: int, spec: RolloutFields, run: RunContext) -> list[slice]:
    """The rows of each forward pass, which learning has to repeat (see `micro_batches`)."""
    return micro_batches(count, spec.minibatch_size, run.at_once(spec.micro_batch_size, spec.minibatch_size))


def measure(
    actors: Actors, batch: Batch, spec: RolloutFields, run: RunContext, policy: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities under policy and reference, and the policy's entropy, (B, R) each; 0 for what is left out."""
    run.safe_point()
    reference = actors.logprobs(REFERENCE, batch, spec.temperature).logp
    if not policy:
        return torch.zeros_like(reference), reference, torch.zeros_like(reference)
    mine = actors.logprobs(POLICY, batch, spec.temperature)
    return mine.logp, reference, mine.entropy


def require_identities(
    actors: Actors, spec: RolloutFields, found: Rollout, rows: list[slice], alike: bool = True
) -> None:
    """At the start the policy is its own reference: KL is exactly 0 and the first ratio exactly 1. Else do not start.

    Exactly on a CPU in fp32, where the rollout was measured in the same `rows`. Other devices, formats and rows may
    differ in the last bits: 1e-4 in fp32, 2e-2 in bf16.

    Raises:
        ModelError: says which identity does not hold, by how much, and what that means.
    """
    tolerance = tolerance_of(actors)
    drift = found.log_ratio.abs().max().item()
    if drift > tolerance:
        raise ModelError(
            f"Before the first update the KL to the reference is not 0: policy and reference are {drift:.3g} nats "
            "apart on a token.",
            "The reference must be the policy as it starts: base and SFT adapter together.",
        )
    first = rows[0]
    with torch.enable_grad():
        again = actors.logprobs(POLICY, found.batch.rows(first), spec.temperature).logp
    off = torch.where(found.mask[first], (again - found.logp[first]).exp() - 1, 0.0).abs().max().item()
    if off > (tolerance if alike else max(tolerance, 1e-4)):
        raise ModelError(
            f"Before the first update the probability ratio is not 1, but up to {1 + off:.6g}.",
            "The training pass does not reproduce the sampling pass: look for dropout, or another precision.",
        )


def tolerance_of(actors: Actors) -> float:
    """How far an identity may be off: not at all on a CPU in fp32, where the same rows give the same bits."""
    model = actors.backbone.base.model
    if model.dtype != torch.float32:
        return 2e-2
    return 0.0 if model.device.type == "cpu" else 1e-4
