"""Reward modelling. Read `train` top to bottom: it is the whole algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert, Sample
from rlhf_engine.data.chat import prompt_format, render
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.data.records import Comparison, text_of
from rlhf_engine.data.within import within
from rlhf_engine.models.adapters import load_adapter, new_lora, start_adapter
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.course import Course
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.load import ModelSource
from rlhf_engine.models.opening import open_backbone
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.models.sampling import Sampler, complete
from rlhf_engine.runtime.context import Means, RunContext
from rlhf_engine.tasks.reward.loss import bradley_terry_loss, centering_loss
from rlhf_engine.tasks.reward.spec import RewardSpec

EVALUATED = 512  # held-out pairs measured each time


@dataclass(frozen=True, slots=True)
class Pair:
    """Both answers as token ids with their prompt, and how much better the chosen one is (1 to 3)."""

    chosen: list[int]
    rejected: list[int]
    strength: int
    record: Comparison

    @property
    def longest(self) -> int:
        return max(len(self.chosen), len(self.rejected))


def train(spec: RewardSpec, run: RunContext) -> None:
    """Score the preferred answers higher, one batch at a time; then give the scores mean 0 and deviation 1."""
    dataset = open_dataset(run.project_root, spec.dataset, "comparisons")  # first: it may be wrong, and is quick
    backbone, source = open_backbone(spec.model, run, spec)
    start_adapter(backbone, "reward", source, new_lora(spec))
    backbone.add_head("reward", trainable=True)
    run.stage("Reading the comparisons")
    pairs, heldout = (read(backbone, dataset, split, spec, run) for split in ("train", "heldout"))
    if not pairs:
        raise DataError(
            f"{dataset.info.name} has no comparisons to train on.", "Judge some in Compare, or import a file."
        )
    heldout = heldout[:EVALUATED]

    optimizer = optimizer_for(backbone, "reward", spec)
    about = {"prompt_format": prompt_format(backbone.base.tokenizer, spec.template)}
    course = Course(spec, run, backbone, "reward", optimizer, len(pairs), dataset, source, about=about)

    for step, rate, rows in course.steps():
        values = learn(backbone, [pairs[i] for i in rows], spec, run, optimizer, rate)
        if heldout and course.evaluates(step):
            values |= evaluate(backbone, heldout, spec.micro_batch_size)
        course.report(step, rate, values)
        if course.shows(step):
            show(backbone, heldout[:4], step, run)

    facts = normalise(backbone, source, dataset, spec, run) if spec.normalise_on else {}
    course.produce("reward_model", facts | (evaluate(backbone, heldout, spec.micro_batch_size) if heldout else {}))


def read(backbone: Backbone, dataset: Dataset, split: str, spec: RewardSpec, run: RunContext) -> list[Pair]:
    """The comparisons of one split as token ids. Pairs too long for the model are left out and counted."""
    tokenizer = backbone.base.tokenizer
    pairs = [
        Pair(
            render(tokenizer, r.prompt, r.chosen, spec.template).ids,
            render(tokenizer, r.prompt, r.rejected, spec.template).ids,
            r.strength,
            r,
        )
        for r in dataset.records(split)
        if isinstance(r, Comparison)
    ]
    what, context = f"comparisons ({split})", backbone.base.context
    kept, left_out = within(pairs, lambda pair: pair.longest, spec.max_tokens, context, what, split == "train")
    if left_out:
        run.emit(left_out)
    return kept


def scores(backbone: Backbone, pairs: list[Pair], micro_batch: int) -> tuple[Tensor, Tensor]:
    """Scores of the chosen and of the rejected answers, (N,) each, from one forward pass over both."""
    both = backbone.score("reward", [p.chosen for p in pairs] + [p.rejected for p in pairs], 2 * micro_batch)
    chosen, rejected = both.split(len(pairs))
    return chosen, rejected


def learn(
    backbone: Backbone,
    batch: list[Pair],
    spec: RewardSpec,
    run: RunContext,
    optimizer: torch.optim.Optimizer,
    rate: float,
) -> dict[str, float]:
    """One optimiser step on a batch, cut into micro-batches whose gradients add up exactly to the batch's."""
    mine = run.world.share(batch)
    sums = torch.zeros(4, device=run.device)  # loss, accuracy, margin, squared centre
    backbone.train(True)
    for start in range(0, len(mine), spec.micro_batch_size):
        run.safe_point()
        part = mine[start : start + spec.micro_batch_size]
        chosen, rejected = scores(backbone, part, spec.micro_batch_size)
        margins = spec.margin * torch.tensor([float(p.strength - 1) for p in part], device=run.device)
        fit = bradley_terry_loss(chosen, rejected, margins, spec.label_smoothing)
        centre = centering_loss(chosen, rejected)
        (fit + spec.centering * centre).sum().div(len(batch)).backward()
        rows = torch.stack([fit, (chosen > rejected).float(), chosen - rejected, centre]).detach()
        sums += rows.sum(1) / len(batch)
    backbone.train(False)
    run.world.sum_([sums])
    means = Means()
    means.add(train__loss=sums[0], train__accuracy=sums[1], train__margin=sums[2], train__centre=sums[3])
    means.add(train__grad_norm=run.step(optimizer, rate, spec.max_grad_norm))
    return means.result()


