"""How far annotators agree: in percent, and beyond what chance would give.

Items are dicts of annotator to verdict; verdicts are values that are equal or not. All functions give None where the
numbers say nothing: no item with two verdicts, or one verdict everywhere, which chance alone would explain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

Item = Mapping[str, Hashable]  # annotator -> verdict
Distance = Callable[[Hashable, Hashable], float]
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A coefficient with its 95 % interval over `count` items; `value` is None where it cannot be told."""

    value: float | None
    low: float = 0.0
    high: float = 0.0
    count: int = 0


def percent_agreement(items: Iterable[Item]) -> float | None:
    """Of all pairs of verdicts on one item, the share that is equal; each item has the same weight.

    With two annotators that is the share of items on which they agree.
    """
    shares = []
    for item in items:
        count = len(item)
        if count > 1:
            equal = sum(n * (n - 1) for n in Counter(item.values()).values())
            shares.append(equal / (count * (count - 1)))
    return sum(shares) / len(shares) if shares else None


def cohen_kappa(said: Iterable[tuple[Hashable, Hashable]]) -> float | None:
    """Agreement of two annotators beyond chance: κ = (p_o - p_e) / (1 - p_e).

    p_o is the share of items on which they agree; p_e = Σ_k p₁(k) p₂(k) what their own habits would give by chance.

    Args:
        said: what the first and what the second said of each item.

    Source: Cohen 1960, Educational and Psychological Measurement 20, 37-46.
    """
    pairs = list(said)
    if not pairs:
        return None
    n = len(pairs)
    first, second = Counter(one for one, _ in pairs), Counter(two for _, two in pairs)
    observed = sum(one == two for one, two in pairs) / n
    expected = sum(first[verdict] * second[verdict] for verdict in first) / (n * n)
    return None if expected == 1 else (observed - expected) / (1 - expected)


def fleiss_kappa(counts: Sequence[Mapping[Hashable, int]]) -> float | None:
    """Agreement of m annotators beyond chance, not necessarily the same m on each item: κ = (P - P_e) / (1 - P_e).

    P is the mean over items of Σ_k n_k(n_k - 1) / (m(m - 1)), and P_e = Σ_k p_k² with p_k the share of verdict k.

    Args:
        counts: for each item how many annotators gave each verdict; all items have equally many.

    Raises:
        ValueError: items with different numbers of verdicts, or fewer than two: use Krippendorff's alpha.

    Source: Fleiss 1971, Psychological Bulletin 76, 378-382, equations 1 to 9.
    """
    if not counts:
        return None
    sizes = {sum(item.values()) for item in counts}
    if len(sizes) > 1 or min(sizes) < 2:
        raise ValueError(f"Items have {sorted(sizes)} verdicts; Fleiss' kappa needs equally many, at least two.")
    m = sizes.pop()
    totals: Counter[Hashable] = Counter()
    for item in counts:
        totals.update(item)
    observed = sum(n * (n - 1) for item in counts for n in item.values()) / (len(counts) * m * (m - 1))
    expected = sum((n / (len(counts) * m)) ** 2 for n in totals.values())
    return None if expected == 1 else (observed - expected) / (1 - expected)


def different(one: Hashable, two: Hashable) -> float:
    """The nominal distance: verdicts are equal or not."""
    return float(one != two)


def krippendorff_alpha(items: Iterable[Item], distance: Distance = different) -> float | None:
    """Agreement beyond chance of any number of annotators, with verdicts missing: alpha = 1 - D_o / D_e.

    Over items u with m_u ≥ 2 verdicts, n verdicts in all: D_o = 1/n Σ_u Σ_{i≠j} δ²(v_i, v_j) / (m_u - 1), and
    D_e = Σ_{i≠j} δ²(v_i, v_j) / (n(n - 1)) over all verdicts of those items.

    Args:
        distance: δ², the squared difference of two verdicts; the default is nominal.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C.
    """
    pairable = [list(item.values()) for item in items if len(item) > 1]
    totals = Counter(verdict for said in pairable for verdict in said)
    n = sum(totals.values())
    apart = sum(totals[a] * totals[b] * distance(a, b) for a in totals for b in totals)
    if apart == 0:
        return None
    seen = sum(2 * sum(distance(a, b) for a, b in combinations(said, 2)) / (len(said) - 1) for said in pairable)
    return 1 - (n - 1) * seen / apart


def estimated(items: Sequence[Item], coefficient: Callable[[list[Item]], float | None], seed: int = 0) -> Estimate:
    """A coefficient and its 95 % interval by drawing the items anew, with replacement; fewer times for many items.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3 (percentile interval).
    """
    import numpy as np

    value = coefficient(list(items))
    if value is None:
        return Estimate(None, count=len(items))
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES if len(items) <= 1000 else 200):
        again = coefficient([items[i] for i in rng.integers(0, len(items), len(items))])
        if again is not None:
            drawn.append(again)
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (value, value)
    return Estimate(value, float(low), float(high), len(items))
