"""PPO's arithmetic against a batch worked by hand: two answers, of four and three tokens.

Log-probabilities when written and under the reference, values, scores 1 and -0.5, beta 0.1, gamma 1, lambda 0.95.
"""

import math

import pytest
import torch

from rlhf_engine.tasks.ppo.loss import (
    adapt_kl_coef,
    explained_variance,
    gae,
    k1,
    k2,
    k3,
    policy_loss,
    value_loss,
)
from rlhf_engine.tasks.ppo.reward_shaping import token_rewards
from rlhf_engine.tensors import masked_mean, whiten

HUGE = 900.0  # what stands on padding: large enough that a mask forgotten anywhere shows
MASK = torch.tensor([[True, True, True, True], [True, True, True, False]])
LOGP = torch.tensor([[-1.0, -0.5, -2.0, -0.1], [-0.7, -1.5, -0.2, HUGE]])
REF = torch.tensor([[-1.2, -0.4, -1.5, -0.3], [-0.9, -1.5, -0.6, -HUGE]])
VALUES = torch.tensor([[0.5, 0.4, 0.3, 0.2], [0.1, -0.1, 0.0, HUGE]])
SCORES = torch.tensor([1.0, -0.5])
NEW = torch.tensor([[-0.7, -0.9, -2.0, -0.05], [-0.9, -1.2, -0.2, -HUGE]])
NEW_VALUES = torch.tensor([[0.9, 0.35, 0.3, 0.45], [0.0, -0.4, -0.1, -HUGE]])

REWARDS = [[-0.02, 0.01, 0.05, 0.98], [-0.02, 0.0, -0.54, 0.0]]
ADVANTAGES = [[0.418127, 0.566450, 0.691000, 0.780000], [-0.612350, -0.413000, -0.540000, 0.0]]
RETURNS = [[0.918127, 0.966450, 0.991000, 0.980000], [-0.512350, -0.513000, -0.540000, 0.0]]
WHITE = [[0.469369, 0.708645, 0.909571, 1.053148], [-1.193015, -0.871420, -1.076298, 0.0]]


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected), atol=2e-6, rtol=0)


def log_ratio():
    return torch.where(MASK, LOGP - REF, 0.0)


def test_the_three_kl_estimators():
    close(k1(log_ratio()), [[0.2, -0.1, -0.5, 0.2], [0.2, 0.0, 0.4, 0.0]])
    close(k2(log_ratio()), [[0.02, 0.005, 0.125, 0.02], [0.02, 0.0, 0.08, 0.0]])
    close(k3(log_ratio()), [[0.018731, 0.005171, 0.148721, 0.018731], [0.018731, 0.0, 0.070320, 0.0]])
    close(k1(log_ratio()).sum(1), [-0.2, 0.6])


def test_k3_is_held_where_it_would_overflow():
    assert k3(torch.tensor([-500.0, 0.0])).tolist() == [10.0, 0.0]


def test_the_score_is_paid_on_the_last_real_token_and_kl_on_all():
    rewards = token_rewards(SCORES, k1(log_ratio()), MASK, beta=0.1)
    close(rewards, REWARDS)
    close(rewards.sum(1), [1.02, -0.56])  # score - beta * KL


def test_whitened_rewards_keep_their_mean():
    rewards = token_rewards(SCORES, k1(log_ratio()), MASK, beta=0.1, whitened=True)
    close(rewards, [[-0.123970, -0.057580, 0.030939, 2.089009], [-0.123970, -0.079710, -1.274718, 0.0]])


def test_advantages_and_returns():
    advantages, returns = gae(torch.tensor(REWARDS), VALUES, MASK, gamma=1.0, lam=0.95)
    close(advantages, ADVANTAGES)
    close(returns, RETURNS)
    close(whiten(advantages, MASK), WHITE)


def test_gae_with_lambda_one_is_what_was_still_to_come_minus_the_value():
    rewards, values = torch.tensor([[0.0, 1.0, 7.0]]), torch.tensor([[0.5, 0.25, 3.0]])
    advantages, returns = gae(rewards, values, torch.tensor([[True, True, False]]), gamma=1.0, lam=1.0)
    assert advantages.tolist() == [[0.5, 0.75, 0.0]]
    assert returns.tolist() == [[1.0, 1.0, 0.0]]


