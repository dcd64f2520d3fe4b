"""The last step of a reward model: a zero and a unit for its scores."""

from __future__ import annotations

from typing import Any, cast

import torch

from rlhf_engine.contract.events import Alert
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.records import text_of
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.load import ModelSource
from rlhf_engine.models.sampling import Sampler, complete
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.reward.groups import from_half
from rlhf_engine.tasks.reward.spec import RewardSpec


@torch.no_grad()
def normalise(
    backbone: Backbone, role: str, source: ModelSource, dataset: Dataset, spec: RewardSpec, run: RunContext
) -> dict[str, Any]:
    """Give the head a mean and a deviation, so that answers of the starting model score 0 +- 1 on average.

    The scale of a Bradley-Terry score is arbitrary; with this one, a KL penalty means the same for every reward model.
    Source: Ziegler et al. 2019, section 2 (gain and bias).
    """
    prompts, start = prompts_and_start(backbone, source, dataset, spec)
    sequences = run.attempt("rollout", answers_of_start, backbone, start, prompts, spec, run)
    if len(sequences) < 2:
        run.emit(Alert("warning", "There were too few prompts to normalise the scores.", "Add comparisons."))
        return {}
    head = cast(ScalarHead, backbone.heads[role])
    each = run.attempt("scoring", each_score, backbone, role, sequences, spec, run)
    scores = head.normalise(each)
    return {
        "normalised_on": len(sequences),
        "raw_mean": head.mean.item(),
        "raw_std": head.std.item(),
        "p99": scores.quantile(0.99).item(),
    }


def each_score(
    backbone: Backbone, role: str, sequences: list[list[int]], spec: RewardSpec, run: RunContext
) -> torch.Tensor:
    return backbone.each_score(role, sequences, run.at_once(spec.micro_batch_size, len(sequences)))


def prompts_and_start(
    backbone: Backbone, source: ModelSource, dataset: Dataset, spec: RewardSpec
) -> tuple[list[list[int]], str]:
    """Prompts that were trained on, as token ids, and the role that is the model this one started from."""
    if source.adapter is None:
        role = PLAIN
    else:
        load_adapter(backbone, "start", source)
        role = "start"
    tokenizer = backbone.base.tokenizer
    records = (r for r in dataset.rows("train") if from_half(r.prompt, spec.prompts_from))
    limit = backbone.base.context - spec.response_tokens - 1
    prompts: list[list[int]] = []
    seen: set[str] = set()
    for record in records:
        if len(prompts) == spec.normalise_on:
            break
        if (text := text_of(record.prompt)) not in seen:
            seen.add(text)
            ids = render(tokenizer, record.prompt, template=spec.template).ids
            prompts += [ids] if len(ids) <= limit else []
    return prompts, role


def answers_of_start(
    backbone: Backbone, role: str, prompts: list[list[int]], spec: RewardSpec, run: RunContext
) -> list[list[int]]:
    """Each prompt with an answer of a role, as token ids."""
    rng = torch.Generator(device=run.device).manual_seed(spec.seed)
    sequences: list[list[int]] = []
    size = run.at_once(32, len(prompts))
    for start in range(0, len(prompts), size):
        run.stage("Normalising on answers of the starting model", start, len(prompts))
        part = prompts[start : start + size]
        answers = complete(backbone, role, part, Sampler(spec.response_tokens), rng, run.safe_point)
        for prompt, answer in zip(part, answers, strict=True):
            sequences.append(prompt + answer.ended_by(backbone.base.eos_ids[0]))
    return sequences
