"""The clipped surrogate, its means and the KL estimators, against a batch worked by hand."""

import math

import pytest
import torch

from rlhf_engine.rollouts.loss import Whole, adapt_kl_coef, k1, k2, k3, kl_estimate, policy_loss
from rlhf_engine.tensors import masked_mean
from tests.engine.rollouts.by_hand import LOGP, MASK, NEW, REF, WHITE, close, log_ratio


def test_the_three_kl_estimators():
    close(k1(log_ratio()), [[0.2, -0.1, -0.5, 0.2], [0.2, 0.0, 0.4, 0.0]])
    close(k2(log_ratio()), [[0.02, 0.005, 0.125, 0.02], [0.02, 0.0, 0.08, 0.0]])
    close(k3(log_ratio()), [[0.018731, 0.005171, 0.148721, 0.018731], [0.018731, 0.0, 0.070320, 0.0]])
    close(k1(log_ratio()).sum(1), [-0.2, 0.6])


def test_k3_is_held_where_it_would_overflow():
    assert k3(torch.tensor([-500.0, 0.0])).tolist() == [10.0, 0.0]


def test_policy_loss_of_the_batch():
    out = policy_loss(NEW, LOGP, torch.tensor(WHITE), MASK, clip=0.2)
    assert out.loss.item() == pytest.approx(0.024910, abs=2e-6)
    assert out.clipped.item() == pytest.approx(1 / 7)
    assert out.approx_kl.item() == pytest.approx(0.027321, abs=2e-6)  # 0.023906 if padding were counted
    # ratios 1.349859 .670320 1 1.051271 .818731 1.349859 1
    assert out.ratio.item() == pytest.approx(
        (1.349859 + 0.670320 + 1 + 1.051271 + 0.818731 + 1.349859 + 1) / 7, abs=1e-6
    )
    assert out.ratio_max.item() == pytest.approx(1.349859, abs=1e-6)


def test_a_clipped_token_no_longer_pulls():
    old = torch.zeros(1, 3)
    new = torch.tensor([[math.log(1.5), math.log(1.1), math.log(0.5)]], requires_grad=True)
    out = policy_loss(new, old, torch.ones(1, 3), torch.ones(1, 3, dtype=torch.bool), clip=0.2)
    # 1.5 is held at 1.2, 1.1 stays, and 0.5 stays: a good token that got rarer is always pulled back
    assert out.loss.item() == pytest.approx(-2.8 / 3)
    out.loss.backward()
    assert new.grad is not None
    assert new.grad[0, 0] == 0
    assert new.grad[0, 1] != 0


def test_the_upper_clip_can_be_wider():
    new = torch.tensor([[math.log(1.25)]])
    one = torch.ones(1, 1)
    # ratio 1.25 is held at 1.2, or passes below 1.28
    assert policy_loss(new, one * 0, one, one.bool(), clip=0.2).loss.item() == pytest.approx(-1.2)
    assert policy_loss(new, one * 0, one, one.bool(), clip=0.2, clip_high=0.28).loss.item() == pytest.approx(-1.25)


def test_dual_clip_bounds_what_a_bad_token_can_cost():
    one = torch.ones(1, 1)
    new = torch.tensor([[math.log(8.0)]])
    # A = -1, ratio 8: loss 8, or at most 3
    assert policy_loss(new, one * 0, -one, one.bool(), clip=0.2).loss.item() == pytest.approx(8.0)
    assert policy_loss(new, one * 0, -one, one.bool(), clip=0.2, dual_clip=3.0).loss.item() == pytest.approx(3.0)
    # a good token is not touched by it
    assert policy_loss(new, one * 0, one, one.bool(), clip=0.2, dual_clip=3.0).loss.item() == pytest.approx(-1.2)


def test_beta_follows_the_drift():
    first = adapt_kl_coef(0.2, kl=9, target=6, horizon=10_000, episodes=256)
    second = adapt_kl_coef(first, kl=6.5, target=6, horizon=10_000, episodes=256)
    third = adapt_kl_coef(second, kl=2, target=6, horizon=10_000, episodes=256)
    assert first == pytest.approx(0.201024)
    assert second == pytest.approx(0.201452851, abs=1e-9)
    assert third == pytest.approx(0.200421413, abs=1e-9)


def test_beta_is_held_within_bounds():
    assert adapt_kl_coef(9.9, kl=90, target=6, horizon=100, episodes=256) == 10.0
    assert adapt_kl_coef(2e-4, kl=0, target=6, horizon=100, episodes=256) == pytest.approx(1e-4)
    assert adapt_kl_coef(0.1, kl=-50, target=6, horizon=100, episodes=10) == pytest.approx(0.098)  # KL may come out < 0


