"""SimPO as it runs: log-probabilities per token, a margin, and no second model."""

from __future__ import annotations

import pytest
import torch

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Produced
from rlhf_engine.models.adapters import new_lora
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.preferences.learning import learn
from rlhf_engine.preferences.losses import simpo_loss
from rlhf_engine.preferences.pairs import pair_logprobs
from rlhf_engine.preferences.reference import POLICY, REFERENCE
from rlhf_engine.tasks.simpo import train as simpo
from tests.engine.preferences.conftest import eight_pairs, move
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.conftest import equal_gradients


def learned(small, inside, micro, **changed):
    spec = small.simpo(micro_batch_size=micro, batch_size=8, beta=1.0, **changed)
    torch.manual_seed(0)
    backbone = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    backbone.add(POLICY, new_lora(spec), trainable=True)
    move(backbone)
    hand = inside(spec)
    hand.keep_gradients()
    pairs, optimizer = eight_pairs(backbone), optimizer_for(backbone, POLICY, spec)
    values = learn(lambda part, each: simpo.losses(backbone, part, spec, each), pairs, spec, hand.run, optimizer, 1e-3)
    return values, hand.gradients[0], backbone, pairs


@pytest.mark.parametrize("nll_coef", [0.0, 0.3])
def test_eight_by_one_learns_what_one_by_eight_learns(small, inside, nll_coef):
    (whole, a), (cut, b), (uneven, c) = (learned(small, inside, micro, nll_coef=nll_coef)[:2] for micro in (8, 1, 3))
    assert equal_gradients(a, b) and equal_gradients(a, c)
    for name in whole:
        assert whole[name] == pytest.approx(cut[name], abs=1e-5) == pytest.approx(uneven[name], abs=1e-5), name


def test_the_step_is_the_formula(small, inside):
    values, _, backbone, pairs = learned(small, inside, 3, gamma=0.7)
    with torch.no_grad():
        chosen, rejected = pair_logprobs(backbone, POLICY, pairs)
    assert values["train/loss"] == pytest.approx(
        simpo_loss(chosen.mean, rejected.mean, 1.0, 0.7).mean().item(), abs=1e-5
    )
    assert values["train/margin"] == pytest.approx((chosen.mean - rejected.mean).mean().item(), abs=1e-5)
    assert not backbone.has(REFERENCE)


def test_it_learns_whom_people_prefer(small):
    said = small.run("simpo", small.simpo())
    assert ended_well(said)
    steps = curve(said)
    last = steps[max(steps)]
    assert steps[0]["heldout/accuracy"] < 0.5 < 0.9 <= last["heldout/accuracy"] == last["heldout/ranking_accuracy"]
    (made,) = [e.event for e in said if isinstance(e.event, Produced)]
    assert made.facts["heldout/margin"] == last["heldout/margin"] > 1.0


@pytest.mark.parametrize(
    ("changed", "field"), [({"gamma": -0.1}, "gamma"), ({"beta": 0.0}, "beta"), ({"lora_dropout": 0.2}, "lora_dropout")]
)
def test_a_setting_that_does_not_hold_is_named(small, changed, field):
    with pytest.raises(SpecError) as error:
        small.simpo(**changed)
    assert error.value.field == field
