"""Ratings as token ids: what KTO learns from. Each is given an answer to another prompt, by which drift is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert
from rlhf_engine.contract.preference import PreferenceFields
from rlhf_engine.data.at_use import AtUse
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.indexed import Rows
from rlhf_engine.data.records import Rating, canonical
from rlhf_engine.data.within import remedy, within
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.preferences.answers import GivenAnswer
from rlhf_engine.runtime.context import RunContext

_TRIED = 1000  # answers that are tried for one to another prompt, in a large dataset


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer that was liked or not. `elsewhere` is an answer to another prompt, put behind this one."""

    answer: GivenAnswer
    liked: bool
    elsewhere: GivenAnswer


def read_ratings(
    backbone: Backbone, dataset: Dataset, spec: PreferenceFields, run: RunContext
) -> list[Sequence[Rated]]:
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


def _of_split(
    backbone: Backbone, dataset: Dataset, split: str, spec: PreferenceFields, run: RunContext
) -> Sequence[Rated]:
    tokenizer, context, what = backbone.base.tokenizer, backbone.base.context, f"ratings ({split})"
    found = dataset.rows(split)
    if isinstance(found, Rows) and not getattr(spec, "precompute_reference", False):
        rated_ = RatedAtUse(found, backbone, spec, what)
        if rated_.left_out:
            run.emit(rated_.left_out)
        return rated_
    rows = [
        (GivenAnswer.of(render(tokenizer, r.prompt, r.completion, spec.template)), r.liked, canonical(r.prompt))
        for r in found
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


class RatedAtUse(AtUse[Rated]):
    """The ratings of a large dataset, each made when it is used; `liked` is how many of them are."""

    def __init__(self, rows: Rows, backbone: Backbone, spec: PreferenceFields, what: str) -> None:
        self.liked = rows.liked
        self._rows, self._tokenizer, self._template = rows, backbone.base.tokenizer, spec.template
        self._longest = min(spec.max_tokens, backbone.base.context)
        self._order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(spec.seed))
        self._place = torch.empty_like(self._order)
        self._place[self._order] = torch.arange(len(rows))
        hint = remedy(spec.max_tokens, backbone.base.context, 0)
        super().__init__(len(rows), self._rated, lambda one: len(one.answer.ids), self._longest, what, hint)

    def _rated(self, number: int) -> Rated:
        record, answer = self._given(number)
        asked = answer.ids[: answer.mask.index(True)]
        place = int(self._place[number])
        for further in range(1, min(_TRIED, len(self._rows))):
            other, said = self._given(int(self._order[(place + further) % len(self._rows)]))
            behind = said.ids[said.mask.index(True) :]
            if len(asked) + len(behind) <= self._longest and canonical(other.prompt) != canonical(record.prompt):
                there = GivenAnswer(asked + behind, [False] * len(asked) + [True] * len(behind))
                return Rated(answer, record.liked, there)
        # too long for itself, so that the next rating is taken
        return Rated(GivenAnswer([0] * (self._longest + 1), [True] * (self._longest + 1)), record.liked, answer)

    def _given(self, number: int) -> tuple[Rating, GivenAnswer]:
        record = self._rows[number]
        assert isinstance(record, Rating)
        return record, GivenAnswer.of(render(self._tokenizer, record.prompt, record.completion, self._template))


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


def in_parts(ratings: Sequence[Rated], size: int) -> Iterator[list[GivenAnswer]]:
    """The rectangles in which ratings are measured, `size` at a time in their order; each made when it is used."""
    for asked in ("answer", "elsewhere"):
        for start in range(0, len(ratings), size):
            yield [getattr(rated, asked) for rated in ratings[start : start + size]]


def liked_among(ratings: Sequence[Rated]) -> int:
    """How many answers were liked."""
    return ratings.liked if isinstance(ratings, RatedAtUse) else sum(rated.liked for rated in ratings)
