"""Repeats are compared with what they repeat; the ceiling follows from them."""

from __future__ import annotations

import random

import pytest

from rlhf_engine.judging.consistency import ceiling, consistency
from rlhf_engine.judging.judgement import Judgement


def judged(id, winner, left="a", repeat_of="", pair="p"):
    return Judgement(id, pair, "ann", winner, left=left, seconds=5.0, repeat_of=repeat_of)


def test_repeats_are_counted_by_hand():
    rows = [
        judged("1", "a"), judged("2", "b"), judged("3", "tie"), judged("4", "a"), judged("5", "skip"),
        judged("6", "a", "b", "1"),  # the same winner on the other side
        judged("7", "a", "a", "2"),  # another winner
        judged("8", "tie", "b", "3"),  # the same, undecided
        judged("9", "tie", "b", "4"),
        judged("10", "a", "a", "5"),  # what it repeats was a skip
        judged("11", "skip", "a", "1"),
        judged("12", "b", "a", "gone"),
    ]  # fmt: skip
    found = consistency(rows)
    assert (found.repeats, found.same) == (4, 2)
    assert (found.decided, found.same_winner) == (2, 1)
    assert (found.turned, found.unturned) == ((2, 3), (0, 1))
    assert found.share == 0.5 and not found.enough
    assert consistency([]).interval == (0.0, 1.0)


def test_the_ceiling_by_hand():
    assert ceiling(1.0) == 1.0
    assert ceiling(0.82) == pytest.approx(0.9)  # 0.9^2 + 0.1^2
    assert ceiling(0.68) == pytest.approx(0.8)  # 0.8^2 + 0.2^2
    assert ceiling(0.5) == ceiling(0.3) == 0.5


def test_the_ceiling_is_what_a_perfect_model_reaches_on_noisy_labels():
    draw = random.Random(1)
    n, error = 20_000, 0.15
    first = [draw.random() > error for _ in range(n)]
    again = [draw.random() > error for _ in range(n)]
    rows = [judged(f"{i}", "a" if right else "b", pair=f"{i}") for i, right in enumerate(first)]
    rows += [judged(f"r{i}", "a" if right else "b", "a", f"{i}", f"{i}") for i, right in enumerate(again)]
    found = consistency(rows)
    measured = sum(first) / n  # of a model that always says a
    low, high = found.ceiling_interval
    assert low < measured < high and high - low < 0.02
