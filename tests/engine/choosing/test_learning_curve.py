"""The power law of accuracy against labels: curves with known numbers are found again."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlhf_engine.choosing.learning_curve import Point, PowerLaw, answer, fit, labels_needed, next_goal


def points(law, sizes, of=10**9):
    return [Point(n, law(n), of) for n in sizes]


def exact(n):
    """0.9 - 0.8 / sqrt(n): 0.7 at 16, 0.8 at 64, 0.85 at 256, 0.875 at 1024."""
    return {16: 0.7, 64: 0.8, 256: 0.85, 1024: 0.875}[n]


def test_a_curve_without_noise_is_found_again():
    found = fit(points(exact, (16, 64, 256, 1024)), resampled=20)
    assert found is not None
    # the grid's exponents lie 0.9 % apart
    assert found.law.c == pytest.approx(0.9, abs=0.001)
    assert found.law.a == pytest.approx(0.8, rel=0.02) and found.law.b == pytest.approx(0.5, rel=0.01)


def test_the_labels_for_an_accuracy_follow_from_the_law():
    law = PowerLaw(0.9, 0.8, 0.5)
    assert law.at(64) == pytest.approx(0.8)
    assert law.labels_for(0.89) == pytest.approx(6400)  # (0.8 / 0.01)^2
    assert law.labels_for(0.9) == math.inf and law.labels_for(0.95) == math.inf
    found = fit(points(exact, (16, 64, 256, 1024)), resampled=50)
    assert labels_needed(found, 0.89).more == pytest.approx(6400 - 1024, rel=0.05)
    assert labels_needed(found, 0.8).more == 0


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng, held, sizes = np.random.default_rng(0), 0, (50, 100, 200, 400, 800)
    for _ in range(60):
        seen = [Point(n, rng.binomial(500, 0.85 - 0.9 * n**-0.5) / 500, 500) for n in sizes]
        low, high = fit(seen, resampled=200).interval(800)
        held += low <= 0.85 - 0.9 * 800**-0.5 <= high
    assert held >= 51  # of 60; fewer than 51 at 95 % have probability 0.002


def test_more_held_out_pairs_make_the_interval_narrower():
    few, many = (fit(points(exact, (16, 64, 256, 1024), of), resampled=200).interval(4096) for of in (100, 10_000))
    assert few[1] - few[0] > 3 * (many[1] - many[0])


def test_a_curve_never_passes_one_and_never_falls():
    steep = fit([Point(10, 0.5, 100), Point(20, 0.8, 100), Point(40, 1.0, 100)], resampled=50)
    assert all(law.c <= 1.0 and law.a >= 0 for law in (steep.law, *steep.others))
    falling = fit([Point(10, 0.8, 100), Point(20, 0.7, 100), Point(40, 0.6, 100)], resampled=50)
    assert falling.law.a == 0.0 and falling.law.c == pytest.approx(0.7)
    assert labels_needed(falling, 0.75).more == math.inf


def test_two_sizes_make_no_curve():
    assert fit([Point(10, 0.6, 50), Point(20, 0.7, 50), Point(20, 0.72, 50)]) is None
    assert fit([]) is None


def test_more_labels_make_the_interval_narrower():
    sizes = (16, 64, 256, 1024)
    three, four = (fit(points(exact, sizes[:count], 500), resampled=400) for count in (3, 4))
    (low, high), (narrow_low, narrow_high) = three.interval(1024), four.interval(1024)
    assert low <= narrow_low < narrow_high <= high and high - low > 1.5 * (narrow_high - narrow_low)


def test_the_answer_is_one_sentence():
    sure = fit(points(exact, (16, 64, 256, 1024), 200_000), resampled=200)
    assert next_goal(sure) == pytest.approx(0.9)
    # the truth is (0.8 / 0.02)^2 - 1024 = 576
    assert answer(sure, 0.88).startswith("About ") and "more labels for 88% (95 %: " in answer(sure, 0.88)
    assert labels_needed(sure, 0.88).low < 576 < labels_needed(sure, 0.88).high
    assert answer(sure, 0.99).startswith("More labels alone will not reach 99%")
    assert "levels off near 90%" in answer(sure, 0.99)
    assert answer(sure, 0.6).startswith("The 1,024 labels reach 60% already")


def test_where_too_little_is_measured_no_number_is_told():
    found = fit(points(exact, (16, 64, 256, 1024), 200), resampled=200)
    for goal in (0.89, 0.92):  # the first can be reached by the truth, the second cannot: 200 pairs do not tell
        assert not labels_needed(found, goal).settled
        told = answer(found, goal)
        assert told.startswith("Too little is measured") and "perhaps more than 102,400" in told
        assert "will not reach" not in told and "About" not in told
    assert answer(found, 0.87).startswith("The 1,024 labels may reach 87% already")


def test_it_is_seldom_said_that_labels_will_not_do_where_they_would():
    rng, wrong, sizes = np.random.default_rng(0), 0, (60, 120, 240, 480)
    for _ in range(40):
        seen = [Point(n, rng.binomial(500, 0.9 - 0.8 * n**-0.4) / 500, 500) for n in sizes]
        wrong += answer(fit(seen, resampled=200), 0.85).startswith("More labels alone")  # 544 more would do
    assert wrong <= 4
