"""Judging models measured against people: over the pairs that both judged, overall and for each principle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf_engine.judging.agreement import cohen_kappa
from rlhf_engine.judging.intervals import wilson
from rlhf_engine.judging.judgement import Judgement, last_words
from rlhf_engine.store.judgement_meta import unpack_meta

DECIDED = ("a", "b")


@dataclass(frozen=True, slots=True)
class Agreed:
    """How often a judge said what people said of a pair, with its 95 % Wilson interval.

    `hits` of `count` are over pairs on which both prefer an answer; `same` of `total` count ties as verdicts too, and
    `kappa` is over those.
    """

    name: str
    hits: int
    count: int
    same: int
    total: int
    kappa: float | None

    @property
    def share(self) -> float | None:
        return self.hits / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits / self.count if self.count else 0.0, self.count)


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """One judge under one template. `labels` is how many it has given, whether or not people judged the same pairs."""

    model: str
    template: str
    labels: int
    ties: int
    overall: Agreed
    principles: list[Agreed] = field(default_factory=list)


def majority(people: Iterable[Judgement]) -> dict[str, str]:
    """What most people last said of each pair: a, b or tie. Even splits are left out, and so is "both bad", which no
    judge is asked about."""
    found = {}
    for pair, said in last_words(people).items():
        votes = Counter(one.winner for one in said.values()).most_common(2)
        ahead = len(votes) == 1 or votes[0][1] > votes[1][1]
        if ahead and votes[0][0] in (*DECIDED, "tie"):
            found[pair] = votes[0][0]
    return found


def agreed(name: str, said: Mapping[str, str], people: Mapping[str, str]) -> Agreed:
    """A judge's verdicts by pair against people's."""
    both = [(said[pair], winner) for pair, winner in people.items() if pair in said]
    decided = [(one, two) for one, two in both if one in DECIDED and two in DECIDED]
    return Agreed(
        name,
        sum(one == two for one, two in decided),
        len(decided),
        sum(one == two for one, two in both),
        len(both),
        cohen_kappa(both),
    )


def judges_against(people: Sequence[Judgement], rows: Iterable[Mapping[str, Any]]) -> list[JudgeReport]:
    """Every judge against people, the one with most labels first.

    Args:
        rows: judgements by models, as `Labels.judgements("model")` gives them, oldest first. A later word of the same
            judge under the same template takes the place of an earlier one.
    """
    theirs = majority(people)
    overall: dict[tuple[str, str], dict[str, str]] = {}
    by_principle: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in rows:
        meta = unpack_meta(row["judgement_meta"])
        judge = (str(meta.get("model") or row["author"]), str(meta.get("template", "")))
        overall.setdefault(judge, {})[row["pair_id"]] = row["winner"]
        said = meta.get("attributes")
        for name, winner in (said if isinstance(said, dict) else {}).items():
            by_principle.setdefault(judge, {}).setdefault(name, {})[row["pair_id"]] = winner
    found = [
        JudgeReport(
            *judge,
            labels=len(said),
            ties=sum(winner == "tie" for winner in said.values()),
            overall=agreed("", said, theirs),
            principles=[agreed(name, verdicts, theirs) for name, verdicts in by_principle.get(judge, {}).items()],
        )
        for judge, said in overall.items()
    ]
    return sorted(found, key=lambda report: -report.labels)