def test_gae_carries_value_and_advantage_through_a_hole():
    # an observation between two actions counts as if it were not there
    mask = torch.tensor([[True, False, True]])
    hole, _ = gae(torch.tensor([[0.1, 9.0, 1.0]]), torch.tensor([[0.5, 9.0, 0.2]]), mask, 1.0, 0.95)
    dense, _ = gae(
        torch.tensor([[0.1, 1.0]]), torch.tensor([[0.5, 0.2]]), torch.ones(1, 2, dtype=torch.bool), 1.0, 0.95
    )
    assert hole[0, [0, 2]].tolist() == pytest.approx(dense[0].tolist())
    assert hole[0, 1] == 0


def test_a_cut_off_answer_can_go_on_with_its_value():
    rewards, values = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 0.5]])
    both = torch.tensor([[True, True]])
    # lambda 0: the advantage is the one-step error, 1 + 0.3 - 0.5 at the end and 0.5 - 0 before it
    advantages, _ = gae(rewards, values, both, gamma=1.0, lam=0.0, bootstrap=torch.tensor([0.3]))
    assert advantages[0].tolist() == pytest.approx([0.5, 0.8])


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


def test_value_loss_of_the_batch():
    out = value_loss(NEW_VALUES, VALUES, torch.tensor(RETURNS), MASK, clip=0.2)
    assert out.loss.item() == pytest.approx(0.124496, abs=2e-6)
    assert out.clipped.item() == pytest.approx(3 / 7)
    assert value_loss(NEW_VALUES, VALUES, torch.tensor(RETURNS), MASK, clip=0).loss.item() == pytest.approx(
        0.114828, abs=2e-6
    )


def test_explained_variance_of_the_batch():
    assert explained_variance(VALUES, torch.tensor(RETURNS), MASK).item() == pytest.approx(0.391275, abs=2e-6)


def test_beta_follows_the_drift():
    first = adapt_kl_coef(0.2, kl=9, target=6, horizon=10_000, episodes=256)
    second = adapt_kl_coef(first, kl=6.5, target=6, horizon=10_000, episodes=256)
    third = adapt_kl_coef(second, kl=2, target=6, horizon=10_000, episodes=256)
    assert first == pytest.approx(0.201024)
    assert second == pytest.approx(0.201452851, abs=1e-9)
    assert third == pytest.approx(0.200421413, abs=1e-9)


def test_padding_changes_nothing():
    advantages, returns = torch.tensor(WHITE), torch.tensor(RETURNS)
    short = (slice(1, 2), slice(0, 3))
    whole = (slice(1, 2), slice(0, 4))
    for pick in (
        lambda s: policy_loss(NEW[s], LOGP[s], advantages[s], MASK[s], clip=0.2),
        lambda s: value_loss(NEW_VALUES[s], VALUES[s], returns[s], MASK[s], clip=0.2),
    ):
        for a, b in zip(pick(whole), pick(short), strict=True):
            assert a.item() == pytest.approx(b.item())


def test_the_order_of_answers_changes_nothing():
    flipped = [1, 0]
    a = policy_loss(NEW, LOGP, torch.tensor(WHITE), MASK, clip=0.2).loss
    b = policy_loss(NEW[flipped], LOGP[flipped], torch.tensor(WHITE)[flipped], MASK[flipped], clip=0.2).loss
    assert a.item() == pytest.approx(b.item())


def test_micro_batches_add_up_to_the_batch():
    advantages = torch.tensor(WHITE)
    parts = [policy_loss(NEW[i], LOGP[i], advantages[i], MASK[i], clip=0.2, total=MASK.sum()).loss for i in ([0], [1])]
    assert sum(parts).item() == pytest.approx(policy_loss(NEW, LOGP, advantages, MASK, clip=0.2).loss.item())


def test_masked_mean_of_an_estimator_leaves_padding_out():
    # (.2 - .1 - .5 + .2 + .2 + 0 + .4) / 7
    assert masked_mean(k1(LOGP - REF), MASK).item() == pytest.approx(0.4 / 7)
