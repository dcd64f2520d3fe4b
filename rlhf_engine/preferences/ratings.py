"""Ratings as token ids: what KTO learns from. Each is given an answer to another prompt, by which drift is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert
from rlhf_engine.contract.preference import PreferenceFields
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.records import Rating, canonical
from rlhf_engine.data.within import within
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.preferences.answers import GivenAnswer
from rlhf_engine.runtime.context import RunContext


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer that was liked or not. `elsewhere` is an answer to another prompt, put behind this one."""

    answer: GivenAnswer
    liked: bool
    elsewhere: GivenAnswer


def read_ratings(backbone: Backbone, dataset: Dataset, spec: PreferenceFields, run: RunContext) -> list[list[Rated]]:
    """The ratings to train on and those held out; comparisons count as one answer liked and one not.

    Raises:
        DataError: there is nothing to train on, or all of it answers one prompt.
    """
    run.stage("Reading the ratings")
    if ties := dataset.info.facts.get("ties", 0):
        run.emit(Alert("info", f"{ties:,} comparisons are ties and were left out: they say neither yes nor no."))
    ratings, heldout = (_of_split(backbone, dataset, split, spec, run) for split in ("train", "heldout"))
    if not ratings:
        raise DataError(f"{dataset.info.name} has no ratings to train on.", "Rate some answers, or import a file.")
    return [ratings, heldout]


def _of_split(backbone: Backbone, dataset: Dataset, split: str, spec: PreferenceFields, run: RunContext) -> list[Rated]:
    tokenizer, context, what = backbone.base.tokenizer, backbone.base.context, f"ratings ({split})"
    rows = [
        (GivenAnswer.of(render(tokenizer, r.prompt, r.completion, spec.template)), r.liked, canonical(r.prompt))
        for r in dataset.records(split)
        if isinstance(r, Rating)
    ]
    kept, left_out = within(rows, lambda row: len(row[0].ids), spec.max_tokens, context, what, split == "train")
    if left_out:
        run.emit(left_out)
    answers, prompts = [row[0] for row in kept], [row[2] for row in kept]
    if len(set(prompts)) == 1 and split == "train":
        raise DataError(
            f"All {len(kept):,} {what} are of one prompt, but KTO measures drift by answers to other prompts.",
            "Add ratings of answers to other prompts.",
        )
    limit = min(spec.max_tokens, context)
    partners = elsewhere(answers, prompts, limit, spec.seed)
    rated = [
        Rated(answer, liked, partner)
        for (answer, liked, _), partner in zip(kept, partners, strict=True)
        if partner is not None
    ]
    if len(rated) < len(kept) and len(set(prompts)) > 1:
        text = f"{len(kept) - len(rated):,} of {len(kept):,} {what} were left out: behind their prompts, no answer to "
        run.emit(Alert("warning", f"{text}another prompt fits into {limit} tokens.", "Raise the longest example."))
    return rated


def elsewhere(
    answers: Sequence[GivenAnswer], prompts: Sequence[str], limit: int, seed: int
) -> list[GivenAnswer | None]:
    """For each prompt the answer to another one: that of the next in a shuffled order that is to another prompt and
    fits. None where there is none.

    Fixed for a run, so that the reference's numbers can be measured once; a batch takes as many as it has rows.
    """
    count = len(answers)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    found: list[GivenAnswer | None] = [None] * count
    for place, i in enumerate(order):
        asked = answers[i].ids[: answers[i].mask.index(True)]
        for further in range(1, count):
            j = order[(place + further) % count]
            said = answers[j].ids[answers[j].mask.index(True) :]
            if prompts[j] != prompts[i] and len(asked) + len(said) <= limit:
                found[i] = GivenAnswer(asked + said, [False] * len(asked) + [True] * len(said))
                break
    return found


def in_parts(ratings: Sequence[Rated], size: int) -> list[list[GivenAnswer]]:
    """The rectangles in which ratings are measured, `size` at a time in their order."""
    parts = [ratings[start : start + size] for start in range(0, len(ratings), size)]
    return [[r.answer for r in part] for part in parts] + [[r.elsewhere for r in part] for part in parts]
