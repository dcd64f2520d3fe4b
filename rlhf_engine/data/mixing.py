"""Labels by people and labels by models in one set of comparisons: in the shares that somebody chose, and told apart.

Standard library only: the window reads this file.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.records import Comparison, Record, content_of

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels

AI = "model"  # the source of labels by models


def counts_for(people: int, ai: int, share: float) -> tuple[int, int]:
    """How many labels of each kind make the largest set in which `share` of them are by models.

    The larger of the two kinds gives up some of its labels: people = min(P, A (1 - s) / s), ai = min(A, P s / (1 - s)).
    """
    if share <= 0:
        return people, 0
    if share >= 1:
        return 0, ai
    return min(people, round_half_up(ai * (1 - share) / share)), min(ai, round_half_up(people * share / (1 - share)))


def mixed(people: Sequence[Comparison], ai: Sequence[Comparison], share: float) -> list[Comparison]:
    """So many of both that `share` of them (0 to 1) are by models; which ones goes by their content. In their order."""
    few, many = counts_for(len(people), len(ai), share)
    return [*_some(people, few), *_some(ai, many)]


def provenance(records: Sequence[Record], share: float, sentences: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a dataset's card says of whose labels it holds: how many of each kind, and by which judges."""
    labels = [record for record in records if isinstance(record, Comparison)]
    judges = Counter(record.annotator for record in labels if record.source == AI)
    by = sum(judges.values())
    told: dict[str, Any] = {"people": len(labels) - by, "ai": by, "ai_share_wanted": share}
    return {"labels": {**told, "judges": dict(judges.most_common()), **(sentences or {})}}


def comparisons_of(labels: Labels, share: float) -> tuple[list[Comparison], dict[str, Any]]:
    """The project's comparisons with so many labels by models, and what is to be told of them.

    A pair that a person (or a rule, or an import) has judged is in a mixture with that label alone; with a share of 1
    every label of a model is taken, whoever else has judged its pair.

    Raises:
        DataError: there are none of a kind that is asked for.
    """
    people = [record for record in labels.records("comparisons") if _by(record) != AI] if share < 1 else []
    ai = list(labels.ai_comparisons(alone=share < 1)) if share > 0 else []
    found = mixed([one for one in people if isinstance(one, Comparison)], ai, share)
    if share > 0 and not ai:
        raise DataError("No model has judged a pair of this project.", "Let one judge, or take people's labels alone.")
    if not found:
        raise DataError("There are no comparisons to freeze.", "Judge some, or choose another share of AI labels.")
    told = labels.judges_told() if ai else {}
    return found, provenance(found, share, told)


def round_half_up(value: float) -> int:
    return math.floor(value + 0.5)


def _by(record: Record) -> str:
    return record.source


def _some(records: Sequence[Comparison], count: int) -> list[Comparison]:
    if count >= len(records):
        return list(records)
    order = sorted(range(len(records)), key=lambda n: hashlib.sha256(content_of(records[n]).encode()).digest())
    return [records[n] for n in sorted(order[:count])]
