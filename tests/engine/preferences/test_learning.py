"""One step on pairs, and what is told of it."""

from __future__ import annotations

import pytest
import torch

from rlhf_engine.contract.events import Alert
from rlhf_engine.preferences.answers import AnswerLogprobs
from rlhf_engine.preferences.learning import HELDOUT, TRAIN, evaluate, nll, pair_measures, pairs_per_token, watch
from tests.engine.preferences.conftest import eight_pairs

LOSS, UP, DOWN = torch.tensor([0.5, 0.9]), torch.tensor([0.3, -0.2]), torch.tensor([0.1, -0.2])
CHOSEN = AnswerLogprobs(torch.tensor([-6.0, -8.0]), torch.tensor([3.0, 4.0]))
REJECTED = AnswerLogprobs(torch.tensor([-9.0, -2.0]), torch.tensor([3.0, 2.0]))


def test_what_is_told_of_two_pairs():
    found = dict(zip(TRAIN, pair_measures(LOSS, UP, DOWN, CHOSEN, REJECTED).mean(1).tolist(), strict=True))
    assert found == pytest.approx(
        {
            "train/loss": 0.7,
            "train/accuracy": 0.5,  # equal rewards are no preference
            "train/margin": 0.1,
            "train/chosen_reward": 0.05,
            "train/rejected_reward": -0.05,
            "train/chosen_logp": -2.0,
            "train/rejected_logp": -2.0,
            "train/ranking_accuracy": 0.5,  # -2 over -3, and -2 under -1
        }
    )
    assert [name.partition("/")[2] for name in TRAIN] == [name.partition("/")[2] for name in HELDOUT]


def test_the_nll_of_a_batch_is_nats_per_token_however_it_is_cut(backbone):
    pairs = eight_pairs(backbone)
    tokens = torch.tensor([float(p.chosen.tokens) for p in pairs])
    totals = -tokens * torch.rand(8)
    whole = nll(AnswerLogprobs(totals, tokens), pairs_per_token(pairs))
    assert whole.mean().item() == pytest.approx(-totals.sum().item() / tokens.sum().item(), rel=1e-6)
    part = nll(AnswerLogprobs(totals[:3], tokens[:3]), pairs_per_token(pairs))
    assert torch.equal(part, whole[:3])


def test_evaluation_is_the_mean_over_pairs_and_not_over_parts(backbone, small, inside):
    def losses(part, per_token):
        assert per_token == pairs_per_token(pairs)
        value = torch.tensor([float(p.chosen.tokens) for p in part])
        said = AnswerLogprobs(-value, torch.ones(len(part)))
        return value, pair_measures(value, value, value, said, said)

    pairs = eight_pairs(backbone)[:5]
    mean = sum(p.chosen.tokens for p in pairs) / 5
    for size in (1, 2, 5):
        spec = small.dpo(micro_batch_size=size)
        assert evaluate(losses, pairs, spec, inside(spec).run)["heldout/loss"] == pytest.approx(mean)
    assert evaluate(losses, [], spec, inside(spec).run) == {}


def test_chosen_answers_that_become_unlikely_are_reported_once(small, inside):
    hand = inside(small.dpo())
    before = {"heldout/chosen_logp": -1.0}
    watch({"heldout/chosen_logp": -1.2}, before, 1, hand.run)
    watch({"train/loss": 0.3}, before, 2, hand.run)
    assert not hand.said
    for step in (3, 4):
        watch({"heldout/chosen_logp": -1.5}, before, step, hand.run)
    (alert,) = [e.event for e in hand.said]
    assert isinstance(alert, Alert) and "by 0.50 nats per token" in alert.text and "NLL term" in alert.hint
