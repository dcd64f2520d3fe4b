"""Supervised fine-tuning. Read `train` top to bottom: it is the whole algorithm."""

from __future__ import annotations

import math

import torch

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.batches import right_pad
from rlhf_engine.data.chat import Rendered, render
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.data.records import Demonstration
from rlhf_engine.data.within import within
from rlhf_engine.models.adapters import new_lora, start_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.course import Course
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.models.opening import open_backbone
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.models.previews import Previews
from rlhf_engine.models.sampling import Sampler
from rlhf_engine.runtime.context import Means, RunContext
from rlhf_engine.tasks.sft.loss import nll_loss
from rlhf_engine.tasks.sft.spec import SFTSpec
from rlhf_engine.tensors import masked_mean

EVALUATED = 256  # held-out demonstrations measured each time
PREVIEW_TOKENS = 64
CANDIDATES = 32  # held-out prompts among which the previews look for some that fit


def train(spec: SFTSpec, run: RunContext) -> None:
    """Make the demonstrated answers likely, one batch at a time."""
    dataset = open_dataset(run.project_root, spec.dataset, "demonstrations")  # first: it may be wrong, and is quick
    backbone, source = open_backbone(spec.model, run, spec)
    start_adapter(backbone, "policy", source, new_lora(spec))

    def rendered(split: str) -> list[Rendered]:
        rows = [
            render(backbone.base.tokenizer, r.prompt, r.completion, spec.template)
            for r in demonstrations(dataset, split)
        ]
        kept, left_out = within(
            rows,
            lambda row: len(row.ids),
            spec.max_tokens,
            backbone.base.context,
            f"demonstrations ({split})",
            split == "train",
        )
        if left_out:
            run.emit(left_out)
        return kept

    run.stage("Reading the demonstrations")
    examples, heldout = rendered("train"), rendered("heldout")[:EVALUATED]
    if not examples:
        raise DataError(
            f"{dataset.info.name} has no demonstrations to train on.", "Add some in Data, or import a file."
        )

    optimizer = optimizer_for(backbone, "policy", spec)
    previews = Previews(backbone, "policy", Sampler(PREVIEW_TOKENS), run.seed)
    shown = demonstrations(dataset, "heldout")[:CANDIDATES]
    previews.choose([r.prompt for r in shown], [r.completion for r in shown], spec.template)
    course = Course(spec, run, backbone, "policy", optimizer, len(examples), dataset, source)

    for step, rate, rows in course.steps():
        values = learn(backbone, [examples[i] for i in rows], spec, run, optimizer, rate)
        if heldout and course.evaluates(step):
            values |= evaluate(backbone, heldout, spec.micro_batch_size)
        course.report(step, rate, values)
        if course.shows(step):
            for sample in previews.samples(step):
                run.emit(sample)

    course.produce("adapter", evaluate(backbone, heldout, spec.micro_batch_size) if heldout else {})


def demonstrations(dataset: Dataset, split: str) -> list[Demonstration]:
    return [record for record in dataset.records(split) if isinstance(record, Demonstration)]


def learn(
    backbone: Backbone,
    batch: list[Rendered],
    spec: SFTSpec,
    run: RunContext,
    optimizer: torch.optim.Optimizer,
    rate: float,
) -> dict[str, float]:
    """One optimiser step on a batch, cut into micro-batches whose gradients add up exactly to the batch's."""
    total = torch.tensor(float(sum(sum(row.completion_mask) for row in batch)), device=run.device)
    mine = run.world.share(batch)
    loss = torch.zeros((), device=run.device)
    hits = torch.zeros((), device=run.device)
    backbone.train(True)
    for start in range(0, len(mine), spec.micro_batch_size):
        run.safe_point()
        ids, attention, mask = collate(backbone, mine[start : start + spec.micro_batch_size])
        with backbone.acting_as("policy"):
            measured = token_logprobs(backbone, ids, attention, mask)
        part = nll_loss(measured.logp, mask, total)
        part.backward()
        loss += part.detach()
        hits += masked_mean(measured.best.float(), mask, total)
    backbone.train(False)
    run.world.sum_([loss, hits])
    means = Means()
    means.add(train__loss=loss, train__token_accuracy=hits, train__tokens=total)
    means.add(train__grad_norm=run.step(optimizer, rate, spec.max_grad_norm))
    return means.result()


@torch.no_grad()
def evaluate(backbone: Backbone, heldout: list[Rendered], micro_batch: int) -> dict[str, float]:
    """Loss (nats per token), perplexity and token accuracy on prompts that are never trained on."""
    nats = hits = tokens = 0.0
    for start in range(0, len(heldout), micro_batch):
        ids, attention, mask = collate(backbone, heldout[start : start + micro_batch])
        with backbone.acting_as("policy"):
            measured = token_logprobs(backbone, ids, attention, mask)
        nats -= measured.logp.sum().item()
        hits += (measured.best & mask).sum().item()
        tokens += mask.sum().item()
    loss = nats / tokens
    return {
        "heldout/loss": loss,
        "heldout/perplexity": math.exp(min(loss, 50.0)),
        "heldout/token_accuracy": hits / tokens,
    }


def collate(backbone: Backbone, rows: list[Rendered]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, attention mask and loss mask, each (B, T) on the backbone's device; padding is on the right."""
    ids, attention = right_pad([row.ids for row in rows], backbone.base.pad_id)
    mask = torch.zeros_like(attention)
    for i, row in enumerate(rows):
        mask[i, : len(row.ids)] = torch.tensor(row.completion_mask)
    device = backbone.device
    return ids.to(device), attention.long().to(device), mask.to(device)
