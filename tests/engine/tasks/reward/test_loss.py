"""The losses by hand: chosen 1 and 0.2, rejected 0.3 and 0.5, so that they are 0.7 and -0.3 apart."""

import itertools
import math

import pytest
import torch

from rlhf_engine.tasks.reward.loss import (
    best_loss,
    bradley_terry_loss,
    centering_loss,
    order_loss,
    rao_kupper_loss,
    split_tie_loss,
    win_log_probability,
)

CHOSEN, REJECTED = torch.tensor([1.0, 0.2]), torch.tensor([0.3, 0.5])
NOBODY, ALL = torch.tensor([False, False]), torch.tensor([True, True])
TWO = torch.tensor(math.log(2.0))  # theta 2


def test_the_mean_over_two_pairs():
    assert bradley_terry_loss(CHOSEN, REJECTED).mean().item() == pytest.approx(0.628771, abs=1e-6)


def test_a_margin_asks_for_more():
    found = bradley_terry_loss(CHOSEN, REJECTED, torch.tensor([0.0, 0.5])).mean().item()
    assert found == pytest.approx(0.787143, abs=1e-6)


def test_centering_squares_the_sum():
    # 0.01 * (1.3^2 + 0.7^2) / 2
    assert 0.01 * centering_loss(CHOSEN, REJECTED).mean().item() == pytest.approx(0.0109, abs=1e-6)


def test_equal_scores_cost_ln_2():
    assert bradley_terry_loss(CHOSEN, CHOSEN).tolist() == pytest.approx([math.log(2)] * 2)


def test_smoothing_mixes_in_the_other_direction():
    # label one half: -(log sigma(d) + log sigma(-d)) / 2, known for d = 0.7 and -0.3
    found = bradley_terry_loss(CHOSEN, REJECTED, smoothing=0.5)
    assert found.tolist() == pytest.approx([0.753186, 0.704355], abs=1e-6)


def test_far_apart_scores_stay_finite():
    assert bradley_terry_loss(torch.tensor([-500.0]), torch.tensor([500.0])).item() == pytest.approx(1000.0)


# Ties -----------------------------------------------------------------------------------------------------------------


def test_a_split_tie_is_half_a_win_for_each():
    assert split_tie_loss(CHOSEN, REJECTED).tolist() == pytest.approx([0.753186, 0.704355], abs=1e-6)


def test_a_split_tie_has_no_sides_and_pulls_the_scores_together():
    assert torch.equal(split_tie_loss(CHOSEN, REJECTED), split_tie_loss(REJECTED, CHOSEN))
    first = torch.tensor([1.0, 0.0], requires_grad=True)
    split_tie_loss(first, torch.zeros(2)).sum().backward()
    assert first.grad.tolist() == pytest.approx([1 / (1 + math.exp(-1)) - 0.5, 0.0])  # sigma(d) - 1/2


def test_rao_kupper_by_hand():
    # theta 2, scores ln 3 and 0: win 3 / (3 + 2), loss 1 / (1 + 6), and the tie 3 * 3 / (5 * 7) is what they leave
    first, second = torch.tensor([math.log(3.0)] * 2), torch.zeros(2)
    win = rao_kupper_loss(first, second, torch.tensor([False, True]), TWO)
    assert win.exp().reciprocal().tolist() == pytest.approx([3 / 5, 9 / 35])
    other_way = rao_kupper_loss(second, first, torch.tensor([False, True]), TWO)
    assert other_way.exp().reciprocal().tolist() == pytest.approx([1 / 7, 9 / 35])


@pytest.mark.parametrize("theta", [1.05, 1.5, 4.0, 50.0])
def test_win_loss_and_tie_are_all_there_is(theta):
    log_theta = torch.tensor(math.log(theta), dtype=torch.float64)
    first, second = torch.tensor([1.0, -3.0], dtype=torch.float64), torch.tensor([0.3, 4.0], dtype=torch.float64)
    outcomes = [
        rao_kupper_loss(first, second, NOBODY, log_theta),
        rao_kupper_loss(second, first, NOBODY, log_theta),
        rao_kupper_loss(first, second, ALL, log_theta),
    ]
    assert sum((-loss).exp() for loss in outcomes).tolist() == pytest.approx([1.0, 1.0])


