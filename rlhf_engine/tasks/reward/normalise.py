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
    sequences = answers_of_start(backbone, source, dataset, spec, run)
    if len(sequences) < 2:
        run.emit(Alert("warning", "There were too few prompts to normalise the scores.", "Add comparisons."))
        return {}
    head = cast(ScalarHead, backbone.heads[role])
    scores = head.normalise(backbone.each_score(role, sequences, spec.micro_batch_size))
    return {
        "normalised_on": len(sequences),
        "raw_mean": head.mean.item(),
        "raw_std": head.std.item(),
        "p99": scores.quantile(0.99).item(),
    }


def answers_of_start(
    backbone: Backbone, source: ModelSource, dataset: Dataset, spec: RewardSpec, run: RunContext
) -> list[list[int]]:
    """Prompts that were trained on, each with an answer of the model that this one started from, as token ids."""
    if source.adapter is None:
        role = PLAIN
    else:
        load_adapter(backbone, "start", source)
        role = "start"
    tokenizer = backbone.base.tokenizer
    records = (r for r in dataset.records("train") if from_half(r.prompt, spec.prompts_from))
    distinct = {text_of(r.prompt): r.prompt for r in records}
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
    return sequences
