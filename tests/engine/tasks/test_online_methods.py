"""What holds for every method that learns from its own answers without a value model."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Alert, Sample
from rlhf_engine.data.chat import render
from rlhf_engine.data.questions import Question
from rlhf_engine.rollouts import practice
from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.learner import Learner
from rlhf_engine.rollouts.practice import Practice
from rlhf_engine.rollouts.rollout import rollout
from rlhf_engine.runtime.context import Clock, Means
from rlhf_engine.tasks.grpo import train as grpo
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.conftest import equal_gradients

METHODS = ["rloo", "grpo", "reinforce"]
RM = "run:rm"
QUIET = {"sample_every": 0, "checkpoint_every": 100}


@pytest.mark.parametrize("task", METHODS)
def test_at_the_start_kl_is_exactly_0_and_every_ratio_exactly_1(small, task):
    spec = small.online(task, RM, policy="run:sft", updates=2, epochs=1, minibatch_size=8, temperature=0.7, **QUIET)
    said = small.run(f"start-{task}", spec)
    assert ended_well(said)
    first, second = curve(said).values()
    assert first["objective/kl_sequence"] == first["objective/kl_token_k3"] == first["policy/approx_kl"] == 0.0
    assert first["policy/ratio_max"] == 1.0 and first["policy/clip_fraction"] == 0.0 < first["policy/grad_norm"]
    assert second["objective/kl_sequence"] != 0.0
    assert first["groups/spread"] > 0 and 0 <= first["groups/zero_std"] <= 1


@pytest.mark.parametrize("task", METHODS)
def test_answers_of_one_prompt_stand_side_by_side(small, task):
    said = small.run(f"side-{task}", small.online(task, RM, updates=1, group_size=4, sample_every=1))
    assert ended_well(said)
    (line,) = [e.event.text for e in said if isinstance(e.event, Alert) and e.event.text.startswith("Reward: ")]
    assert line.startswith("Reward: 1 * model = score")
    (sample,) = [e.event for e in said if isinstance(e.event, Sample) and "advantage" in e.event.per_token]
    assert "value" not in sample.per_token


def test_grpo_measures_its_policy_by_the_pass_that_learns_and_no_bit_changes(small, monkeypatch):
    spec = small.online("grpo", RM, policy="run:sft", updates=3, epochs=2, minibatch_size=8, **QUIET)
    measured, found = [], []
    monkeypatch.setattr(practice, "rollout", lambda *given, policy: measured.append(policy) or rollout(*given, policy))
    for first in (True, False):
        monkeypatch.setattr(
            grpo, "Practice", lambda *given, now=first, **named: Practice(*given, **named | {"learns_first": now})
        )
        said = small.run(f"first-{first}", spec)
        assert ended_well(said)
        found.append(
            (curve(said), load_file(small.root / "runs" / f"first-{first}" / "adapter" / "adapter_model.safetensors"))
        )
    assert measured == [True, False, False, True, True, True]
    (curves, weights), (usual, usual_weights) = found
    assert curves == usual
    assert all(torch.equal(weights[name], usual_weights[name]) for name in weights)


CUTS = [
    ("rloo", {"level": "sequence"}, ("sequence", "sequence")),
    ("rloo", {"level": "token", "kl_in": "loss", "kl_estimator": "k2"}, ("token", "token")),
    ("grpo", {"aggregation": "sequence"}, ("sequence", "token")),
    ("grpo", {"aggregation": "fixed", "kl_estimator": "k3+"}, ("fixed", "token")),
    ("grpo", {"aggregation": "sequence", "level": "sequence mean"}, ("sequence", "sequence mean")),
    ("reinforce", {"entropy_coef": 0.01}, ("token", "token")),
]


@pytest.mark.parametrize(("task", "changed", "how"), CUTS, ids=lambda x: str(x) if isinstance(x, str) else None)
def test_eight_by_one_learns_what_one_by_eight_learns(small, inside, task, changed, how):
    spec = small.online(task, RM, policy="run:sft", minibatch_size=8, micro_batch_size=8, response_tokens=10, **changed)
    hand = inside(spec)
    actors = Actors.load(spec, hand.run)
    asked = [f"What is {i}?" + " And then?" * (i % 3) for i in range(8)]
    questions = [Question(prompt, render(actors.backbone.base.tokenizer, prompt).ids) for prompt in asked]
    found = rollout(actors, spec, hand.run, questions, Clock())
    torch.manual_seed(1)
    lengths = torch.tensor([1, 10, 3, 7, 2, 10, 5, 9])[:, None]
    mask = found.mask & (torch.arange(found.mask.shape[1]) < lengths)
    found.batch.mask[:, found.batch.prompt_width :] = mask
    mask = mask.clone()
    mask[4] = False  # an answer that is left out of what is learned from
    noise = 0.3 * torch.rand_like(found.logp)
    found = replace(found, mask=mask, logp=found.logp - noise, ref_logp=found.ref_logp + noise)
    weights = torch.randn_like(found.logp)
    hand.keep_gradients()
    for micro in (8, 1, 3):
        learner = Learner(dataclasses.replace(spec, micro_batch_size=micro), hand.run, actors, None, *how)
        learner._minibatch(5, torch.arange(8), found, weights, 0.3, [1e-3, 0.0], Means())
    whole, cut, uneven = hand.gradients
    assert equal_gradients(whole, cut) and equal_gradients(whole, uneven)


@pytest.mark.parametrize(
    ("task", "changed", "field"),
    [
        ("rloo", {"group_size": 3}, "group_size"),
        ("rloo", {"group_size": 1}, "group_size"),
        ("grpo", {"kl_estimator": "k1"}, "kl_estimator"),
        ("grpo", {"minibatch_size": 5}, "minibatch_size"),
        ("reinforce", {"group_size": 1}, "group_size"),
        ("reinforce", {"lora_dropout": 0.1}, "lora_dropout"),
        ("reinforce", {"reward_model": ""}, "reward_model"),
        ("reinforce", {"ptx_coef": 1.0}, "ptx_dataset"),
    ],
)
def test_a_setting_that_does_not_hold_is_named(small, task, changed, field):
    with pytest.raises(SpecError) as error:
        small.online(task, **{"reward_model": RM, **changed})
    assert error.value.field == field


def test_without_a_baseline_one_answer_per_prompt_is_enough(small):
    spec = small.online("reinforce", RM, baseline="none", group_size=1, updates=2, **QUIET)
    assert ended_well(small.run("no-baseline", spec))


def test_flat_groups_and_cut_off_answers_can_be_left_out(small):
    # a pattern that nothing fits: all groups are flat, and there is nothing to learn from
    nothing = [{"kind": "format", "pattern": "(?!)"}]
    rules = {"reward_model": "", "rewards": nothing, "missing_eos": "nothing", "reward_scaling": "none"}
    spec = small.online("grpo", updates=1, drop_flat_groups=True, mask_truncated=True, kl_coef=0.0, **rules, **QUIET)
    said = small.run("flat", spec)
    assert ended_well(said)
    (only,) = curve(said).values()
    assert only["groups/zero_std"] == 1.0 and only["policy/grad_norm"] == 0.0 and only["policy/loss"] == 0.0
    assert any(isinstance(e.event, Alert) and "all answers score the same" in e.event.text for e in said)


@pytest.mark.parametrize("task", METHODS)
def test_it_learns_a_rule(small, task):
    """The more words the better; a KL penalty holds it back."""
    rules = {"reward_model": "", "rewards": [{"kind": "length", "unit": "words", "target": 8, "wanted": "longer"}]}
    settings = {"updates": 12, "batch_size": 32, "minibatch_size": 16, "micro_batch_size": 16, "response_tokens": 10}
    settings |= {"group_size": 4, "learning_rate": 1e-2, "epochs": 2, "schedule": "constant", "warmup": 0.0, **QUIET}
    settings |= {"adaptive_kl": False, "reward_scaling": "none", "missing_eos": "nothing"}
    found = {}
    for beta in (0.0, 3.0):
        said = small.run(f"rule-{task}-{beta}", small.online(task, kl_coef=beta, **rules, **settings))
        assert ended_well(said)
        steps = list(curve(said).values())
        found[beta] = (steps[0]["objective/score"], steps[-1]["objective/score"], steps[-1]["objective/kl_sequence"])
    (before, free, drift), (_, held, little) = found[0.0], found[3.0]
    assert free > before + 0.1 and held < free, found
    assert abs(little) < drift, found
