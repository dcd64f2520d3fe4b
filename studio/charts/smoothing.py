"""The arithmetic of curves: growing buffers, the smoothed line, the ranges, and thinning for the screen. No Qt here."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Series:
    """One curve. Buffers double when full; a step that comes again replaces its value (a resumed run repeats some)."""

    def __init__(self) -> None:
        self._steps = np.empty(256)
        self._values = np.empty(256)
        self.size = 0
        self.rewritten = 0  # how often points that were already there have been taken away

    @property
    def steps(self) -> Floats:
        return self._steps[: self.size]

    @property
    def values(self) -> Floats:
        return self._values[: self.size]

    def add(self, step: float, value: float) -> None:
        if self.size and step <= self._steps[self.size - 1]:
            self.truncate(step - 0.5)
        if self.size == len(self._steps):
            self._steps = np.concatenate([self._steps, np.empty(self.size)])
            self._values = np.concatenate([self._values, np.empty(self.size)])
        self._steps[self.size] = step
        self._values[self.size] = value
        self.size += 1

    def truncate(self, after_step: float) -> None:
        """Forget everything later than `after_step`."""
        kept = int(np.searchsorted(self.steps, after_step, side="right"))
        self.rewritten += kept < self.size
        self.size = kept

    def at(self, step: float) -> tuple[float, float] | None:
        """The point nearest to `step`."""
        if not self.size:
            return None
        right = int(np.searchsorted(self.steps, step))
        left = max(0, right - 1)
        right = min(right, self.size - 1)
        near = left if abs(self._steps[left] - step) <= abs(self._steps[right] - step) else right
        return float(self._steps[near]), float(self._values[near])


def smooth(values: Floats, weight: float) -> Floats:
    """The debiased exponential moving average of TensorBoard. `weight` 0 is the curve itself; NaN and infinities are
    passed over and stay where they are.
    """
    return Smoothed().of(values, weight).copy()


class Smoothed:
    """The smoothed values of a growing series, worked out once for each point and not again at every redraw."""

    def __init__(self) -> None:
        self._weight = -1.0
        self._out = np.empty(256)
        self._size = 0
        self._mean, self._count = 0.0, 0

    def reset(self) -> None:
        self._size = self._count = 0
        self._mean = 0.0

    def of(self, values: Floats, weight: float) -> Floats:
        """`values` smoothed as `smooth()` does; call `reset()` after earlier values have changed."""
        if weight != self._weight or len(values) < self._size:
            self.reset()
            self._weight = weight
        if len(values) > len(self._out):
            self._out = np.concatenate([self._out[: self._size], np.empty(2 * len(values) - self._size)])
        mean, count = self._mean, self._count
        for i, value in enumerate(values[self._size :].tolist(), self._size):
            if math.isfinite(value):
                mean = mean * weight + (1 - weight) * value
                count += 1
                value = mean / (1 - weight**count)
            self._out[i] = value
        self._mean, self._count, self._size = mean, count, len(values)
        return self._out[: self._size]


def nice_end(largest: float) -> float:
    """The right end of the x axis: at least a quarter beyond `largest`, and round, so that it seldom moves."""
    if largest <= 0:
        return 10.0
    aim = largest * 1.25
    unit = 10.0 ** math.floor(math.log10(aim))
    return float(
        next(step * unit for step in (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * unit >= aim * (1 - 1e-9))
    )


def value_range(values: Floats) -> tuple[float, float] | None:
    """The y range that shows all but the wildest hundredth at each end; None while there is nothing finite."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return None
    if len(finite) < 50:
        low, high = float(finite.min()), float(finite.max())
    else:
        low, high = (float(end) for end in np.percentile(finite, (1, 99)))
        low, high = min(low, float(finite[-1])), max(high, float(finite[-1]))  # the newest is always in view
    room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def needs_range(shown: tuple[float, float], wanted: tuple[float, float]) -> bool:
    """Whether the y axis must move: something is outside, or the curve fills less than a third of the height."""
    outside = wanted[0] < shown[0] - 1e-12 or wanted[1] > shown[1] + 1e-12
    return outside or (wanted[1] - wanted[0]) < (shown[1] - shown[0]) / 3


def thin(steps: Floats, values: Floats, most: int = 2000) -> tuple[Floats, Floats]:
    """At most about `most` points with the same outline: the lowest and highest of every stretch, in order."""
    if len(steps) <= most:
        return steps, values
    width = -(-len(steps) // (most // 2))
    whole = len(steps) // width * width
    blocks = np.where(np.isfinite(values[:whole]), values[:whole], 0.0).reshape(-1, width)
    start = np.arange(len(blocks)) * width
    picked = np.sort(np.concatenate([start + blocks.argmin(1), start + blocks.argmax(1), np.arange(whole, len(steps))]))
    return steps[picked], values[picked]
