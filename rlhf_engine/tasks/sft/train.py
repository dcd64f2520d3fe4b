"""Supervised fine-tuning. Read `train` top to bottom: it is the whole algorithm."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rlhf_engine.data.at_use import Joined
from rlhf_engine.data.packing import lay, share_rows
from rlhf_engine.data.turns import Example
from rlhf_engine.models.adapters import new_lora, start_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.course import Course
from rlhf_engine.models.logprobs import TokenLogprobs, token_logprobs
from rlhf_engine.models.opening import open_backbone
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.models.packed import require_separate
from rlhf_engine.models.previews import Previews
from rlhf_engine.models.sampling import Sampler
from rlhf_engine.runtime.context import Means, RunContext
from rlhf_engine.runtime.order import Mixture
from rlhf_engine.tasks.sft.loss import nll_loss
from rlhf_engine.tasks.sft.neftune import noisy, step_seed
from rlhf_engine.tasks.sft.parts import in_turn, of_mixture, open_parts, read_parts, shares
from rlhf_engine.tasks.sft.spec import SFTSpec
from rlhf_engine.tensors import masked_mean

PREVIEW_TOKENS = 64
CANDIDATES = 32  # held-out prompts among which the previews look for some that fit


def train(spec: SFTSpec, run: RunContext) -> None:
    """Make the demonstrated answers likely, one batch at a time."""
    parts = open_parts(spec, run)  # first: they may be wrong, and are quick
    backbone, source = open_backbone(spec.model, run, spec)
    start_adapter(backbone, "policy", source, new_lora(spec))
    if spec.packing:
        require_separate(backbone)
    read_parts(parts, backbone, spec, run)
    examples = Joined([part.examples for part in parts])
    names = Joined([[part.name] * len(part.examples) for part in parts])
    heldout, tested = [e for part in parts for e in part.heldout], [part.name for part in parts for _ in part.heldout]

    optimizer = optimizer_for(backbone, "policy", spec)
    previews = Previews(backbone, "policy", Sampler(PREVIEW_TOKENS), run.seed)
    shown = in_turn(parts, "heldout", CANDIDATES)
    previews.choose([r.prompt for r in shown], [r.completion for r in shown], spec.template, spec.sample_prompts)
    sizes = [len(part.examples) for part in parts]
    mixture = Mixture(sizes, shares(parts, spec.mixing), spec.batch_size, run.rng) if spec.mixture else None
    drawn = mixture or len(examples)
    course = Course(spec, run, backbone, "policy", optimizer, drawn, parts[0].dataset, source, **of_mixture(parts))

    for step, rate, rows in course.steps():
        batch, of = [examples[i] for i in rows], [names[i] for i in rows]
        values = run.attempt("update", learn, backbone, batch, spec, run, optimizer, rate, of)
        if heldout and course.evaluates(step):
            values |= run.attempt("scoring", evaluate, backbone, heldout, spec, run, tested)
        if mixture:
            values |= {f"train/epoch/{part.name}": n for part, n in zip(parts, mixture.passes, strict=True)}
        course.report(step, rate, values)
        if course.shows(step):
            for sample in previews.samples(step):
                run.emit(sample)

    course.produce("adapter", run.attempt("scoring", evaluate, backbone, heldout, spec, run, tested) if heldout else {})


def learn(
    backbone: Backbone,
    batch: list[Example],
    spec: SFTSpec,
    run: RunContext,
    optimizer: torch.optim.Optimizer,
    rate: float,
    names: Sequence[str] = (),
) -> dict[str, float]:
    """One optimiser step on a batch, cut into micro-batches whose gradients add up exactly to the batch's.

    `names` are those of the examples' datasets, where there are several.
    """
    tokens = [sum(one.trained) for one in batch]
    total = torch.tensor(float(sum(tokens)), device=run.device)
    loss, hits = torch.zeros((), device=run.device), torch.zeros((), device=run.device)
    nats = torch.zeros(len(batch), device=run.device)
    seed = step_seed(spec.neftune_alpha, run.rng)
    mine = run.world.share(range(len(batch)))
    computed = 0
    backbone.train(True)
    for micro in micro_batches(backbone, batch, mine, spec, run):
        run.safe_point()
        with noisy(backbone, micro.segments, spec.neftune_alpha, seed):
            measured = measure(backbone, micro, spec)
        part = nll_loss(measured.logp, micro.trained, total)
        part.backward()
        loss += part.detach()
        hits += masked_mean(measured.best.float(), micro.trained, total)
        computed += micro.ids.numel()
        nats += nats_of(measured, micro, len(batch))
    backbone.train(False)
    cells = torch.tensor([sum(len(batch[i].ids) for i in mine), computed], device=run.device, dtype=torch.float32)
    run.world.sum_([loss, hits, nats, cells])
    means = Means()
    means.add(train__loss=loss, train__token_accuracy=hits, train__tokens=total)
    means.add(train__padding=1 - cells[0] / cells[1])
    means.add(train__grad_norm=run.step(optimizer, rate, spec.max_grad_norm))
    return means.result() | losses("train/loss", names, nats.tolist(), tokens)


@torch.no_grad()
def evaluate(
    backbone: Backbone, heldout: list[Example], spec: SFTSpec, run: RunContext, names: Sequence[str] = ()
) -> dict[str, float]:
    """Loss (nats per token), perplexity and token accuracy on prompts that are never trained on."""
    nats = hits = tokens = 0.0
    each = torch.zeros(len(heldout), device=backbone.device)
    for micro in micro_batches(backbone, heldout, range(len(heldout)), spec, run):
        measured = measure(backbone, micro, spec)
        nats -= measured.logp.sum().item()
        hits += (measured.best & micro.trained).sum().item()
        tokens += micro.trained.sum().item()
        each += nats_of(measured, micro, len(heldout))
    loss = nats / tokens
    whole = {
        "heldout/loss": loss,
        "heldout/perplexity": math.exp(min(loss, 50.0)),
        "heldout/token_accuracy": hits / tokens,
    }
    return whole | losses("heldout/loss", names, each.tolist(), [sum(one.trained) for one in heldout])


class MicroBatch(NamedTuple):
    """Rows that are in memory at once, on the backbone's device. Each (B, T); padding is on the right."""

    ids: Tensor
    segments: Tensor  # the number of the example in its batch, from 1; 0 on padding
    trained: Tensor  # bool: what the loss is of


