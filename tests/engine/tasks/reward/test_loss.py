"""Bradley-Terry by hand: chosen 1 and 0.2, rejected 0.3 and 0.5."""

import math

import pytest
import torch

from rlhf_engine.tasks.reward.loss import bradley_terry_loss, centering_loss

CHOSEN, REJECTED = torch.tensor([1.0, 0.2]), torch.tensor([0.3, 0.5])


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
