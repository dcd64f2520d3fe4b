"""Online DPO. Read `train` top to bottom: it is the whole algorithm."""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf_engine.contract.preference import takes_means
from rlhf_engine.data.batches import parts
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.preferences.losses import dpo_loss
from rlhf_engine.rollouts.actors import POLICY, Actors
from rlhf_engine.rollouts.groups import Picked, best_and_worst, group_metrics
from rlhf_engine.rollouts.practice import Practice
from rlhf_engine.rollouts.rollout import Rollout
from rlhf_engine.rollouts.stepping import guarded_step
from rlhf_engine.runtime.context import Means, RunContext, scheduled
from rlhf_engine.tasks.online_dpo.spec import OnlineDPOSpec


def train(spec: OnlineDPOSpec, run: RunContext) -> None:
    """Write answers, pair the best with the worst of each prompt, and widen the gap between them."""
    dataset = open_dataset(run.project_root, spec.dataset, "prompts")  # first: it may be wrong, and is quick
    actors = Actors.load(spec, run)
    optimizer = optimizer_for(actors.backbone, POLICY, spec)
    then = f"best against worst of {spec.group_size} → DPO with beta {spec.beta:g}"
    practice = Practice(
        spec, run, actors, dataset, then, group=spec.group_size, beta=spec.beta, policy_optimizer=optimizer
    )

    for update, found in practice.updates():
        scores = practice.shape(found)
        pairs = best_and_worst(scores.final, spec.group_size)
        with practice.clock("update"):
            said = learn(spec, run, actors, optimizer, update, found, pairs)
        said |= group_metrics(scores.final, spec.group_size)
        said["pairs/margin"] = (scores.final[pairs.best] - scores.final[pairs.worst]).mean().item()
        practice.report(update, found, scores, said)

    practice.produce()


def learn(
    spec: OnlineDPOSpec,
    run: RunContext,
    actors: Actors,
    optimizer: torch.optim.Optimizer,
    update: int,
    found: Rollout,
    pairs: Picked,
) -> dict[str, float]:
    """`spec.epochs` passes over the pairs of an update; those without a difference are left out."""
    rate = scheduled(spec.learning_rate, spec.schedule, spec.warmup, update, spec.updates)
    means = Means()
    count, size = len(pairs.best), spec.minibatch_size // spec.group_size
    for epoch in range(spec.epochs):
        order = torch.arange(count) if epoch == 0 else torch.randperm(count, generator=run.rng)
        for rows in order.split(size):
            run.safe_point()
            there = run.attempt("update", gradients, spec, run, actors, found, pairs, rows.to(run.device))
            if there is not None:
                means.add(policy__loss=there[0], pairs__accuracy=there[1], pairs__best=there[2], pairs__worst=there[3])
                both = torch.cat([pairs.best[rows.to(run.device)], pairs.worst[rows.to(run.device)]])
                kept = {"old_logp": found.logp[both], "scores": found.scores[both]}
                batch = found.batch.rows(both)
                means.add(policy__grad_norm=guarded_step(spec, run, optimizer, rate, update, batch, kept))
    return {"policy/grad_norm": 0.0, "policy/loss": 0.0, **means.result(), "train/learning_rate": rate}


def gradients(
    spec: OnlineDPOSpec, run: RunContext, actors: Actors, found: Rollout, pairs: Picked, rows: Tensor
) -> Tensor | None:
    """Those of one minibatch of pairs, cut into micro-batches that add up to it exactly. Loss, accuracy, and the mean
    reward of best and worst, (4,); None where none of the pairs has a difference: then there is nothing to learn."""
    rows = rows[pairs.differs[rows]]
    if not len(rows):
        return None
    sums = torch.zeros(4, device=run.device)
    mine = torch.tensor(run.world.share(rows.tolist()), device=run.device, dtype=torch.int64)
    for part in parts(mine, max(1, run.at_once(spec.micro_batch_size, 2 * len(rows)) // 2)):  # two answers each
        chosen, rejected = (implicit_rewards(spec, actors, found, side[part]) for side in (pairs.best, pairs.worst))
        apart = chosen - rejected
        loss = dpo_loss(apart, spec.beta, spec.loss, spec.label_smoothing)
        loss.sum().div(len(rows)).backward()
        told = torch.stack([loss, (apart > 0).float(), spec.beta * chosen, spec.beta * rejected]).detach()
        sums += told.sum(1) / len(rows)
    run.world.sum_([sums])
    return sums


def implicit_rewards(spec: OnlineDPOSpec, actors: Actors, found: Rollout, rows: Tensor) -> Tensor:
    """Log-ratio of whole answers to the reference, summed, or per token where the loss takes means. (N,)."""
    mask = found.mask[rows]
    logp = actors.logprobs(POLICY, found.batch.rows(rows), spec.temperature).logp
    log_ratio = torch.where(mask, logp - found.ref_logp[rows], 0.0).sum(1)
    return log_ratio / mask.sum(1) if takes_means(spec.loss, spec.lengths) else log_ratio