def micro_batches(
    backbone: Backbone, batch: Sequence[Example], chosen: Sequence[int], spec: SFTSpec, run: RunContext
) -> Iterator[MicroBatch]:
    """The `chosen` examples of a batch in rows, one or several to a row, a micro-batch at a time."""
    rows = [[i] for i in chosen]
    if spec.packing:
        width = min(spec.max_tokens, backbone.base.context)
        rows = [[chosen[i] for i in row] for row in share_rows([len(batch[i].ids) for i in chosen], width)]
    ids, trained = [one.ids for one in batch], [one.trained for one in batch]
    size = run.at_once(spec.micro_batch_size, len(rows))
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        laid, mask = lay(part, ids, backbone.base.pad_id), lay(part, trained, False).ids.bool()
        yield MicroBatch(laid.ids.to(backbone.device), laid.segments.to(backbone.device), mask.to(backbone.device))


def measure(backbone: Backbone, micro: MicroBatch, spec: SFTSpec) -> TokenLogprobs:
    """What the policy makes of the trained tokens."""
    attention = (micro.segments > 0).long()
    with backbone.acting_as("policy"):
        return token_logprobs(
            backbone, micro.ids, attention, micro.trained, segments=micro.segments if spec.packing else None
        )


def nats_of(measured: TokenLogprobs, micro: MicroBatch, count: int) -> Tensor:
    """Negative log-probability of each of `count` examples, 0 for those that are not in the micro-batch. (count,)"""
    sums = torch.zeros(count + 1, device=micro.ids.device)
    return -sums.index_add_(0, micro.segments.flatten(), measured.logp.detach().flatten())[1:]


def losses(metric: str, names: Sequence[str], nats: Sequence[float], tokens: Sequence[int]) -> dict[str, float]:
    """The loss per token of each named dataset that had examples here; nothing where there is only one, unnamed."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for name, n, t in zip(names, nats, tokens, strict=bool(names)):
        sums[name][0] += n
        sums[name][1] += t
    return {f"{metric}/{name}": n / t for name, (n, t) in sums.items() if name}
