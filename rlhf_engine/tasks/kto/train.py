"""Kahneman-Tversky optimisation. Read `train` top to bottom: it is the whole algorithm.

The arithmetic is `preferences/losses.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf_engine.contract.events import Alert
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.models.adapters import new_lora, start_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.course import Course
from rlhf_engine.models.opening import open_backbone
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.preferences.answers import GivenAnswer, answer_logprobs
from rlhf_engine.preferences.learning import watch
from rlhf_engine.preferences.losses import kto_baseline, kto_loss
from rlhf_engine.preferences.previews import previews_of
from rlhf_engine.preferences.ratings import Rated, in_parts, liked_among, read_ratings
from rlhf_engine.preferences.reference import POLICY, hold_reference, reference_logprobs, require_identities
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.kto.spec import KTOSpec

EVALUATED = 512  # held-out ratings measured each time
SUMS = 8  # loss, right side; then number, reward and log-probability of the liked ones, and of the disliked ones

Weights = tuple[float, float]  # of a liked and of a disliked answer


def train(spec: KTOSpec, run: RunContext) -> None:
    """Raise liked answers above where answers in general have drifted, and disliked ones below, a batch at a time."""
    dataset = open_dataset(run.project_root, spec.dataset, "ratings")  # first: it may be wrong, and is quick
    backbone, source = open_backbone(spec.model, run, spec)
    start_adapter(backbone, POLICY, source, new_lora(spec))
    ratings, heldout = read_ratings(backbone, dataset, spec, run)
    weights = weigh(ratings, spec, run)
    answers, heldout, size = [rated.answer for rated in ratings], heldout[:EVALUATED], spec.micro_batch_size
    hold_reference(backbone, source, in_parts(ratings, size), in_parts(heldout, size), spec, run)

    previews = previews_of(backbone, dataset, spec, run)
    before = run.attempt("scoring", evaluate, backbone, heldout, spec, weights, run)
    optimizer = optimizer_for(backbone, POLICY, spec)
    course = Course(spec, run, backbone, POLICY, optimizer, len(ratings), dataset, source)

    for step, rate, rows in course.steps():
        if step == 1:
            run.attempt("update", lambda: require_identities(backbone, answers[: run.at_once(size, len(answers))]))
            course.begins_at(before)
        batch = [ratings[i] for i in rows]
        values = run.attempt("update", learn, backbone, batch, spec, weights, run, optimizer, rate)
        if course.evaluates(step):
            values |= run.attempt("scoring", evaluate, backbone, heldout, spec, weights, run)
        course.report(step, rate, values)
        watch(values, before, step, run)
        if course.shows(step):
            for sample in previews.samples(step):
                run.emit(sample)

    course.produce("adapter", run.attempt("scoring", evaluate, backbone, heldout, spec, weights, run))


def weigh(ratings: Sequence[Rated], spec: KTOSpec, run: RunContext) -> Weights:
    """The weights of the two classes, with a word where one is missing or counts for too much."""
    liked = liked_among(ratings)
    disliked = len(ratings) - liked
    given = spec.desirable_weight, spec.undesirable_weight
    if not disliked:
        text = f"All {liked:,} ratings are likes: nothing says what to avoid, so this is little more than fine-tuning."
        run.emit(Alert("warning", text, "Add answers that were not liked."))
        return given
    if not liked:
        text = f"None of the {disliked:,} ratings is a like: answers are only pushed away, and nothing says where to."
        run.emit(Alert("warning", text, "Add answers that were liked."))
        return given
    if spec.balance == "auto":
        return balanced(liked, disliked, given)
    ratio = liked * given[0] / (disliked * given[1]) if given[1] else float("inf")
    if not 1 <= ratio <= 4 / 3 + 1e-9:
        text = f"Liked to disliked answers, in number times weight, are {ratio:.2f} to 1; the paper keeps to 1 to 1.33."
        run.emit(Alert("info", text, "Set the balance to auto, or change the weights."))
    return given


def balanced(liked: int, disliked: int, weights: Weights) -> Weights:
    """The weights, with that of the rarer class raised until both classes count the same."""
    most = max(liked, disliked)
    return weights[0] * most / liked, weights[1] * most / disliked


def learn(
    backbone: Backbone,
    batch: list[Rated],
    spec: KTOSpec,
    weights: Weights,
    run: RunContext,
    optimizer: torch.optim.Optimizer,
    rate: float,
) -> dict[str, float]:
    """One optimiser step on a batch. The baseline is that of the whole batch, whatever the micro-batches."""
    mine = run.world.share(batch)
    size = run.at_once(spec.micro_batch_size, len(mine))
    drift = drift_elsewhere(backbone, mine, size, run)
    run.world.sum_([drift])
    baseline = kto_baseline(drift / len(batch))
    sums = torch.zeros(SUMS, device=run.device)
    for start in range(0, len(mine), size):
        run.safe_point()
        loss, part = losses(backbone, mine[start : start + size], spec, weights, baseline)
        loss.sum().div(len(batch)).backward()
        sums += part
    run.world.sum_([sums])
    norm = run.step(optimizer, rate, spec.max_grad_norm)
    return told(TRAIN, sums, baseline) | {"train/grad_norm": norm.item()}


@torch.no_grad()
def evaluate(
    backbone: Backbone, heldout: Sequence[Rated], spec: KTOSpec, weights: Weights, run: RunContext
) -> dict[str, float]:
    """The same on prompts that are never trained on; nothing where nothing is held out."""
    if not heldout:
        return {}
    size = run.at_once(spec.micro_batch_size, len(heldout))
    baseline = kto_baseline(drift_elsewhere(backbone, heldout, size) / len(heldout))
    parts = [heldout[start : start + size] for start in range(0, len(heldout), size)]
    sums = torch.stack([losses(backbone, part, spec, weights, baseline)[1] for part in parts]).sum(0)
    return told(HELDOUT, sums, baseline)


@torch.no_grad()
def drift_elsewhere(backbone: Backbone, ratings: Sequence[Rated], size: int, run: RunContext | None = None) -> Tensor:
    """Sum of the log-ratios of answers put behind other prompts, nats. ()"""
    total = torch.zeros((), device=backbone.device)
    for start in range(0, len(ratings), size):
        if run is not None:
            run.safe_point()
        total += log_ratio(backbone, [rated.elsewhere for rated in ratings[start : start + size]])[0].sum()
    return total


def log_ratio(backbone: Backbone, answers: Sequence[GivenAnswer]) -> tuple[Tensor, Tensor]:
    """Of whole answers to their reference, nats, and their log-probability per token. (N,) each"""
    now = answer_logprobs(backbone, POLICY, answers)
    return now.total - reference_logprobs(backbone, answers), now.mean


def losses(
    backbone: Backbone, ratings: Sequence[Rated], spec: KTOSpec, weights: Weights, baseline: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss of each rating (N,), and sums of what is plotted (`SUMS`,)."""
    ratio, logp = log_ratio(backbone, [rated.answer for rated in ratings])
    liked = torch.tensor([rated.liked for rated in ratings], device=ratio.device)
    loss = kto_loss(ratio, liked, baseline, spec.beta, *weights)
    right = torch.where(liked, ratio > baseline, ratio < baseline)
    of_class = [
        (column * members).sum()
        for members in (liked.float(), (~liked).float())
        for column in (torch.ones_like(ratio), spec.beta * ratio, logp)
    ]
    return loss, torch.stack([loss.sum(), right.float().sum(), *of_class]).detach()


TRAIN = (
    "train/loss",
    "train/accuracy",
    "train/chosen_reward",
    "train/chosen_logp",
    "train/rejected_reward",
    "train/rejected_logp",
    "train/margin",
    "train/baseline",
)
HELDOUT = (
    "heldout/loss",
    "heldout/accuracy",
    "heldout/chosen_reward",
    "heldout/chosen_logp",
    "heldout/rejected_reward",
    "heldout/rejected_logp",
    "heldout/margin",
    "heldout/baseline",
)


def told(names: tuple[str, ...], sums: Tensor, baseline: Tensor) -> dict[str, float]:
    """Means by name. What is said of a class is left out where the batch has none of it."""
    loss, right, liked, up, up_logp, disliked, down, down_logp = sums.tolist()
    count = liked + disliked
    found: list[float | None] = [loss / count, right / count]
    found += [up / liked, up_logp / liked] if liked else [None, None]
    found += [down / disliked, down_logp / disliked] if disliked else [None, None]
    found += [up / liked - down / disliked if liked and disliked else None, baseline.item()]
    return {name: value for name, value in zip(names, found, strict=True) if value is not None}
