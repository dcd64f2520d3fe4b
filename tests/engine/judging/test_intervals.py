"""Intervals and tests, against published tables and values worked by hand."""

from __future__ import annotations

import math

import pytest

from rlhf_engine.judging.intervals import (
    binomial_p,
    chi_square_tail,
    median,
    median_interval,
    same_level_p,
    same_share_p,
    wilson,
)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [  # Newcombe 1998, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (5, 10, 0.2366, 0.7634),
    ],
)
def test_wilsons_interval_is_as_published(hits, count, low, high):
    assert wilson(hits / count, count) == pytest.approx((low, high), abs=1e-4)


def test_a_share_of_nothing_can_be_anything():
    assert wilson(0.0, 0) == (0.0, 1.0)


def test_the_binomial_test_by_hand():
    assert binomial_p(1, 5) == pytest.approx(2 * (1 + 5) / 32)  # two tails of {0, 1} of 5
    assert binomial_p(4, 5) == binomial_p(1, 5)
    assert binomial_p(2, 4) == 1.0 and binomial_p(0, 0) == 1.0
    assert binomial_p(60, 100) == pytest.approx(0.05689, abs=1e-5)  # of every table of the exact test


@pytest.mark.parametrize(
    ("value", "freedom"),
    [(3.841, 1), (5.991, 2), (7.815, 3), (9.488, 4), (18.307, 10), (24.996, 15)],  # the 5 % points of every table
)
def test_the_tail_of_chi_square_at_its_tabled_points(value, freedom):
    assert chi_square_tail(value, freedom) == pytest.approx(0.05, abs=5e-5)


def test_two_shares_that_differ_by_hand():
    # 10 of 20 and 15 of 20: expected 12.5, chi-square = 4 * 2.5^2 / 12.5 summed over hits, and over misses 7.5
    value = 2 * 2.5**2 / 12.5 + 2 * 2.5**2 / 7.5
    assert same_share_p([(10, 20), (15, 20), (0, 0)]) == pytest.approx(math.erfc(math.sqrt(value / 2)))
    assert same_share_p([(10, 20)]) == same_share_p([(0, 5), (0, 9)]) == 1.0


def test_levels_that_differ_by_hand():
    # ranks 1 2 3 | 4 5 6: H = 12/42 * (36/3 + 225/3) - 21 = 27/7, one degree of freedom
    assert same_level_p([[1.0, 2.0, 3.0], [10.0, 11.0, 12.0]]) == pytest.approx(math.erfc(math.sqrt(27 / 14)))
    # 1 1 | 2 2: ranks 1.5 1.5 3.5 3.5, H = 12/20 * (9/2 + 49/2) - 15 = 2.4, over 1 - 12/60
    assert same_level_p([[1.0, 1.0], [2.0, 2.0]]) == pytest.approx(math.erfc(math.sqrt(3.0 / 2)))
    assert same_level_p([[1.0], [1.0]]) == same_level_p([[1.0, 2.0], []]) == 1.0


def test_the_median_and_its_interval():
    assert median([3, 1, 2]) == 2 and median([4, 1, 2, 3]) == 2.5
    # of 10 values the second and the ninth: P(at most 1 below) = 11/1024 = 1.1 %, at most 2 would be 5.5 %
    assert median_interval(list(range(1, 11))) == (2, 9)
    assert median_interval([5.0, 7.0]) == (5.0, 7.0)
