"""What PPO adds to the surrogate, against the batch of `by_hand`: rewards per token, advantages and the value loss."""

import pytest
import torch

from rlhf_engine.rewards.shaping import token_rewards
from rlhf_engine.rollouts.loss import k1, policy_loss
from rlhf_engine.tasks.ppo.loss import explained_variance, gae, value_loss
from rlhf_engine.tensors import whiten
from tests.engine.rollouts.by_hand import (
    ADVANTAGES,
    LOGP,
    MASK,
    NEW,
    NEW_VALUES,
    RETURNS,
    REWARDS,
    SCORES,
    VALUES,
    WHITE,
    close,
    log_ratio,
)


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


def test_value_loss_of_the_batch():
    out = value_loss(NEW_VALUES, VALUES, torch.tensor(RETURNS), MASK, clip=0.2)
    assert out.loss.item() == pytest.approx(0.124496, abs=2e-6)
    assert out.clipped.item() == pytest.approx(3 / 7)
    assert value_loss(NEW_VALUES, VALUES, torch.tensor(RETURNS), MASK, clip=0).loss.item() == pytest.approx(
        0.114828, abs=2e-6
    )


def test_explained_variance_of_the_batch():
    assert explained_variance(VALUES, torch.tensor(RETURNS), MASK).item() == pytest.approx(0.391275, abs=2e-6)


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
