"""Online DPO: begins at the loss of a coin, learns pairs that differ, and is cut into micro-batches exactly."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.data.chat import render
from rlhf_engine.data.questions import Question
from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.groups import Picked
from rlhf_engine.rollouts.rollout import rollout
from rlhf_engine.runtime.context import Clock
from rlhf_engine.tasks.online_dpo.train import gradients
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.conftest import equal_gradients

RM = "run:rm"
QUIET = {"sample_every": 0, "checkpoint_every": 100}


@pytest.mark.parametrize(("loss", "at_start"), [("sigmoid", 0.693147), ("hinge", 1.0), ("ipo", 25.0)])
def test_at_the_start_the_loss_is_that_of_a_coin(small, loss, at_start):
    spec = small.online(
        "online_dpo", RM, policy="run:sft", updates=2, epochs=1, minibatch_size=8, loss=loss, temperature=0.7, **QUIET
    )
    said = small.run(f"coin-{loss}", spec)
    assert ended_well(said)
    first, second = curve(said).values()
    assert first["policy/loss"] == pytest.approx(at_start, abs=1e-4)
    assert first["pairs/best"] == pytest.approx(0.0, abs=1e-6) and first["policy/grad_norm"] > 0
    assert first["objective/kl_sequence"] == 0.0 != second["objective/kl_sequence"]
    assert first["pairs/margin"] > 0 and first["objective/beta"] == 0.1


@pytest.fixture
def hand(small, inside):
    spec = small.online("online_dpo", RM, policy="run:sft", minibatch_size=8, micro_batch_size=8, response_tokens=10)
    made = inside(spec)
    actors = Actors.load(spec, made.run)
    asked = [f"What is {i // 2}?" + " And then?" * (i % 3) for i in range(8)]
    questions = [Question(prompt, render(actors.backbone.base.tokenizer, prompt).ids) for prompt in asked]
    found = rollout(actors, spec, made.run, questions, Clock())
    torch.manual_seed(1)
    ref = torch.where(found.mask, found.ref_logp + 0.3 * torch.rand_like(found.logp), 0.0)
    return spec, made, actors, dataclasses.replace(found, ref_logp=ref)


PAIRS = Picked(torch.tensor([0, 3, 4, 7]), torch.tensor([1, 2, 5, 6]), torch.tensor([True, False, True, True]))


@pytest.mark.parametrize("loss", ["sigmoid", "ipo"])
def test_four_by_one_learns_what_one_by_four_learns(hand, loss):
    spec, made, actors, found = hand
    made.keep_gradients()
    for micro in (8, 2, 4):  # answers: four pairs, one, two
        cut = dataclasses.replace(spec, micro_batch_size=micro, loss=loss)
        assert gradients(cut, made.run, actors, found, PAIRS, torch.arange(4)) is not None
        optimizer = torch.optim.SGD(actors.backbone.parameters_of("policy"))
        made.run.step(optimizer, 0.0, 1.0)
    whole, one, two = made.gradients
    assert equal_gradients(whole, one) and equal_gradients(whole, two)


def test_pairs_without_a_difference_teach_nothing(hand):
    spec, made, actors, found = hand
    flat = PAIRS._replace(differs=torch.zeros(4, dtype=torch.bool))
    assert gradients(spec, made.run, actors, found, flat, torch.arange(4)) is None
    assert all(p.grad is None for p in actors.backbone.parameters_of("policy"))
    # and a pair that is left out changes nothing for the others
    made.keep_gradients()
    for pairs, rows in ((PAIRS, [0, 1, 2, 3]), (PAIRS._replace(differs=torch.ones(4, dtype=torch.bool)), [0, 2, 3])):
        gradients(spec, made.run, actors, found, pairs, torch.tensor(rows))
        made.run.step(torch.optim.SGD(actors.backbone.parameters_of("policy")), 0.0, 1.0)
    assert equal_gradients(*made.gradients)


def test_the_better_answer_moves_further_towards_its_reward(small):
    rules = {"reward_model": "", "rewards": [{"kind": "length", "unit": "words", "target": 8, "wanted": "longer"}]}
    settings = {"updates": 12, "batch_size": 32, "minibatch_size": 16, "micro_batch_size": 16, "response_tokens": 10}
    settings |= {"group_size": 4, "learning_rate": 1e-2, "epochs": 2, "schedule": "constant", "warmup": 0.0, **QUIET}
    spec = small.online("online_dpo", **rules, **settings, reward_scaling="none", missing_eos="nothing", beta=0.05)
    said = small.run("longer", spec)
    assert ended_well(said)
    steps = list(curve(said).values())
    assert steps[-1]["objective/score"] > steps[0]["objective/score"] + 0.1
    assert steps[-1]["pairs/accuracy"] > 0.6


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"minibatch_size": 4, "group_size": 8}, "minibatch_size"),
        ({"batch_size": 8, "group_size": 3}, "group_size"),
        ({"loss": "robust"}, "label_smoothing"),
    ],
)
def test_a_setting_that_does_not_hold_is_named(small, changed, field):
    with pytest.raises(SpecError) as error:
        small.online("online_dpo", RM, **changed)
    assert error.value.field == field