def test_without_ties_rao_kupper_is_bradley_terry():
    none = torch.zeros(())
    margins = torch.tensor([0.0, 0.5])
    for extra in ({}, {"margins": margins}, {"smoothing": 0.2}):
        expected = bradley_terry_loss(CHOSEN, REJECTED, **extra)
        assert rao_kupper_loss(CHOSEN, REJECTED, NOBODY, none, **extra).tolist() == pytest.approx(expected.tolist())


def test_rao_kupper_stays_finite_and_its_threshold_learns_from_both():
    log_theta = torch.tensor(0.4, requires_grad=True)
    far = torch.tensor([300.0, 300.0], requires_grad=True)
    for tied, sign in ((NOBODY, 1), (ALL, -1)):
        loss = rao_kupper_loss(far * 0.001, torch.zeros(2), tied, log_theta).sum()
        (grad,) = torch.autograd.grad(loss, log_theta)
        assert math.copysign(1, grad.item()) == sign  # wins want a narrow threshold, ties a wide one
    loss = rao_kupper_loss(far, torch.zeros(2), torch.tensor([False, True]), log_theta)
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([0.0, 300 - 0.4 - math.log(math.exp(0.8) - 1) + 0.8], abs=1e-3)
    assert torch.isfinite(far.grad).all()


def test_a_decided_pair_is_as_likely_as_bradley_terry_says_and_more_certain_where_ties_take_the_doubtful():
    apart = torch.tensor([0.7, -0.3, 0.0])
    assert win_log_probability(apart).exp().tolist() == pytest.approx([0.668188, 0.425557, 0.5], abs=1e-6)
    # theta 2, scores ln 3 apart: (3/5) / (3/5 + 1/7) = 21/26, where sigma(ln 3) is 3/4
    assert win_log_probability(torch.tensor([math.log(3.0)]), TWO).exp().item() == pytest.approx(21 / 26)
    assert win_log_probability(torch.tensor([-800.0])).item() == pytest.approx(-800.0)


# Lists ----------------------------------------------------------------------------------------------------------------

THERE = torch.tensor([[True, True, True], [True, True, False]])


def test_the_best_of_three_by_hand():
    # e^r of 4, 2, 2: one half; of 1 and 3, with a third that is not there: one quarter
    scores = torch.tensor([[4.0, 2.0, 2.0], [1.0, 3.0, 100.0]]).log()
    assert best_loss(scores, THERE).exp().tolist() == pytest.approx([2.0, 4.0])


def test_an_order_of_three_by_hand():
    # 4/8 * 2/4, and 1/4 with a third that is not there
    scores = torch.tensor([[4.0, 2.0, 2.0], [1.0, 3.0, 100.0]]).log()
    assert order_loss(scores, THERE).exp().tolist() == pytest.approx([4.0, 4.0])


def test_all_orders_of_four_are_all_there_is():
    scores = torch.tensor([1.3, -0.2, 0.4, 2.0])
    there = torch.ones(4, dtype=torch.bool)
    total = sum((-order_loss(scores[list(p)], there)).exp().item() for p in itertools.permutations(range(4)))
    assert total == pytest.approx(1.0)


@pytest.mark.parametrize("loss", [best_loss, order_loss])
def test_two_answers_are_a_comparison(loss):
    found = loss(torch.stack([CHOSEN, REJECTED], -1), torch.ones(2, 2, dtype=torch.bool))
    assert found.tolist() == pytest.approx(bradley_terry_loss(CHOSEN, REJECTED).tolist())


@pytest.mark.parametrize("loss", [best_loss, order_loss])
def test_a_constant_changes_nothing_and_what_is_absent_has_no_gradient(loss):
    scores = torch.tensor([[4.0, 2.0, 2.5], [1.0, 3.0, float("nan")]], requires_grad=True)
    found = loss(scores[:, :, None].transpose(1, 2), THERE.unsqueeze(1))  # (2, heads, 3)
    assert found.shape == (2, 1)
    found.sum().backward()
    assert scores.grad[1, 2] == 0 and torch.isfinite(scores.grad).all()
    assert scores.grad.sum(1).tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    shifted = loss(scores.detach() + 7, THERE)
    assert shifted.tolist() == pytest.approx(found.squeeze(1).tolist(), abs=1e-5)
