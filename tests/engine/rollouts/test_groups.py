"""Advantages within groups, by hand: scores 1, 2, 3 and 6 for one prompt, and four alike for another."""

from __future__ import annotations

import pytest
import torch

from rlhf_engine.rollouts.groups import (
    best_and_worst,
    best_of_n_kl,
    expected_best,
    flat_groups,
    group_advantages,
    group_metrics,
    leave_one_out,
    per_token,
    returns_to_go,
)

SCORES = torch.tensor([1.0, 2.0, 3.0, 6.0, 5.0, 5.0, 5.0, 5.0])


def test_each_score_against_the_mean_of_the_others():
    # 1 - 11/3, 2 - 10/3, 3 - 9/3, 6 - 6/3
    assert leave_one_out(SCORES, 4).tolist() == pytest.approx([-8 / 3, -4 / 3, 0.0, 4.0, 0, 0, 0, 0])


def test_each_score_against_its_group():
    # mean 3, unbiased standard deviation sqrt(14 / 3) = 2.160247
    group = group_advantages(SCORES, 4, "group").tolist()
    assert group == pytest.approx([-0.925777, -0.462889, 0.0, 1.388666, 0, 0, 0, 0], abs=1e-6)
    assert group_advantages(SCORES, 4, "none").tolist() == [-2.0, -1.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0]
    # all eight: mean 4, squares 9 4 1 4 1 1 1 1 = 22, deviation sqrt(22 / 7) = 1.772811
    batch = group_advantages(SCORES, 4, "batch").tolist()
    assert batch[:4] == pytest.approx([-1.128089, -0.564044, 0.0, 1.692133], abs=1e-6)


def test_groups_do_not_see_each_other():
    swapped = torch.cat([SCORES[4:], SCORES[:4]])
    for how in (lambda s: leave_one_out(s, 4), lambda s: group_advantages(s, 4, "group")):
        assert how(swapped).tolist() == [*how(SCORES)[4:].tolist(), *how(SCORES)[:4].tolist()]


def test_flat_groups_are_found_and_counted():
    assert flat_groups(SCORES, 4).tolist() == [False] * 4 + [True] * 4
    assert group_metrics(SCORES, 4) == pytest.approx({"groups/zero_std": 0.5, "groups/spread": 2.160247 / 2})
    assert group_metrics(SCORES, 1)["groups/spread"] == 0.0


def test_what_is_still_to_come_carries_over_a_hole_and_leaves_padding_out():
    rewards = torch.tensor([[1.0, 900.0, 2.0, 900.0]])
    mask = torch.tensor([[True, False, True, False]])
    assert returns_to_go(rewards, mask, 0.5).tolist() == [[2.0, 0.0, 2.0, 0.0]]
    assert returns_to_go(rewards, mask, 1.0).tolist() == [[3.0, 0.0, 2.0, 0.0]]
    assert per_token(torch.tensor([3.0]), mask).tolist() == [[3.0, 0.0, 3.0, 0.0]]


def test_the_best_and_the_worst_of_each_group():
    picked = best_and_worst(torch.tensor([2.0, 1.0, 6.0, 3.0, 5.0, 5.0, 5.0, 5.0]), 4)
    assert picked.best.tolist() == [2, 4] and picked.worst.tolist() == [1, 4]
    assert picked.differs.tolist() == [True, False]


def test_the_expected_best_of_k():
    # of 1 2 3 6: one 12/4; pairs have the best 2 3 6 3 6 6, 26/6; triples 3 6 6 6, 21/4; all four 6
    assert expected_best(SCORES[:4], 4).tolist() == pytest.approx([3.0, 26 / 6, 21 / 4, 6.0])
    assert expected_best(SCORES, 4).tolist() == pytest.approx([4.0, (26 / 6 + 5) / 2, (21 / 4 + 5) / 2, 5.5])


def test_what_best_of_n_costs_at_most():
    assert best_of_n_kl(1) == 0.0
    assert best_of_n_kl(2) == pytest.approx(0.693147 - 0.5, abs=1e-6)
    assert best_of_n_kl(16) == pytest.approx(2.772589 - 15 / 16, abs=1e-6)