@torch.no_grad()
def evaluate(backbone: Backbone, heldout: list[Pair], micro_batch: int) -> dict[str, float]:
    """Loss, accuracy and margin on prompts never trained on, and how far "the longer answer wins" would get."""
    parts = [scores(backbone, heldout[i : i + micro_batch], micro_batch) for i in range(0, len(heldout), micro_batch)]
    chosen, rejected = (torch.cat(column) for column in zip(*parts, strict=True))
    longer = [float(len(p.chosen) > len(p.rejected)) + 0.5 * (len(p.chosen) == len(p.rejected)) for p in heldout]
    return {
        "heldout/loss": bradley_terry_loss(chosen, rejected).mean().item(),
        "heldout/accuracy": (chosen > rejected).float().mean().item(),
        "heldout/margin": (chosen - rejected).mean().item(),
        "heldout/longer_wins": sum(longer) / len(longer),
    }


@torch.no_grad()
def normalise(
    backbone: Backbone, source: ModelSource, dataset: Dataset, spec: RewardSpec, run: RunContext
) -> dict[str, Any]:
    """Give the head a mean and a deviation, so that answers of the starting model score 0 +- 1 on average.

    The scale of a Bradley-Terry score is arbitrary; with this one, a KL penalty means the same for every reward model.
    Source: Ziegler et al. 2019, section 2 (gain and bias).
    """
    if source.adapter is None:
        role = PLAIN
    else:
        load_adapter(backbone, "start", source)
        role = "start"
    tokenizer = backbone.base.tokenizer
    distinct = {text_of(r.prompt): r.prompt for r in dataset.records("train")}
    limit = backbone.base.context - spec.response_tokens - 1
    prompts = [render(tokenizer, prompt, template=spec.template).ids for prompt in distinct.values()]
    prompts = [p for p in prompts if len(p) <= limit][: spec.normalise_on]
    rng = torch.Generator(device=run.device).manual_seed(spec.seed)
    sequences: list[list[int]] = []
    for start in range(0, len(prompts), 32):
        run.stage("Normalising on answers of the starting model", start, len(prompts))
        part = prompts[start : start + 32]
        answers = complete(backbone, role, part, Sampler(spec.response_tokens), rng, run.safe_point)
        for prompt, answer in zip(part, answers, strict=True):
            sequences.append(prompt + answer.ended_by(backbone.base.eos_ids[0]))
    if len(sequences) < 2:
        run.emit(Alert("warning", "There were too few prompts to normalise the scores.", "Add comparisons."))
        return {}
    raw = backbone.score("reward", sequences, spec.micro_batch_size)
    head = cast(ScalarHead, backbone.heads["reward"])
    head.mean.copy_(raw.mean())
    head.std.copy_(raw.std().clamp(min=1e-6))
    high = backbone.score("reward", sequences, spec.micro_batch_size).quantile(0.99)
    return {
        "normalised_on": len(sequences),
        "raw_mean": raw.mean().item(),
        "raw_std": raw.std().item(),
        "p99": high.item(),
    }


@torch.no_grad()
def show(backbone: Backbone, pairs: list[Pair], step: int, run: RunContext) -> None:
    """A few held-out pairs with their scores: the chosen answer as the sample, the rejected one beside it."""
    if not pairs:
        return
    chosen, rejected = scores(backbone, pairs, len(pairs))
    for pair, good, bad in zip(pairs, chosen.tolist(), rejected.tolist(), strict=True):
        rejected_text = f"{pair.record.rejected}  [{bad:+.2f}]"
        run.emit(Sample(step, text_of(pair.record.prompt), pair.record.chosen, good, rejected_text))
