"""Comparisons as token ids: what DPO, ORPO and SimPO learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert
from rlhf_engine.contract.preference import PreferenceFields
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.records import Comparison
from rlhf_engine.data.within import few_or_at_use
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.preferences.answers import AnswerLogprobs, GivenAnswer, answer_logprobs
from rlhf_engine.runtime.context import RunContext


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt, the better one known."""

    chosen: GivenAnswer
    rejected: GivenAnswer

    @property
    def longest(self) -> int:
        return max(len(self.chosen.ids), len(self.rejected.ids))


def read_pairs(backbone: Backbone, dataset: Dataset, spec: PreferenceFields, run: RunContext) -> list[Sequence[Pair]]:
    """The comparisons to train on and those held out. Ties, and pairs that are too long, are left out and counted.

    Those of a large dataset become token ids when they are used; unless the reference is to be measured beforehand,
    for which all are used at once.

    Raises:
        DataError: there is nothing to train on.
    """
    run.stage("Reading the comparisons")
    pairs, heldout = (_of_split(backbone, dataset, split, spec, run) for split in ("train", "heldout"))
    if not pairs:
        raise DataError(
            f"{dataset.info.name} has no comparisons to train on.", "Judge some in Compare, or import a file."
        )
    return [pairs, heldout]


def _of_split(
    backbone: Backbone, dataset: Dataset, split: str, spec: PreferenceFields, run: RunContext
) -> Sequence[Pair]:
    decided, count = dataset.rows(split), len(dataset.rows(split, ties=True))
    what = f"comparisons ({split})"
    if len(decided) < count:
        ties = f"{count - len(decided):,} of {count:,} {what}"
        run.emit(Alert("info", f"{ties} are ties and were left out: this loss learns from a better answer."))

    def given(record: Comparison, answer: str) -> GivenAnswer:
        return GivenAnswer.of(render(backbone.base.tokenizer, record.prompt, answer, spec.template))

    def pair(number: int) -> Pair:
        record = decided[number]
        assert isinstance(record, Comparison)
        return Pair(given(record, record.chosen), given(record, record.rejected))

    limits = (spec.max_tokens, backbone.base.context, what, split == "train")
    at_once = split == "train" and bool(getattr(spec, "precompute_reference", False))
    kept, left_out = few_or_at_use(len(decided), pair, lambda pair: pair.longest, *limits, at_once=at_once)
    if left_out:
        run.emit(left_out)
    return kept


def both(pairs: Sequence[Pair]) -> list[GivenAnswer]:
    """All chosen answers, then all rejected ones."""
    return [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]


def in_parts(pairs: Sequence[Pair], size: int) -> Iterator[list[GivenAnswer]]:
    """The rectangles in which pairs are measured, `size` pairs at a time in their order; each made when it is used."""
    return (both(pairs[start : start + size]) for start in range(0, len(pairs), size))


def pair_logprobs(backbone: Backbone, role: str, pairs: Sequence[Pair]) -> tuple[AnswerLogprobs, AnswerLogprobs]:
    """How likely a role finds the chosen and the rejected answers, from one forward pass over both."""
    return answer_logprobs(backbone, role, both(pairs)).split(len(pairs))
