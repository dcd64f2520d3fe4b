"""Every stage between a reward model's score and the rewards of tokens, by hand."""

import pytest
import torch

from rlhf_engine.contract.rewards import LengthReward
from rlhf_engine.rewards.shaping import (
    Moments,
    overlong_penalty,
    penalised,
    repetition_penalty,
    shaped,
    token_rewards,
    without_end,
)
from rlhf_engine.tasks.ppo.spec import PPOSpec


def test_an_answer_without_end_loses_or_is_replaced():
    scores, ended = torch.tensor([2.0, 3.0]), torch.tensor([True, False])
    assert without_end(scores, ended, "subtract", 1.0).tolist() == [2.0, 2.0]
    assert without_end(scores, ended, "replace", 1.0).tolist() == [2.0, -1.0]
    assert without_end(scores, ended, "nothing", 1.0).tolist() == [2.0, 3.0]


def test_the_overlong_penalty_falls_evenly_over_the_buffer():
    # limit 20, buffer 8: free up to 12, then (12 - length) / 8
    found = overlong_penalty(torch.tensor([5, 12, 14, 20]), limit=20, buffer=8)
    assert found.tolist() == pytest.approx([0.0, 0.0, -0.25, -1.0])


def test_repeated_trigrams_cost():
    # 1 2 3 1 2 3: trigrams 123 231 312 123, of which 3 are distinct: 1 - 3/4
    assert repetition_penalty([[1, 2, 3, 1, 2, 3], [1, 2], [1, 2, 3, 4]], weight=2.0).tolist() == pytest.approx(
        [-0.5, 0.0, 0.0]
    )


def test_running_moments_over_two_batches():
    moments = Moments()
    moments.update(torch.tensor([1.0, -0.5, 2.0, 0.5]))
    moments.update(torch.tensor([3.0, 1.0, 0.0, 2.0]))
    assert moments.mean == pytest.approx(1.125)
    assert moments.std == pytest.approx(1.157275, abs=1e-6)
    normed = moments.apply(torch.tensor([3.0, 1.0, 0.0, 2.0]), "norm").clamp(-0.8, 0.8)
    assert normed.tolist() == pytest.approx([0.8, -0.108012, -0.8, 0.756086], abs=1e-6)
    assert moments.apply(torch.tensor([2.31455]), "scale").item() == pytest.approx(2.0, abs=1e-5)


def test_moments_survive_a_checkpoint_exactly():
    moments, again = Moments(), Moments()
    moments.update(torch.tensor([0.1, 0.2, 0.7]))
    again.load_state_dict(moments.state_dict())
    assert again.state_dict() == moments.state_dict()


def test_equal_scores_do_not_divide_by_zero():
    moments = Moments()
    moments.update(torch.tensor([2.0, 2.0]))
    assert moments.apply(torch.tensor([2.0]), "norm").tolist() == [0.0]


def test_an_answer_without_any_token_gets_no_reward():
    mask = torch.tensor([[True, False], [False, False]])
    assert token_rewards(torch.tensor([1.0, 5.0]), torch.zeros(2, 2), mask, 0.1).tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_the_stages_follow_each_other_in_their_fixed_order():
    stages = {"overlong_buffer": 2, "repetition_penalty": 0.4, "missing_eos": "replace", "missing_eos_penalty": 3.0}
    stages |= {"reward_scaling": "scale", "score_clip": 1.0, "response_tokens": 6}
    inputs = {"policy": "a", "dataset": "b", "rewards": (LengthReward(),), "value_init": "zero"}
    spec = PPOSpec(**inputs, **stages)
    answers = [[1, 2, 1, 2, 1], [1, 2, 3, 4, 5, 6], [1, 2, 3]]
    ended = torch.tensor([True, False, True])
    scores = penalised(torch.tensor([2.0, 5.0, 1.0]), answers, ended, spec)
    # half of the buffer, and one of three trigrams again; replaced, whatever it was; nothing
    by_hand = torch.tensor([2.0 - 0.5 - 0.4 / 3, -3.0, 1.0])
    torch.testing.assert_close(scores, by_hand)
    found = shaped(scores, Moments(), spec)
    scaled = by_hand / by_hand.std()
    torch.testing.assert_close(found.scaled, scaled)
    torch.testing.assert_close(found.final, scaled.clamp(-1.0, 1.0))
    assert scaled.tolist() != found.final.tolist()
    mask = torch.tensor([[True] * 5 + [False], [True] * 6, [True] * 3 + [False] * 3])
    drift = torch.full((3, 6), 0.2)
    rewards = token_rewards(found.final, drift, mask, beta=0.5)
    torch.testing.assert_close(
        rewards.sum(1), found.final - 0.5 * 0.2 * mask.sum(1)
    )  # KL is neither scaled nor clipped
    assert [row.nonzero().max().item() for row in rewards] == [4, 5, 2]
