"""Samples on the way: answers to held-out prompts, beside what the policy said before the first step."""

from __future__ import annotations

import torch

from rlhf_engine.contract.preference import PreferenceFields
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.indexed import FROM
from rlhf_engine.data.records import Prompt, canonical
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.previews import Fixed, Previews
from rlhf_engine.models.sampling import Answer, Sampler
from rlhf_engine.preferences.answers import GivenAnswer, logprobs_by_token
from rlhf_engine.preferences.reference import POLICY, REFERENCE
from rlhf_engine.runtime.context import RunContext

TOKENS = 64
CANDIDATES = 32  # held-out prompts among which the previews look for some that fit


def previews_of(backbone: Backbone, dataset: Dataset, spec: PreferenceFields, run: RunContext) -> Previews:
    """To be called while the policy is still what it starts as: its answers now are what later ones are put beside."""
    previews = Previews(
        backbone, POLICY, Sampler(TOKENS), run.seed, lambda asked, answers: by_token(backbone, asked, answers)
    )
    distinct: dict[str, Prompt] = {}
    for record in dataset.rows("heldout") if spec.sample_every else ():
        distinct[canonical(record.prompt)] = record.prompt  # of prompts that differ in spacing the last one is shown
        if len(distinct) > CANDIDATES and dataset.info.rows > FROM:
            break
    if spec.sample_every:
        previews.choose(list(distinct.values())[:CANDIDATES], [], spec.template, spec.sample_prompts)
    return previews


@torch.no_grad()
def by_token(
    backbone: Backbone, asked: list[Fixed], answers: list[Answer]
) -> list[tuple[float | None, dict[str, tuple[float, ...]]]]:
    """How likely each token of an answer is now, and where a reference is in memory, how far from it: a log-ratio,
    whose sum estimates the KL of the answer. Nats. Without a score: there is no reward model."""
    rows = [
        GivenAnswer([*fixed.ids, *answer.tokens], [False] * len(fixed.ids) + [True] * len(answer.tokens))
        for fixed, answer in zip(asked, answers, strict=True)
    ]
    now, mask = logprobs_by_token(backbone, POLICY, rows)
    columns = {"logprob": now}
    if backbone.has(REFERENCE):
        columns["kl"] = now - logprobs_by_token(backbone, REFERENCE, rows)[0]
    return [
        (None, {name: tuple(column[i][mask[i]].tolist()) for name, column in columns.items()}) for i in range(len(rows))
    ]
