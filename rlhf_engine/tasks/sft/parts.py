"""The datasets that a run learns from: one, or a mixture of several, each with a name for its curves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, zip_longest
from typing import Any, cast

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.data.records import Demonstration
from rlhf_engine.data.turns import Example, example
from rlhf_engine.data.within import few_or_at_use
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.sft.spec import SFTSpec

EVALUATED = 256  # held-out demonstrations measured each time
_LONGEST_NAME = 64
_FILE = re.compile(r"(\.(jsonl?|csv|tsv|parquet|txt|gz))+$", re.IGNORECASE)


@dataclass(slots=True)
class Part:
    """One dataset: its rows as token ids, once they are read; those of a large one when they are used."""

    dataset: Dataset
    weight: float
    name: str  # "" where it is the only one
    examples: Sequence[Example] = field(default_factory=list)
    heldout: list[Example] = field(default_factory=list)

    def demonstrations(self, split: str) -> Sequence[Demonstration]:
        return cast("Sequence[Demonstration]", self.dataset.rows(split))


def open_parts(spec: SFTSpec, run: RunContext) -> list[Part]:
    """The datasets of a run, not yet read. Raises DataError for one that is not there or holds no demonstrations."""
    wanted = [(spec.dataset, 1.0), *((entry.dataset, entry.weight) for entry in spec.mixture)]
    datasets = [open_dataset(run.project_root, ref, "demonstrations") for ref, _ in wanted]
    names = _names([dataset.info.name for dataset in datasets]) if spec.mixture else [""]
    return [Part(d, weight, name) for d, (_, weight), name in zip(datasets, wanted, names, strict=True)]


def read_parts(parts: list[Part], backbone: Backbone, spec: SFTSpec, run: RunContext) -> None:
    """Turn the rows of each part into token ids. What is too long is left out and counted.

    Raises:
        DataError: a part has nothing to train on.
    """
    for number, part in enumerate(parts):
        run.stage("Reading the demonstrations", number, len(parts) if spec.mixture else 0)
        of = f" of {part.dataset.info.name}" if part.name else ""
        for split in ("train", "heldout"):
            rows = part.demonstrations(split)
            kept, left_out = few_or_at_use(
                len(rows),
                partial(_example, rows, backbone, spec),
                lambda row: len(row.ids),
                spec.max_tokens,
                backbone.base.context,
                f"demonstrations{of} ({split})",
                split == "train",
            )
            if left_out:
                run.emit(left_out)
            if split == "train":
                part.examples = kept
            else:
                part.heldout = list(kept[: max(1, EVALUATED // len(parts))])
        if not part.examples:
            raise DataError(
                f"{part.dataset.info.name} has no demonstrations to train on.", "Add some in Data, or import a file."
            )


def _example(rows: Sequence[Demonstration], backbone: Backbone, spec: SFTSpec, number: int) -> Example:
    return example(backbone.base.tokenizer, rows[number], spec.template, spec.trained_on)


def shares(parts: list[Part], mixing: str) -> list[float]:
    """How often each part is drawn from, relative to the others."""
    return [part.weight * (len(part.examples) if mixing == "by size" else 1) for part in parts]


def of_mixture(parts: list[Part]) -> dict[str, Any]:
    """What the checkpoint and the result of a run say of the datasets beside the first; nothing where there is none."""
    further = parts[1:]
    if not further:
        return {}
    return {
        "inputs": {"mixture": " ".join(part.dataset.info.hash for part in further)},
        "about": {"mixture": [{"dataset": part.dataset.info.ref, "weight": part.weight} for part in further]},
    }


def in_turn(parts: list[Part], split: str, count: int) -> list[Demonstration]:
    """The first demonstrations of a split, taken from the parts in turn."""
    rounds = zip_longest(*(part.demonstrations(split)[:count] for part in parts))
    return [row for row in chain.from_iterable(rounds) if row is not None][:count]


def _names(titles: list[str]) -> list[str]:
    """Short names for curves, of letters, digits, dots and dashes; a number is added to one that is taken.

    They go into model cards, so where a file lay is left out; and what kind it was says nothing on a curve.
    """
    taken: list[str] = []
    for title in titles:
        last = _FILE.sub("", re.split(r"[/\\]", title)[-1])
        stem = re.sub(r"[^\w.-]+", "_", last).strip("_.")[:_LONGEST_NAME] or "dataset"
        taken.append(next(name for name in _numbered(stem) if name not in taken))
    return taken


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1
