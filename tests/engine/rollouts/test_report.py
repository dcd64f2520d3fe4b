"""What is measured after an update, on the batch of `test_loss.py` worked by hand, and when an alert is due."""

from __future__ import annotations

import pytest
import torch

from rlhf_engine.rollouts.batch import Batch
from rlhf_engine.rollouts.report import measured
from rlhf_engine.rollouts.rollout import Rollout
from rlhf_engine.rollouts.watch import Watch, unhealthy

HUGE = 900.0  # what stands on padding: large enough that a mask forgotten anywhere shows
MASK = torch.tensor([[True, True, True, True], [True, True, True, False]])


def batch() -> Rollout:
    answers = torch.tensor([[5, 5, 5, 5], [5, 6, 7, 0]])
    prompt = torch.tensor([[8], [9]])
    ids = torch.cat([prompt, answers], 1)
    mask = torch.cat([torch.zeros(2, 1, dtype=torch.bool), MASK], 1)
    return Rollout(
        Batch(ids, torch.ones_like(ids), mask, 1),
        logp=torch.tensor([[-1.0, -0.5, -2.0, -0.1], [-0.7, -1.5, -0.2, HUGE]]),
        ref_logp=torch.tensor([[-1.2, -0.4, -1.5, -0.3], [-0.9, -1.5, -0.6, -HUGE]]),
        entropy=torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, HUGE]]),
        raw_scores=torch.tensor([1.0, -0.5]),
        scores=torch.tensor([0.0, -0.5]),
        ended=torch.tensor([False, True]),
        mask=MASK,
        parts={"model": torch.tensor([2.0, -1.0]), "length": torch.tensor([0.5, 0.0])},
        gold=torch.tensor([0.2, 0.4]),
    )


def test_every_number_counts_answer_tokens_only():
    found = measured(batch(), torch.tensor([0.8, -0.4]), beta=0.1)
    expected = {
        "objective/score": 0.25,
        "objective/score_std": 1.060660,  # 1.5 / sqrt 2
        "objective/score_shaped": 0.2,
        "reward/penalised": -0.25,
        "objective/kl_sequence": 0.2,  # (-.2 + .6) / 2
        "objective/kl_token_k1": 0.4 / 7,
        "objective/kl_token_k3": 0.280405 / 7,
        "objective/rlhf_reward": 0.18,  # .2 - .1 * .2
        "objective/entropy": 4.0,  # 28 / 7
        "objective/negative_logp": 6.0 / 7,
        "objective/beta": 0.1,
        "component/model": 0.5,
        "component/length": 0.25,
        "objective/gold": 0.3,
        "answers/length_mean": 3.5,
        "answers/length_p95": 3.95,
        "answers/eos_rate": 0.5,
        "answers/truncated_rate": 0.5,
        "answers/distinct_2": 0.6,  # 55 55 55 56 67: three of five
        "answers/repeated_3": 0.25,  # 555 555, and 567: a half and none
        "reward/p5": -0.425,
        "reward/p50": 0.25,
        "reward/p95": 0.925,
    }
    assert found == pytest.approx(expected, abs=2e-6)


HEALTHY = {
    "objective/score_std": 1.0,
    "objective/kl_token_k1": 0.1,
    "objective/entropy": 1.0,
    "policy/clip_fraction": 0.1,
    "policy/grad_norm": 1.0,
    "answers/truncated_rate": 0.1,
    "answers/length_mean": 20.0,
    "reward/above_p99": 0.1,
}


def test_nothing_is_said_of_healthy_numbers():
    assert unhealthy(HEALTHY) == []
    assert unhealthy({name: value for name, value in HEALTHY.items() if name != "reward/above_p99"}) == []


@pytest.mark.parametrize(
    ("name", "value", "level", "words"),
    [
        ("objective/score_std", 0.0, "warning", "All answers score the same"),
        ("objective/kl_token_k1", 0.6, "warning", "The drift is 0.60 nats per token"),
        ("objective/kl_token_k1", 2.1, "danger", "The drift is 2.1 nats per token"),
        ("objective/entropy", 0.009, "danger", "certain of every token"),
        ("policy/clip_fraction", 0.31, "warning", "31% of the tokens"),
        ("policy/grad_norm", 12.0, "warning", "The gradient norm is 12"),
        ("answers/truncated_rate", 0.9, "warning", "90% of the answers are cut off"),
        ("reward/above_p99", 0.6, "info", "60% of the answers score higher"),
        ("groups/zero_std", 0.75, "warning", "In 75% of the groups all answers score the same"),
    ],
)
def test_an_unhealthy_number_is_said_with_what_to_try(name, value, level, words):
    ((_, said, text, hint),) = unhealthy({**HEALTHY, name: value})
    assert said == level and words in text and hint


class Alerts:
    """In place of a run: what would be said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str, str, int]] = []

    def alert(self, key: str, level: str, text: str, hint: str, step: int) -> None:
        self.said.append((key, level, text, hint, step))


def test_answers_that_grow_to_the_limit_are_said_and_long_ones_from_the_start_are_not():
    for first, said in ((20.0, 1), (40.0, 0)):
        run, watch = Alerts(), Watch(longest=50)
        for step, length in enumerate((first, 30.0, 46.0)):
            watch.look({**HEALTHY, "answers/length_mean": length}, step, run)
        assert len(run.said) == said
    run, watch = Alerts(), Watch(longest=50)
    watch.look({**HEALTHY, "answers/length_mean": 20.0}, 1, run)
    again = Watch(longest=50)
    again.load_state_dict(watch.state_dict())
    again.look({**HEALTHY, "answers/length_mean": 46.0}, 2, run)
    ((key, level, text, hint, step),) = run.said
    assert (key, level, step) == ("length", "danger", 2) and hint
    assert "have grown from 20 to 46 tokens, of 50 at most" in text


@pytest.mark.parametrize(("gold", "said"), [(-0.05, 1), (0.05, 0)])
def test_a_reward_that_rises_while_the_gold_proxy_falls_is_being_gamed(gold, said):
    run, watch = Alerts(), Watch(longest=50)
    for step in range(20):
        watch.look({**HEALTHY, "objective/score": 0.1 * step, "objective/gold": gold * step}, step, run)
    assert [key for key, *_ in run.said] == ["gold"] * said
    # means of ten and ten steps are ten steps apart
    assert not said or "the score rose by 1.00 and the gold proxy fell by 0.50" in run.said[0][2]
