"""The arithmetic of curves, with numbers worked by hand."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from studio.charts.smoothing import Series, Smoothed, needs_range, nice_end, smooth, thin, value_range


def test_smoothing_is_debiased() -> None:
    # weight 0.5 over 4, 8: first 4; then (0.5*(0.5*4) + 0.5*8) / (1 - 0.25) = 5 / 0.75
    assert smooth(np.array([4.0, 8.0]), 0.5).tolist() == pytest.approx([4.0, 20 / 3])


def test_smoothing_with_weight_0_changes_nothing_and_a_constant_stays_constant() -> None:
    assert smooth(np.array([1.0, 5.0, 2.0]), 0.0).tolist() == [1.0, 5.0, 2.0]
    assert smooth(np.full(50, 3.0), 0.99).tolist() == pytest.approx([3.0] * 50)


def test_a_nan_does_not_poison_what_follows() -> None:
    out = smooth(np.array([4.0, math.nan, 8.0]), 0.5)
    assert math.isnan(out[1]) and out[2] == pytest.approx(20 / 3)


def test_smoothing_as_points_come_in_is_smoothing_all_at_once() -> None:
    rng = random.Random(1)
    values = np.array([rng.gauss(0, 1) if rng.random() > 0.1 else math.inf for _ in range(700)])
    growing = Smoothed()
    for end in (1, 2, 255, 256, 257, 700):
        out = growing.of(values[:end], 0.9)
    assert out.tolist() == pytest.approx(smooth(values, 0.9).tolist())
    assert growing.of(values, 0.3).tolist() == pytest.approx(smooth(values, 0.3).tolist())


def test_a_series_grows_and_forgets_what_a_resumed_run_says_again() -> None:
    series = Series()
    for step in range(1000):
        series.add(step, step * 2.0)
    assert series.size == 1000 and series.values[999] == 1998.0
    series.truncate(400)
    assert series.size == 401 and series.steps[-1] == 400
    series.add(400, -1.0)  # the step again: its new value counts
    assert series.size == 401 and series.values[-1] == -1.0
    assert series.at(399.6) == (400.0, -1.0) and series.at(-5) == (0.0, 0.0)


def test_the_right_end_is_round_and_seldom_moves() -> None:
    assert nice_end(0) == 10.0
    assert nice_end(8) == 10.0
    assert nice_end(9) == 12.5
    assert nice_end(80) == 100.0
    assert nice_end(1000) == 1250.0
    ends = {nice_end(step) for step in range(1, 100_000)}
    assert len(ends) < 60


def test_the_range_leaves_out_the_wildest_and_keeps_the_newest() -> None:
    values = np.concatenate([np.full(500, 1.0), [1e9], np.full(500, 2.0)])
    low, high = value_range(values) or (0, 0)
    assert high < 10 and low < 1.0
    low, high = value_range(np.concatenate([np.full(500, 1.0), [50.0]])) or (0, 0)
    assert high > 50.0
    assert value_range(np.array([math.nan, math.inf])) is None
    flat = value_range(np.array([3.0])) or (0, 0)
    assert flat[0] < 3.0 < flat[1]


def test_the_range_moves_only_when_it_must() -> None:
    assert not needs_range((0.0, 10.0), (1.0, 9.0))
    assert needs_range((0.0, 10.0), (1.0, 10.5))
    assert needs_range((0.0, 10.0), (4.0, 6.0))  # a fifth of the height


def test_thinning_keeps_every_peak() -> None:
    values = np.zeros(100_000)
    values[54_321] = 7.0
    values[99_999] = -3.0
    x, y = thin(np.arange(100_000.0), values, 2000)
    assert len(x) < 2200 and y.max() == 7.0 and y.min() == -3.0
    assert (np.diff(x) >= 0).all() and x[y.argmax()] == 54_321
