"""ORPO as it runs: fine-tuning and preference in one loss, from a base model."""

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
from rlhf_engine.preferences.losses import orpo_odds_loss
from rlhf_engine.preferences.pairs import pair_logprobs
from rlhf_engine.preferences.reference import POLICY, REFERENCE
from rlhf_engine.tasks.orpo import train as orpo
from tests.engine.preferences.conftest import eight_pairs, move
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.conftest import equal_gradients

QUICK = {"sample_every": 0, "evaluate_every": 0}


def learned(small, inside, micro, **changed):
    spec = small.orpo(micro_batch_size=micro, batch_size=8, **changed)
    torch.manual_seed(0)
    backbone = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    backbone.add(POLICY, new_lora(spec), trainable=True)
    move(backbone)
    hand = inside(spec)
    hand.keep_gradients()
    pairs, optimizer = eight_pairs(backbone), optimizer_for(backbone, POLICY, spec)
    values = learn(lambda part, each: orpo.losses(backbone, part, spec, each), pairs, spec, hand.run, optimizer, 1e-3)
    return values, hand.gradients[0], backbone, pairs


def test_eight_by_one_learns_what_one_by_eight_learns(small, inside):
    (whole, a), (cut, b), (uneven, c) = (learned(small, inside, micro, odds_weight=1.0)[:2] for micro in (8, 1, 3))
    assert equal_gradients(a, b) and equal_gradients(a, c)
    for name in whole:
        assert whole[name] == pytest.approx(cut[name], abs=2e-5) == pytest.approx(uneven[name], abs=2e-5), name


def test_the_loss_is_nats_per_chosen_token_and_the_weighed_odds(small, inside):
    values, _, backbone, pairs = learned(small, inside, 3, odds_weight=0.4)
    with torch.no_grad():
        chosen, rejected = pair_logprobs(backbone, POLICY, pairs)
    nats = -chosen.total.sum() / chosen.tokens.sum()
    odds = orpo_odds_loss(chosen.mean, rejected.mean).mean()
    assert values["train/loss"] == pytest.approx((nats + 0.4 * odds).item(), abs=1e-5)
    assert not backbone.has(REFERENCE)


def test_without_its_odds_it_is_supervised_fine_tuning(small):
    """On the chosen answers, step by step: the same examples in the same order, the same loss."""
    same = {"warmup": 0.1, "dataset": small.comparisons, **QUICK}
    a = small.run("plain-orpo", small.orpo(odds_weight=0.0, **same))
    b = small.run("plain-sft", small.sft(**same))
    assert ended_well(a) and ended_well(b)
    for (step, mine), theirs in zip(list(curve(a).items())[1:], curve(b).values(), strict=True):
        assert mine["train/loss"] == pytest.approx(theirs["train/loss"], abs=1e-4), step


def test_it_learns_whom_people_prefer_from_a_base_model(small):
    said = small.run("orpo", small.orpo(odds_weight=0.5))
    assert ended_well(said)
    steps = curve(said)
    last = steps[max(steps)]
    assert steps[0]["heldout/accuracy"] < 0.5 < 0.9 <= last["heldout/accuracy"] == last["heldout/ranking_accuracy"]
    assert last["heldout/chosen_logp"] > steps[0]["heldout/chosen_logp"] + 1  # it imitates too
    (made,) = [e.event for e in said if isinstance(e.event, Produced)]
    assert made.facts["heldout/margin"] == last["heldout/margin"] > 0


@pytest.mark.parametrize(
    ("changed", "field"), [({"odds_weight": -0.1}, "odds_weight"), ({"lora_dropout": 0.2}, "lora_dropout")]
)
def test_a_setting_that_does_not_hold_is_named(small, changed, field):
    with pytest.raises(SpecError) as error:
        small.orpo(**changed)
    assert error.value.field == field
