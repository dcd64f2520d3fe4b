"""What a reward model learns from: comparisons by themselves, or all that people said of one prompt together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp

import torch
from torch import Tensor

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert
from rlhf_engine.data.at_use import AtUse, Each
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.indexed import SECOND_HALF, TIED, Rows
from rlhf_engine.data.records import Comparison, Prompt, canonical, content_of, half_of
from rlhf_engine.data.within import few_or_at_use
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.reward.spec import LISTS, RewardSpec


@dataclass(frozen=True, slots=True)
class Pair:
    """Both answers as token ids with their prompt, whose own length is `prompt`. Of a tie neither is chosen."""

    chosen: list[int]
    rejected: list[int]
    prompt: int
    record: Comparison

    @property
    def longest(self) -> int:
        return max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True, slots=True)
class Group:
    """Distinct answers to one prompt, each to be scored once, and what people said of them.

    `answers` are token ids with the prompt; where the loss takes them as a list, the best comes first. `said` holds
    (better, worse, strength): places in `answers`, and strength 0 for a tie. `weights` has one number per head.
    """

    answers: list[list[int]]
    said: list[tuple[int, int, int]]
    weights: tuple[float, ...]


def read(backbone: Backbone, dataset: Dataset, split: str, spec: RewardSpec, run: RunContext) -> Sequence[Pair]:
    """The comparisons of one split as token ids, ties among them; to train on, only those of the chosen half of the
    prompts. Pairs too long for the model are left out and counted.

    Those of a large dataset become token ids when they are used, where a pair is an example by itself.
    """
    tokenizer = backbone.base.tokenizer
    records = dataset.rows(split, ties=True)
    if isinstance(records, Rows):
        records = _of_large(records, split, spec, run)
    elif split == "train" and spec.prompts_from != "all":
        records = [record for record in records if from_half(record.prompt, spec.prompts_from)]

    def pair(number: int) -> Pair:
        record = records[number]
        assert isinstance(record, Comparison)
        chosen = render(tokenizer, record.prompt, record.chosen, spec.template)
        rejected = render(tokenizer, record.prompt, record.rejected, spec.template)
        return Pair(chosen.ids, rejected.ids, chosen.prompt_length, record)

    limits = (spec.max_tokens, backbone.base.context, f"comparisons ({split})", split == "train")
    at_once = split == "train" and spec.grouping != "pairs"
    kept, left_out = few_or_at_use(len(records), pair, lambda pair: pair.longest, *limits, at_once=at_once)
    if left_out:
        run.emit(left_out)
    return kept


def _of_large(rows: Rows, split: str, spec: RewardSpec, run: RunContext) -> Rows:
    """Those of the chosen half to train on, and where pairs are examples, none that `grouped` would leave out."""
    if split != "train":
        return rows
    if spec.prompts_from != "all":
        rows = rows.chosen(rows.flagged(SECOND_HALF) == (spec.prompts_from == "second half"))
    tied = rows.flagged(TIED)
    if spec.grouping == "pairs" and spec.ties == "leave out" and (count := int(tied.sum())):
        run.emit(_ties_left_out(count, len(rows)))
        rows = rows.chosen(~tied)
    return rows


def _ties_left_out(count: int, of: int) -> Alert:
    text = f"{count:,} of {of:,} comparisons are ties and were left out."
    return Alert("info", text, 'Set "Ties" to split or rao-kupper to learn from them.')


def from_half(prompt: Prompt, half: str) -> bool:
    """Whether a prompt belongs to "all", to the "first half" or to the "second half"."""
    return half == "all" or half == f"{half_of(prompt)} half"


def some_of(pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    """`count` of the pairs, all for 0, in their order. The same seed draws nested sets, whatever else is in the list:
    each comparison has its own random number.

    Raises:
        DataError: there are not so many.
    """
    if not count:
        return list(pairs)
    if count > len(pairs):
        raise DataError(
            f"{count:,} comparisons are to be used, but there are {len(pairs):,} to train on.",
            'Lower "Comparisons used", or set it to 0 for all.',
        )
    drawn = sorted(range(len(pairs)), key=lambda n: (_uniform(f"{seed} label\n{content_of(pairs[n].record)}"), n))
    return [pairs[n] for n in sorted(drawn[:count])]


def grouped(pairs: Sequence[Pair], name: str, spec: RewardSpec, run: RunContext) -> Sequence[Group]:
    """The examples that a run goes through, in the order of the comparisons. What they cannot use is counted aloud.

    Raises:
        DataError: nothing is left to learn from.
    """
    if not pairs:
        where = "" if spec.prompts_from == "all" else f" in the {spec.prompts_from} of its prompts"
        raise DataError(f"{name} has no comparisons to train on{where}.", "Judge some in Compare, or import a file.")
    if isinstance(pairs, AtUse):
        return Each(pairs, lambda pair: _group([pair], spec))
    used = [pair for pair in pairs if spec.ties != "leave out" or not pair.record.tied]
    if len(used) < len(pairs):
        ties = f"{len(pairs) - len(used):,} of {len(pairs):,} comparisons are ties"
        if not used:
            raise DataError(f"{ties}, and ties are left out.", "Judge more pairs, or set Ties to split or rao-kupper.")
        run.emit(_ties_left_out(len(pairs) - len(used), len(pairs)))
    if spec.grouping == "pairs":
        return [_group([pair], spec) for pair in used]
    by_prompt: dict[str, list[Pair]] = {}
    for pair in used:
        by_prompt.setdefault(canonical(pair.record.prompt), []).append(pair)
    groups = [_group(of_prompt, spec) for of_prompt in by_prompt.values()]
    return _listed(groups, spec.grouping, run) if spec.grouping in LISTS else groups


def _group(pairs: Sequence[Pair], spec: RewardSpec) -> Group:
    """Comparisons of one prompt as one group; an answer that is in several of them is there once."""
    places: dict[tuple[int, ...], int] = {}
    said = []
    for pair in pairs:
        better, worse = (places.setdefault(tuple(ids), len(places)) for ids in (pair.chosen, pair.rejected))
        said.append((better, worse, pair.record.strength))
    weights = bootstrap_weights(pairs[0].record.prompt, spec.heads, spec.seed)
    return Group([list(ids) for ids in places], said, weights)


def bootstrap_weights(prompt: Prompt, heads: int, seed: int) -> tuple[float, ...]:
    """How often each head meets a prompt: Poisson with mean 1, as in drawing as many prompts as there are, with
    replacement. Made from the seed and the prompt, so that there is nothing to keep. A single head meets all, once.

    Source: Oza and Russell 2001, "Online Bagging and Boosting"; Efron 1979.
    """
    if heads == 1:
        return (1.0,)
    return tuple(float(_poisson(_uniform(f"{seed} {head}\n{canonical(prompt)}"))) for head in range(heads))


def _uniform(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:7], "big") / 256**7


def _poisson(u: float) -> int:
    """The number that a uniform one in [0, 1) stands for: how many terms of e^-1 / k! it is above."""
    count, term = 0, exp(-1.0)
    below = term
    while u >= below and count < 20:  # 1 / 20! is below the spacing of floats
        count += 1
        term /= count
        below += term
    return count


def _listed(groups: Sequence[Group], grouping: str, run: RunContext) -> list[Group]:
    """The groups whose answers make a list, with the best one first. The others are left out and counted.

    Raises:
        DataError: no group does.
    """
    find = best_first if grouping == "best" else best_to_worst
    lists = [_reordered(group, order) for group in groups if (order := find(group)) is not None]
    if len(lists) < len(groups):
        why = {"best": "have no answer that was preferred to each other one", "order": "are not ranked from end to end"}
        short = f"{len(groups) - len(lists):,} of {len(groups):,} prompts {why[grouping]}"
        if not lists:
            raise DataError(f"{short}: nothing is left to learn from.", "Learn from prompts or from pairs.")
        run.emit(Alert("warning", f"{short} and were left out.", "Learn from prompts to use every comparison."))
    return lists


def best_first(group: Group) -> list[int] | None:
    """The answers with the one first that was preferred to each of the others; None where there is no such answer."""
    wins, everyone = {(better, worse) for better, worse, _ in group.said}, set(range(len(group.answers)))
    for best in everyone:
        others = everyone - {best}
        if all((best, other) in wins and (other, best) not in wins for other in others):
            return [best, *sorted(others)]
    return None


def best_to_worst(group: Group) -> list[int] | None:
    """The one order of the answers that agrees with all comparisons; None where there are several, or none."""
    left = set(range(len(group.answers)))
    order: list[int] = []
    while left:
        unbeaten = left - {worse for better, worse, _ in group.said if better in left}
        if len(unbeaten) != 1:
            return None
        order += unbeaten
        left -= unbeaten
    return order


def _reordered(group: Group, order: list[int]) -> Group:
    place = {old: new for new, old in enumerate(order)}
    said = [(place[better], place[worse], strength) for better, worse, strength in group.said]
    return Group([group.answers[old] for old in order], said, group.weights)


def cut(groups: Sequence[Group], answers: int) -> Iterator[list[Group]]:
    """Micro-batches of so many answers. A group is never cut, since its loss needs all of it: one with more answers is
    a micro-batch by itself."""
    part: list[Group] = []
    for group in groups:
        if part and sum(len(g.answers) for g in part) + len(group.answers) > answers:
            yield part
            part = []
        part.append(group)
    if part:
        yield part


@dataclass(frozen=True, slots=True)
class Table:
    """Groups side by side, as tensors that point into one list of answers.

    C comparisons, G groups of up to K answers, H heads. `better` and `worse` (C,) are rows of `answers`, and so are
    `places` (G, K), where `there` is True. `share` (C,) is one over the comparisons of the group, so that each prompt
    has the same say.
    """

    answers: list[list[int]]
    better: Tensor
    worse: Tensor
    strength: Tensor  # (C,), 0 for a tie
    share: Tensor
    weights: Tensor  # (C, H)
    places: Tensor
    there: Tensor
    list_weights: Tensor  # (G, H)

    @classmethod
    def of(cls, groups: Sequence[Group], device: torch.device) -> Table:
        """The first answers of all groups come first, then the second ones: chosen answers above rejected ones."""
        widest = max(len(group.answers) for group in groups)
        answers: list[list[int]] = []
        places = [[0] * widest for _ in groups]
        for column in range(widest):
            for row, group in enumerate(groups):
                if column < len(group.answers):
                    places[row][column] = len(answers)
                    answers.append(group.answers[column])
        said = [(row, *one) for row, group in enumerate(groups) for one in group.said]

        def column_of(values: list[float], dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.tensor(values, device=device, dtype=dtype)

        return cls(
            answers,
            column_of([places[row][better] for row, better, _, _ in said], torch.long),
            column_of([places[row][worse] for row, _, worse, _ in said], torch.long),
            column_of([strength for *_, strength in said]),
            column_of([1 / len(groups[row].said) for row, *_ in said]),
            torch.tensor([groups[row].weights for row, *_ in said], device=device),
            torch.tensor(places, device=device),
            torch.tensor([[k < len(group.answers) for k in range(widest)] for group in groups], device=device),
            torch.tensor([group.weights for group in groups], device=device),
        )
