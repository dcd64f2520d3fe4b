"""Intervals and tests for shares, medians and differences between groups. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence

Interval = tuple[float, float]


def wilson(share: float, count: int, z: float = 1.96) -> Interval:
    """The 95 % interval of a share seen in `count` cases; (0, 1) for none.

    With p the share and n the count: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).

    Source: Wilson 1927, JASA 22, 209-212; Newcombe 1998, Statistics in Medicine 17, 857-872, method 3.
    """
    if count == 0:
        return 0.0, 1.0
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def binomial_p(hits: int, count: int) -> float:
    """How probable a split at least as uneven as `hits` of `count` is where both sides are equally likely."""
    if not count:
        return 1.0
    few = min(hits, count - hits)
    tail = math.fsum(math.exp(_log_choose(count, k) - count * math.log(2)) for k in range(few + 1))
    return min(1.0, 2 * tail)


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle. Not for no values."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def median_interval(values: Sequence[float]) -> Interval:
    """An interval with at least 95 % for the median, whatever the distribution: between two of the values themselves.

    The number of values below the true median is binomial with one half. The ends are the k-th smallest and the k-th
    largest value, for the largest k that leaves at most 2.5 % below; the smallest and largest where there are too few.

    Source: Conover 1999, Practical Nonparametric Statistics, section 3.2.
    """
    ordered, count = sorted(values), len(values)
    k, below = 0, 0.0
    while k < count // 2:
        below += math.exp(_log_choose(count, k) - count * math.log(2))
        if below > 0.025:
            break
        k += 1
    k = max(1, k)
    return ordered[k - 1], ordered[count - k]


def chi_square_tail(value: float, freedom: int) -> float:
    """The probability that chi-square with `freedom` degrees exceeds `value`.

    Closed forms of the regularised gamma function Q(freedom/2, value/2): from Q(1, y) = e^-y or Q(1/2, y) = erfc(√y)
    up by Q(s+1, y) = Q(s, y) + y^s e^-y / Γ(s+1).

    Source: Abramowitz and Stegun 1964, 26.4.4 and 26.4.5.
    """
    if freedom < 1 or value <= 0:
        return 1.0
    y = value / 2
    s, tail = (1.0, math.exp(-y)) if freedom % 2 == 0 else (0.5, math.erfc(math.sqrt(y)))
    while s < freedom / 2 - 0.25:
        tail += math.exp(s * math.log(y) - y - math.lgamma(s + 1))
        s += 1
    return min(1.0, tail)


def same_share_p(groups: Sequence[tuple[int, int]]) -> float:
    """How probable it is that shares differ at least so much when all groups have one: Pearson's chi-square test.

    Args:
        groups: (hits, cases) of each group. Groups without cases are passed over.
    """
    there = [(hits, cases) for hits, cases in groups if cases]
    cases = sum(n for _, n in there)
    share = sum(hits for hits, _ in there) / cases if cases else 0.0
    if len(there) < 2 or share in (0.0, 1.0):
        return 1.0
    value = sum((hits - n * share) ** 2 / (n * share * (1 - share)) for hits, n in there)
    return chi_square_tail(value, len(there) - 1)


def same_level_p(groups: Sequence[Sequence[float]]) -> float:
    """How probable it is that values of groups differ at least so much in rank when all come from one distribution.

    The test of Kruskal and Wallis: H = 12 / (n(n+1)) Σ R²/m - 3(n+1), with R the sum of ranks and m the size of a
    group, divided by 1 - Σ(t³-t)/(n³-n) for ties; chi-square with one degree less than there are groups.

    Source: Kruskal and Wallis 1952, JASA 47, 583-621.
    """
    there = [list(group) for group in groups if len(group)]
    values = sorted(value for group in there for value in group)
    n = len(values)
    if len(there) < 2 or values[0] == values[-1]:
        return 1.0
    rank: dict[float, float] = {}
    tied = 0.0
    start = 0
    while start < n:
        end = start
        while end < n and values[end] == values[start]:
            end += 1
        rank[values[start]] = (start + 1 + end) / 2
        tied += (end - start) ** 3 - (end - start)
        start = end
    h = 12 / (n * (n + 1)) * sum(sum(rank[v] for v in group) ** 2 / len(group) for group in there) - 3 * (n + 1)
    return chi_square_tail(h / (1 - tied / (n**3 - n)), len(there) - 1)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
