"""Reward modelling. Read `train` top to bottom: it is the whole algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from rlhf_engine.contract.events import Sample
from rlhf_engine.data.chat import prompt_format
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.data.records import text_of
from rlhf_engine.models.adapters import new_lora, start_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.course import Course
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.opening import open_backbone
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.models.previews import AT_ONCE
from rlhf_engine.runtime.context import Means, RunContext
from rlhf_engine.tasks.reward.evaluate import EVALUATED, Scored, curve, figures, score_pairs
from rlhf_engine.tasks.reward.groups import Group, Pair, Table, cut, grouped, read, some_of
from rlhf_engine.tasks.reward.loss import (
    best_loss,
    bradley_terry_loss,
    centering_loss,
    order_loss,
    rao_kupper_loss,
    split_tie_loss,
)
from rlhf_engine.tasks.reward.normalise import normalise
from rlhf_engine.tasks.reward.spec import LISTS, RewardSpec
from rlhf_engine.tasks.reward.ties import TieThreshold
from rlhf_engine.tasks.reward.verdict import facts_of, warnings

REWARD = "reward"  # the role


def train(spec: RewardSpec, run: RunContext) -> None:
    """Score the preferred answers higher, one batch at a time; then give the scores mean 0 and deviation 1."""
    dataset = open_dataset(run.project_root, spec.dataset, "comparisons")  # first: it may be wrong, and is quick
    backbone, source = open_backbone(spec.model, run, spec)
    start_adapter(backbone, REWARD, source, new_lora(spec))
    head = ScalarHead(backbone.hidden_size, count=spec.heads, rule=spec.ensemble_score, k=spec.ensemble_k)
    backbone.put_head(REWARD, head, trainable=True)
    run.stage("Reading the comparisons")
    pairs, heldout = (read(backbone, dataset, split, spec, run) for split in ("train", "heldout"))
    pairs = some_of(pairs, spec.labels, spec.seed)
    groups = grouped(pairs, dataset.info.name, spec, run)
    heldout = heldout[:EVALUATED]

    optimizer = optimizer_for(backbone, REWARD, spec)
    ties = TieThreshold.of(spec, groups).to(run.device)
    if ties.learned:
        ties.join(optimizer, spec.learning_rate)
    kept: dict[str, Any] = {"ties": ties} if ties.learned else {}
    about = {
        "prompt_format": prompt_format(backbone.base.tokenizer, spec.template),
        "prompts_from": spec.prompts_from,
    }
    course = Course(spec, run, backbone, REWARD, optimizer, len(groups), dataset, source, about=about, **kept)

    def measured() -> Scored:
        size = run.at_once(spec.micro_batch_size, len(heldout))
        return score_pairs(backbone, REWARD, heldout, size, ties.log_theta.item())

    for step, rate, rows in course.steps():
        batch = [groups[i] for i in rows]
        values = run.attempt("update", learn, backbone, batch, ties, spec, run, optimizer, rate)
        if heldout and course.evaluates(step):
            scored = run.attempt("scoring", measured)
            values |= figures(scored)
            if scored.decided.any():
                run.emit(curve(step, scored))
        course.report(step, rate, values)
        if course.shows(step):
            show(backbone, heldout[: spec.sample_prompts], step, run)

    facts: dict[str, Any] = {"tie_theta": ties.log_theta.exp().item()} if spec.ties == "rao-kupper" else {}
    if spec.normalise_on:
        facts |= normalise(backbone, REWARD, source, dataset, spec, run)
    final = run.attempt("scoring", measured) if heldout else None
    found = figures(final) if final else {}
    for alert in warnings(final, found):
        run.emit(alert)
    facts["labels"] = len(pairs)
    course.produce("reward_model", facts | found | (facts_of(final) if final else {}))


def learn(
    backbone: Backbone,
    batch: list[Group],
    ties: TieThreshold,
    spec: RewardSpec,
    run: RunContext,
    optimizer: torch.optim.Optimizer,
    rate: float,
) -> dict[str, float]:
    """One optimiser step on a batch, cut into micro-batches whose gradients add up exactly to the batch's."""
    mine = run.world.share(batch)
    head = cast(ScalarHead, backbone.heads[REWARD])
    sums = torch.zeros(4, device=run.device)  # loss, accuracy, margin, squared centre
    decided = sum(sum(strength > 0 for *_, strength in group.said) / len(group.said) for group in batch)
    backbone.train(True)
    for part in cut(mine, 2 * run.at_once(spec.micro_batch_size, spec.batch_size)):
        run.safe_point()
        table = Table.of(part, run.device)
        each = backbone.each_score(REWARD, table.answers, len(table.answers))  # (answers, heads)
        fit, centre = losses(each, table, ties.log_theta, spec)
        (fit + spec.centering * centre).mean(1).sum().div(len(batch)).backward()
        with torch.no_grad():
            score = head.together(each)
            apart = score[table.better] - score[table.worse]
            share = table.share * (table.strength > 0) / max(decided, 1e-9)
            sums[0] += fit.mean(1).sum() / len(batch)
            sums[1] += (share * (apart > 0)).sum()
            sums[2] += (share * apart).sum()
            sums[3] += centre.mean(1).sum() / len(batch)
    backbone.train(False)
    run.world.sum_([sums])
    means = Means()
    means.add(train__loss=sums[0], train__centre=sums[3])
    if decided:  # a batch may hold nothing but ties
        means.add(train__accuracy=sums[1], train__margin=sums[2])
    if ties.learned:
        means.add(train__tie_theta=ties.log_theta.exp())
    means.add(train__grad_norm=run.step(optimizer, rate, spec.max_grad_norm))
    return means.result()


def losses(each: Tensor, table: Table, log_theta: Tensor, spec: RewardSpec) -> tuple[Tensor, Tensor]:
    """The loss of each comparison (or list) under each head, and how far off centre its scores are; both weighted by
    how often the head meets the prompt, and by one over the prompt's comparisons. (answers, H) -> (R, H) x 2."""
    if spec.grouping in LISTS:
        scores = each[table.places].transpose(1, 2)  # (G, H, K)
        there = table.there.unsqueeze(1)
        fit = (best_loss if spec.grouping == "best" else order_loss)(scores, there)
        mean = torch.where(there, scores, 0.0).sum(-1) / there.sum(-1)
        return fit * table.list_weights, centering_loss(mean, mean) * table.list_weights
    better, worse = each[table.better], each[table.worse]  # (C, H)
    tied = (table.strength == 0).unsqueeze(1)
    margins = spec.margin * (table.strength - 1).clamp(min=0).unsqueeze(1)
    if spec.ties == "rao-kupper":
        fit = rao_kupper_loss(better, worse, tied, log_theta, margins, spec.label_smoothing)
    else:
        win = bradley_terry_loss(better, worse, margins, spec.label_smoothing)
        fit = torch.where(tied, split_tie_loss(better, worse), win)
    weights = table.weights * table.share.unsqueeze(1)
    return fit * weights, centering_loss(better, worse) * weights


@torch.no_grad()
def show(backbone: Backbone, pairs: Sequence[Pair], step: int, run: RunContext) -> None:
    """A few held-out pairs with their scores: the chosen answer as the sample, the rejected one beside it."""
    if not pairs:
        return
    scored = score_pairs(backbone, REWARD, pairs, min(len(pairs), AT_ONCE))
    for pair, good, bad in zip(pairs, scored.chosen.tolist(), scored.rejected.tolist(), strict=True):
        rejected_text = f"{pair.record.rejected}  [{bad:+.2f}]"
        run.emit(Sample(step, text_of(pair.record.prompt), pair.record.chosen, good, rejected_text))
