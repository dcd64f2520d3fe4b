"""How a reward model's held-out accuracy grows with the number of labels, and how many more a wished accuracy needs.

Source: Hestness et al. 2017, "Deep Learning Scaling is Predictable, Empirically", arXiv:1712.00409, section 3 (a power
law with an irreducible part); Figueroa et al. 2012, "Predicting sample size required for classification performance".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

FEWEST = 3  # points for a curve of three numbers
RESAMPLED = 400
FAR = 100  # times the labels one has: what lies beyond is not told as a number
MEANING = (
    "The interval is what chance among the held-out pairs leaves open, if accuracy grows on as a power law of the "
    "labels. More labels, more held-out pairs and more sizes make it narrower."
)
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """A reward model that was trained on `labels` comparisons, and was right on a share of `of` held-out ones."""

    labels: int
    accuracy: float
    of: int


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """accuracy = c - a n^-b, with a >= 0 and c <= 1: it rises with n towards c."""

    c: float
    a: float
    b: float

    def at(self, labels: float) -> float:
        return self.c - self.a * float(labels**-self.b)

    def labels_for(self, accuracy: float) -> float:
        """Where the curve reaches an accuracy; infinite where it never does."""
        if self.a <= 0 or accuracy >= self.c:
            return math.inf if accuracy > self.at(1.0) else 1.0
        try:
            return float((self.a / (self.c - accuracy)) ** (1 / self.b))
        except OverflowError:
            return math.inf


@dataclass(frozen=True, slots=True)
class Fit:
    """The curve through all points, and curves through points as they might have come out as well."""

    points: tuple[Point, ...]
    law: PowerLaw
    others: tuple[PowerLaw, ...]

    def interval(self, labels: float, level: float = 0.95) -> Interval:
        """Of the accuracy at so many labels."""
        return _middle([law.at(labels) for law in self.others], level)


@dataclass(frozen=True, slots=True)
class Needed:
    """The labels that an accuracy needs beyond those there are; infinite where a curve never gets there."""

    accuracy: float
    have: int
    more: float
    low: float
    high: float

    @property
    def settled(self) -> bool:
        """Whether the interval ends before FAR, or lies beyond it: else a number would say more than is known."""
        far = FAR * self.have
        return self.high <= far or self.low > far


def fit(points: Sequence[Point], seed: int = 0, resampled: int = RESAMPLED) -> Fit | None:
    """The power law of least squared error, each point weighted by its held-out pairs; None for fewer than three sizes.

    The other curves go through accuracies drawn from the binomial distribution about those seen (a parametric
    bootstrap). Points measured on the same held-out pairs err together, so that the interval of the rise is wide rather
    than narrow.
    """
    there = sorted((p for p in points if p.labels > 0 and p.of > 0), key=lambda p: p.labels)
    if len({p.labels for p in there}) < FEWEST:
        return None
    import numpy as np  # heavy: the window reads this file at its start

    n = np.array([p.labels for p in there], dtype=np.float64)
    seen = np.array([p.accuracy for p in there])
    of = np.array([p.of for p in there])
    rng = np.random.default_rng(seed)
    drawn = rng.binomial(of, np.clip(seen, 0, 1), (resampled, len(there))) / of
    laws = _least_squares(n, np.vstack([seen[None], drawn]), of.astype(np.float64))
    return Fit(tuple(there), laws[0], tuple(laws[1:]))


def labels_needed(found: Fit, accuracy: float) -> Needed:
    """How many more labels bring the held-out accuracy to `accuracy`, with a 95 % interval."""
    have = found.points[-1].labels
    more = [max(0.0, law.labels_for(accuracy) - have) for law in (found.law, *found.others)]
    low, high = _middle(more[1:], 0.95)
    return Needed(accuracy, have, more[0], low, high)


def next_goal(found: Fit) -> float:
    """The next multiple of 5 %, at least 1 % above what the curve says of the labels there are; at most 99 %."""
    here = found.law.at(found.points[-1].labels)
    return min(0.99, (math.floor((here + 0.01) * 20 + 1e-9) + 1) / 20)


def answer(found: Fit, accuracy: float) -> str:
    """How many more, in one sentence; where what was measured is not enough for a number, it says so."""
    needed = labels_needed(found, accuracy)
    goal, far, now = f"{accuracy:.0%}", FAR * needed.have, _now(found)
    if needed.more == 0:
        reach = "may reach" if needed.high else "reach"
        return f"The {needed.have:,} labels {reach} {goal} already: the curve stands at {now}."
    if not needed.settled:
        least = f"{_round(needed.low):,} at least" if needed.low else "perhaps none"
        most = f"perhaps more than {far:,}"
        return f"Too little is measured to tell how many more labels {goal} needs: {least}, {most}; now {now}."
    if needed.low > far:
        ceiling = f"it levels off near {found.law.c:.0%}" if found.law.c < accuracy else "it rises too slowly"
        return f"More labels alone will not reach {goal}: the curve stands at {now}, and {ceiling}."
    low, high = _round(needed.low), _round(needed.high)
    return f"About {_round(needed.more):,} more labels for {goal} (95 %: {low:,} to {high:,}); now {now}."


def _now(found: Fit) -> str:
    labels = found.points[-1].labels
    low, high = found.interval(labels)
    return f"{found.law.at(labels):.0%} ({low:.0%} to {high:.0%})"


def _round(value: float) -> int:
    """Two digits are all that such a forecast knows."""
    if value < 10:
        return math.ceil(value)
    unit = int(10 ** (int(math.log10(value)) - 1))
    return math.ceil(value / unit) * unit


def _middle(values: Sequence[float], level: float) -> Interval:
    ordered = sorted(values)
    cut = round((1 - level) / 2 * len(ordered))
    return ordered[cut], ordered[-1 - cut]


def _least_squares(n: Values, seen: Values, weight: Values) -> list[PowerLaw]:
    """For each row of `seen` (R, P) the law with the least weighted squared error, the exponent from a fine grid.

    At a given b the law is a line in x = n^-b, whose c and a have a closed form. Where the best line leaves a >= 0 and
    c <= 1, the best one on the border is taken.
    """
    import numpy as np

    best = np.full(len(seen), np.inf)
    found = np.zeros((len(seen), 3))
    w = weight / weight.sum()
    mean = seen @ w
    for b in np.geomspace(0.05, 2.0, 400):
        x = n**-b
        middle = w @ x
        spread = w @ (x - middle) ** 2
        a = np.maximum(0.0, -((seen - mean[:, None]) @ (w * (x - middle))) / spread)
        c = mean + a * middle
        over = c > 1
        a = np.where(over, np.maximum(0.0, (1 - seen) @ (w * x) / (w @ x**2)), a)
        c = np.where(over, 1.0, c)
        error = ((seen - c[:, None] + a[:, None] * x) ** 2) @ w
        better = error < best - 1e-15
        best = np.where(better, error, best)
        found[better] = np.column_stack([c, a, np.full_like(a, b)])[better]
    return [PowerLaw(*map(float, row)) for row in found]
