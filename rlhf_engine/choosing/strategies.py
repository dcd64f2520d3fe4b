"""In which order waiting pairs are asked. Pairs that are nearly the same as one asked before go to the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlhf_engine.choosing.clusters import clusters
from rlhf_engine.choosing.likeness import near_duplicates
from rlhf_engine.choosing.orders import BEST_WORST, COVERAGE, DISAGREE, ENSEMBLE, OLDEST, RANDOM, UNCERTAIN
from rlhf_engine.choosing.scores import PairScore, probability


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair that could be asked. `winner` is "a", "b" or "tie" where a person has judged it already."""

    id: str
    prompt: str
    a: str
    b: str
    score: PairScore | None = None
    winner: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A pair in its place, and why it is there.

    `why` is the strategy, or "unscored" for a pair without scores, or "duplicate" for one that is nearly the same as an
    earlier one. `value` is the number it was ordered by: of UNCERTAIN, BEST_WORST and DISAGREE the probability that
    the model gives to the answer that it prefers, of ENSEMBLE the deviation of the heads' margins, of COVERAGE how many
    pairs of its cluster were judged or planned before it.
    """

    id: str
    why: str
    value: float = 0.0


def arrange(pairs: Sequence[Candidate], strategy: str, seed: int = 0, judged: Sequence[str] = ()) -> list[Turn]:
    """All of `pairs` in the order of a strategy. `judged` are the prompts of pairs that were judged before.

    DISAGREE keeps only the pairs where the model prefers another answer than the person did.

    Raises:
        KeyError: no such strategy.
    """
    if strategy == OLDEST:
        return [Turn(pair.id, OLDEST) for pair in pairs]
    if strategy == DISAGREE:
        return _disagreeing(pairs)
    if strategy == RANDOM:
        order = list(pairs)
        random.Random(seed).shuffle(order)
        turns = [Turn(pair.id, RANDOM) for pair in order]
    elif strategy == COVERAGE:
        turns = _covering(pairs, judged, seed)
    else:
        turns = _ORDERS[strategy](pairs)
        turns += [Turn(pair.id, "unscored") for pair in pairs if pair.score is None]
    return _apart(turns, pairs)


def _uncertain(pairs: Sequence[Candidate]) -> list[Turn]:
    """Nearest to one half first. Source: Lewis and Gale 1994, "A sequential algorithm for training text classifiers"
    (uncertainty sampling)."""
    scored = sorted((abs(pair.score.margin), n) for n, pair in enumerate(pairs) if pair.score)
    return [Turn(pairs[n].id, UNCERTAIN, probability(margin)) for margin, n in scored]


def _ensemble(pairs: Sequence[Candidate]) -> list[Turn]:
    """Where the heads disagree most first. Source: Christiano et al. 2017, arXiv:1706.03741, section 2.2.4."""
    scored = sorted((-pair.score.spread, n) for n, pair in enumerate(pairs) if pair.score)
    return [Turn(pairs[n].id, ENSEMBLE, -spread) for spread, n in scored]


def _best_worst(pairs: Sequence[Candidate]) -> list[Turn]:
    """Of each prompt the pair that is furthest apart; when all prompts had a turn, each one's next."""
    widest = sorted((-abs(pair.score.margin), n) for n, pair in enumerate(pairs) if pair.score)
    met: Counter[str] = Counter()
    ranked = []
    for margin, n in widest:
        ranked.append((met[pairs[n].prompt], margin, n))
        met[pairs[n].prompt] += 1
    return [Turn(pairs[n].id, BEST_WORST, probability(-margin)) for _, margin, n in sorted(ranked)]


def _covering(pairs: Sequence[Candidate], judged: Sequence[str], seed: int) -> list[Turn]:
    """Always a pair of the cluster of prompts that had the fewest so far; within a cluster the oldest."""
    of = clusters([pair.prompt for pair in pairs] + list(judged), seed=seed)
    had = Counter(of[len(pairs) :])
    waiting: dict[int, list[int]] = {}
    for n in range(len(pairs)):
        waiting.setdefault(of[n], []).append(n)
    turns = []
    while waiting:
        cluster = min(waiting, key=lambda k: (had[k], waiting[k][0]))
        turns.append(Turn(pairs[waiting[cluster].pop(0)].id, COVERAGE, float(had[cluster])))
        had[cluster] += 1
        if not waiting[cluster]:
            del waiting[cluster]
    return turns


def _disagreeing(pairs: Sequence[Candidate]) -> list[Turn]:
    """Where the model is surest of the other answer first."""
    wrong = [
        (-abs(pair.score.margin), n)
        for n, pair in enumerate(pairs)
        if pair.score and pair.winner in ("a", "b") and (pair.score.margin > 0) != (pair.winner == "a")
    ]
    return [Turn(pairs[n].id, DISAGREE, probability(-margin)) for margin, n in sorted(wrong)]


def _apart(turns: Sequence[Turn], pairs: Sequence[Candidate]) -> list[Turn]:
    """The same turns with near-duplicates of an earlier one at the end, still in their order."""
    texts = {pair.id: f"{pair.prompt}\n{pair.a}\n{pair.b}" for pair in pairs}
    again = near_duplicates([texts[turn.id] for turn in turns])
    first = [turn for n, turn in enumerate(turns) if n not in again]
    return first + [Turn(turns[n].id, "duplicate") for n in sorted(again)]


_ORDERS: dict[str, Callable[[Sequence[Candidate]], list[Turn]]] = {
    UNCERTAIN: _uncertain,
    ENSEMBLE: _ensemble,
    BEST_WORST: _best_worst,
}
