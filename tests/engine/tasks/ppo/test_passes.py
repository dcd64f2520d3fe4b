"""The passes over a rollout: in which order, at which rates, and what an answer's end means to them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from rlhf_engine.rollouts import rollout as rolling
from rlhf_engine.rollouts.learner import Learner
from rlhf_engine.tasks.ppo import train as ppo
from rlhf_engine.tasks.ppo.spec import PPOSpec
from tests.engine.small_project import ended_well
from tests.engine.tasks.ppo.hand import RM, Hand
from tests.engine.tasks.ppo.told_answers import told_answers
from tests.engine.tiny import END


@pytest.fixture
def told(monkeypatch):
    """Answers of many lengths, of which some have an end."""
    monkeypatch.setattr(rolling, "complete", told_answers)


def test_a_rollout_has_no_sampler_setting_but_the_temperature():
    names = {f.name for f in dataclasses.fields(PPOSpec)}
    assert "temperature" in names
    assert not names & {"top_p", "top_k", "min_p", "typical_p", "min_length", "no_repeat_ngram_size"}


def test_an_answers_end_token_counts_and_nothing_after_it(small, inside, told):
    found = Hand(small, inside, batch_size=16, response_tokens=4).roll()
    assert found.ended.any() and not found.ended.all()
    for ids, mask, ended in zip(found.batch.answer_ids, found.mask, found.ended, strict=True):
        length = int(mask.sum())
        assert mask[:length].all() and not mask[length:].any()
        assert (int(ids[length - 1]) == END) == bool(ended)
        assert ended or length == 4
    outside = ~found.mask
    assert not (found.logp[outside].any() or found.ref_logp[outside].any() or found.entropy[outside].any())
    assert found.logp[found.mask].all()


def test_each_pass_takes_every_answer_once_in_an_order_of_its_own(small, inside, monkeypatch):
    hand = Hand(small, inside, batch_size=16, epochs=3, value_learning_rate=3e-3, warmup=0.0)
    found = hand.roll()
    values, _ = hand.critic.measure(found, hand.run)
    hand.critic.teach(values, values)
    learner = Learner(hand.spec, hand.run, hand.actors, hand.critic)
    taken, rates, stops = [], [], []
    real, step = learner._minibatch, hand.run.step

    def minibatch(update, rows, *rest):
        taken.append(rows.tolist())
        return real(update, rows, *rest)

    def stepped(optimizer, rate, norm):
        rates.append((optimizer is learner.policy_optimizer, rate))
        return step(optimizer, rate, norm)

    monkeypatch.setattr(learner, "_minibatch", minibatch)
    monkeypatch.setattr(hand.run, "step", stepped)
    monkeypatch.setattr(hand.run, "safe_point", lambda: stops.append(len(taken)))
    learner.learn(6, found, torch.ones_like(values), 0.0)

    assert [len(rows) for rows in taken] == [4] * 12  # no minibatch is smaller than the others
    first, second, third = ([row for rows in taken[i : i + 4] for row in rows] for i in (0, 4, 8))
    assert first == list(range(16))  # the forward passes of the rollout again, bit for bit
    assert sorted(second) == sorted(third) == first
    assert first != second != third != first
    assert stops == list(range(12))  # it can be paused and stopped before each
    # updates 6 to 10 of 10 are left of the linear fall: half the rate in every minibatch, for each its own
    assert len(rates) == 24 and set(rates) == {(True, 1e-3 * 0.5), (False, 3e-3 * 0.5)}


@pytest.mark.parametrize("truncated", ["terminal", "bootstrap"])
def test_only_a_cut_off_answer_goes_on_with_its_value(small, monkeypatch, told, truncated):
    given, rolled = [], []
    gae, measure = ppo.gae, ppo.Critic.measure

    def spy(rewards, values, mask, gamma, lam, bootstrap):
        given.append(bootstrap)
        return gae(rewards, values, mask, gamma, lam, bootstrap)

    def measured(self, found, run):
        values, after = measure(self, found, run)
        rolled.append((found.ended, after))
        return values, after

    monkeypatch.setattr(ppo, "gae", spy)
    monkeypatch.setattr(ppo.Critic, "measure", measured)
    settings = {"updates": 1, "batch_size": 16, "response_tokens": 4, "sample_every": 0}
    assert ended_well(small.run(f"cut-{truncated}", small.ppo(RM, truncated=truncated, **settings)))
    ((ended, after),) = rolled
    assert ended.any() and not ended.all() and after.all()
    if truncated == "terminal":
        assert given == [None]
    else:
        assert torch.equal(given[0], after * ~ended)
