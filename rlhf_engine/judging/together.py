"""Several annotators of one project: what they share, how far they agree, and the pairs on which they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from rlhf_engine.judging.agreement import (
    Estimate,
    Item,
    cohen_kappa,
    estimated,
    fleiss_kappa,
    krippendorff_alpha,
    percent_agreement,
)
from rlhf_engine.judging.judgement import Judgement, last_words

FEWEST_SHARED = 10  # pairs that two people judged before a coefficient is told


@dataclass(frozen=True, slots=True)
class Two:
    """Two annotators: over the pairs that both judged, their agreement in percent and Cohen's kappa."""

    first: str
    second: str
    agreement: Estimate
    kappa: Estimate


@dataclass(frozen=True, slots=True)
class Dispute:
    """A pair on which annotators differ. `said` is each one's verdict, `settled` the adjudicator's, "" without one."""

    pair: str
    prompt: str  # its beginning
    said: dict[str, str]
    settled: str = ""
    settled_by: str = ""


@dataclass(frozen=True, slots=True)
class Together:
    """All that can be told of several annotators. `shared` pairs were judged by at least two.

    Fleiss' kappa goes over the pairs with as many verdicts as most shared pairs have (`fleiss_raters`).
    """

    annotators: dict[str, int]
    shared: int
    agreement: Estimate
    fleiss: Estimate
    fleiss_raters: int
    alpha: Estimate
    twos: list[Two] = field(default_factory=list)
    disputes: list[Dispute] = field(default_factory=list)

    @property
    def enough(self) -> bool:
        return self.shared >= FEWEST_SHARED

    @property
    def open_disputes(self) -> list[Dispute]:
        return [dispute for dispute in self.disputes if not dispute.settled]


def together(judgements: Sequence[Judgement]) -> Together:
    """Compare the last words of all annotators. A skip is no verdict; an adjudication settles, and is not compared."""
    words = last_words(judgements)
    shared = {pair: said for pair, said in words.items() if len(said) > 1}
    items: list[Item] = [{who: one.winner for who, one in said.items()} for said in shared.values()]
    raters = _usual(items)
    even = [item for item in items if len(item) == raters]
    names = sorted({who for said in words.values() for who in said})
    counts = Counter(who for said in words.values() for who in said)
    return Together(
        annotators=dict(counts.most_common()),
        shared=len(shared),
        agreement=estimated(items, percent_agreement),
        fleiss=estimated(even, _fleiss),
        fleiss_raters=raters,
        alpha=estimated(items, krippendorff_alpha),
        twos=[two for one, other in combinations(names, 2) if (two := compare(one, other, items)).agreement.count],
        disputes=disputes(judgements),
    )


def compare(first: str, second: str, items: Sequence[Item]) -> Two:
    """Two annotators over the items that both judged. Either may be a model that judges: see `judge_items`."""
    both = [{first: item[first], second: item[second]} for item in items if first in item and second in item]

    def kappa(drawn: list[Item]) -> float | None:
        return cohen_kappa((item[first], item[second]) for item in drawn)

    return Two(first, second, estimated(both, percent_agreement), estimated(both, kappa))


def disputes(judgements: Sequence[Judgement]) -> list[Dispute]:
    """Pairs on which last words differ, those that nobody has settled first, the latest first among them."""
    words = last_words(judgements)
    settled = {said.pair: said for said in judgements if said.adjudicates}
    order = {said.pair: place for place, said in enumerate(judgements)}
    found = []
    for pair, said in words.items():
        if len({one.winner for one in said.values()}) > 1:
            verdict = settled.get(pair)
            winner, by = (verdict.winner, verdict.author) if verdict else ("", "")
            prompt = next(iter(said.values())).prompt
            found.append(Dispute(pair, prompt, {who: one.winner for who, one in said.items()}, winner, by))
    return sorted(found, key=lambda dispute: (bool(dispute.settled), -order[dispute.pair]))


def judge_items(judge: Sequence[Judgement], people: Sequence[Judgement], name: str = "judge") -> list[Item]:
    """What a model said, and what people's majority said, of each pair that both judged; even splits are left out."""
    theirs = last_words(people)
    found: list[Item] = []
    for pair, said in last_words(judge).items():
        votes = Counter(one.winner for one in theirs.get(pair, {}).values()).most_common(2)
        if votes and (len(votes) == 1 or votes[0][1] > votes[1][1]):
            found.append({name: next(reversed(said.values())).winner, "people": votes[0][0]})
    return found


def _usual(items: Sequence[Item]) -> int:
    sizes = Counter(len(item) for item in items)
    return max(sizes, key=lambda size: (sizes[size], size), default=0)


def _fleiss(items: list[Item]) -> float | None:
    return fleiss_kappa([Counter(item.values()) for item in items])