def test_the_order_of_answers_changes_nothing():
    flipped = [1, 0]
    a = policy_loss(NEW, LOGP, torch.tensor(WHITE), MASK, clip=0.2).loss
    b = policy_loss(NEW[flipped], LOGP[flipped], torch.tensor(WHITE)[flipped], MASK[flipped], clip=0.2).loss
    assert a.item() == pytest.approx(b.item())


def test_micro_batches_add_up_to_the_batch():
    whole = Whole("token", MASK.sum(), 2, 4)
    advantages = torch.tensor(WHITE)
    parts = [policy_loss(NEW[i], LOGP[i], advantages[i], MASK[i], clip=0.2, whole=whole).loss for i in ([0], [1])]
    assert sum(parts).item() == pytest.approx(policy_loss(NEW, LOGP, advantages, MASK, clip=0.2).loss.item())


def test_masked_mean_of_an_estimator_leaves_padding_out():
    # (.2 - .1 - .5 + .2 + .2 + 0 + .4) / 7
    assert masked_mean(k1(LOGP - REF), MASK).item() == pytest.approx(0.4 / 7)


def means(how):
    return policy_loss(NEW, LOGP, torch.tensor(WHITE), MASK, clip=0.2, whole=Whole(how, MASK.sum(), 2, 4)).loss.item()


def test_the_three_means_of_the_batch():
    assert means("token") == pytest.approx(0.024910, abs=2e-6)
    assert means("sequence") == pytest.approx(0.156353, abs=2e-6)
    assert means("fixed") == pytest.approx(0.024910 * 7 / (2 * 4), abs=2e-6)  # two answers of at most four tokens


@pytest.mark.parametrize("how", ["token", "sequence", "fixed"])
def test_every_mean_is_the_sum_of_its_micro_batches_and_leaves_padding_out(how):
    whole, advantages = Whole(how, MASK.sum(), 2, 4), torch.tensor(WHITE)
    parts = [
        policy_loss(NEW[i, :n], LOGP[i, :n], advantages[i, :n], MASK[i, :n], clip=0.2, whole=whole).loss.item()
        for i, n in (([0], 4), ([1], 3))
    ]
    assert sum(parts) == pytest.approx(means(how))


def test_a_ratio_of_whole_answers():
    # log-ratios .3 -.4 0 .05 and -.2 .3 0: sums -.05 and .1, ratios .951229 and 1.105171
    advantages = torch.tensor([[2.0] * 4, [-1.0] * 4])
    whole = Whole("sequence", MASK.sum(), 2, 4)
    out = policy_loss(NEW, LOGP, advantages, MASK, clip=0.2, whole=whole, level="sequence")
    assert out.loss.item() == pytest.approx((-2 * 0.951229 + 1.105171) / 2, abs=1e-6)
    assert out.approx_kl.item() == pytest.approx(0.027321, abs=2e-6)  # stays that of the tokens
    # geometric means: e^(-.05 / 4) = .987578 and e^(.1 / 3) = 1.033895
    out = policy_loss(NEW, LOGP, advantages, MASK, clip=0.2, whole=whole, level="sequence mean")
    assert out.loss.item() == pytest.approx((-2 * 0.987578 + 1.033895) / 2, abs=1e-6)


def test_a_whole_answer_is_clipped_as_one():
    old, one = torch.zeros(1, 2), torch.ones(1, 2)
    new = torch.tensor([[math.log(1.1), math.log(1.15)]], requires_grad=True)
    whole = Whole("sequence", 2.0, 1, 2)
    out = policy_loss(new, old, one, one.bool(), clip=0.2, whole=whole, level="sequence")
    assert out.loss.item() == pytest.approx(-1.2)  # 1.1 times 1.15 is 1.265, beyond 1.2, though neither token is
    out.loss.backward()
    assert new.grad is not None and not new.grad.any()


def test_the_estimators_by_name_and_their_slopes():
    drift = torch.tensor([[0.4, -0.5]])
    for name, value, slope in (
        ("k1", [0.4, -0.5], [1.0, 1.0]),
        ("k2", [0.08, 0.125], [0.4, -0.5]),
        ("k3", [0.070320, 0.148721], [1 - 0.670320, 1 - 1.648721]),  # 1 - e^-d
        ("k3+", [0.070320, 0.148721], [0.4, -0.5]),
    ):
        x = drift.clone().requires_grad_(True)
        found = kl_estimate(x, name)
        close(found.detach(), [value])
        found.sum().backward()
        close(x.grad, [slope])
