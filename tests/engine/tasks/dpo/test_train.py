"""DPO as it runs: where it begins, what moves it, and how it ends when something is wrong."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Metrics, Produced, RunFinished, Sample
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Comparison, Rating
from rlhf_engine.models.adapters import new_lora
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.preferences import reference
from rlhf_engine.preferences.answers import answer_logprobs
from rlhf_engine.preferences.learning import learn
from rlhf_engine.preferences.losses import dpo_loss, dpo_loss_at_start
from rlhf_engine.preferences.pairs import in_parts
from rlhf_engine.preferences.reference import POLICY, REFERENCE, hold_reference
from rlhf_engine.tasks.dpo import train as dpo
from tests.engine.preferences.conftest import eight_pairs, move
from tests.engine.preferences.test_pairs import of_split
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.conftest import equal_gradients

QUICK = {"sample_every": 0, "evaluate_every": 0}
VARIANTS = [
    {"loss": "sigmoid"},
    {"loss": "conservative", "label_smoothing": 0.1},
    {"loss": "robust", "label_smoothing": 0.1},
    {"loss": "hinge"},
    {"loss": "ipo"},
    {"loss": "ipo", "lengths": "sum", "beta": 0.01},
    {"loss": "sigmoid", "lengths": "mean", "beta": 0.5},
    {"loss": "sigmoid", "nll_coef": 0.5},
]  # beta such that the last bits of a log-probability are not made larger before they are compared


def learned(small, inside, micro, **changed):
    spec = small.dpo(micro_batch_size=micro, batch_size=8, **changed)
    torch.manual_seed(0)
    backbone = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    backbone.add(POLICY, new_lora(spec), trainable=True)
    hand = inside(spec)
    pairs = eight_pairs(backbone)
    hold_reference(backbone, resolve(spec.model, small.root), in_parts(pairs, 8), [], spec, hand.run)
    move(backbone)
    hand.keep_gradients()
    optimizer = optimizer_for(backbone, POLICY, spec)
    values = learn(lambda part, each: dpo.losses(backbone, part, spec, each), pairs, spec, hand.run, optimizer, 1e-3)
    return values, hand.gradients[0], backbone, pairs


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(map(str, v.values())))
def test_eight_by_one_learns_what_one_by_eight_learns(small, inside, variant):
    (whole, a), (cut, b), (uneven, c) = (learned(small, inside, micro, **variant)[:2] for micro in (8, 1, 3))
    assert equal_gradients(a, b) and equal_gradients(a, c)
    for name in whole:
        assert (
            whole[name]
            == pytest.approx(cut[name], abs=1e-5, rel=1e-6)
            == pytest.approx(uneven[name], abs=1e-5, rel=1e-6)
        ), name


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(map(str, v.values())))
def test_the_step_is_the_formula(small, inside, variant):
    """Each answer's own log-ratio over its own length, where means are asked for."""
    values, _, backbone, pairs = learned(small, inside, 3, **variant)
    by = variant.get("lengths", "mean" if variant["loss"] == "ipo" else "sum")
    beta, share = variant.get("beta", 0.1), variant.get("label_smoothing", 0.0)

    @torch.no_grad()
    def ratio(answer):
        now, then = (answer_logprobs(backbone, role, [answer]).total.item() for role in (POLICY, REFERENCE))
        return (now - then) / (answer.tokens if by == "mean" else 1)

    sides = [(ratio(p.chosen), ratio(p.rejected)) for p in pairs]
    apart = torch.tensor([up - down for up, down in sides])
    assert values["train/margin"] == pytest.approx(beta * apart.mean().item(), abs=1e-4)
    assert values["train/chosen_reward"] == pytest.approx(beta * sum(up for up, _ in sides) / 8, abs=1e-4)
    assert values["train/accuracy"] == (apart > 0).float().mean().item()
    with torch.no_grad():
        chosen = answer_logprobs(backbone, POLICY, [p.chosen for p in pairs])
    nats = variant.get("nll_coef", 0.0) * -(chosen.total.sum() / chosen.tokens.sum()).item()
    wanted = dpo_loss(apart, beta, variant["loss"], share).mean().item() + nats
    assert values["train/loss"] == pytest.approx(wanted, abs=1e-4, rel=1e-5)


@pytest.mark.parametrize("variant", VARIANTS[:6], ids=lambda v: "-".join(map(str, v.values())))
def test_the_first_loss_is_that_of_a_policy_that_is_its_own_reference(small, variant):
    """From an SFT result that was trained with dropout: exactly, and the measured points say so."""
    said = small.run("start", small.dpo(model="run:sft", epochs=0.3, **{**QUICK, **variant}))
    assert ended_well(said)
    before, first, second = (curve(said)[step] for step in (0, 1, 2))
    wanted = dpo_loss_at_start(variant.get("beta", 0.1), variant["loss"])
    assert first["train/loss"] == pytest.approx(wanted, abs=1e-6) == before["heldout/loss"]
    assert wanted == pytest.approx(math.log(2)) or variant["loss"] in ("hinge", "ipo")
    for name in ("accuracy", "margin", "chosen_reward", "rejected_reward"):
        assert first[f"train/{name}"] == 0.0 == before[f"heldout/{name}"], name
    assert second["train/margin"] != 0.0


def test_precomputed_equals_on_the_fly(small):
    asked = small.run("asked", small.dpo(model="run:sft"))
    kept = small.run("kept", small.dpo(model="run:sft", precompute_reference=True))
    assert ended_well(asked) and ended_well(kept)
    a, b = curve(asked), curve(kept)
    assert a.keys() == b.keys()
    for step in a:
        for name in a[step]:
            if not name.endswith("accuracy"):  # of equal rewards, which last bits decide before the first step
                assert a[step][name] == pytest.approx(b[step][name], abs=1e-5, rel=1e-4), (step, name)
        assert a[step].get("train/loss") == pytest.approx(b[step].get("train/loss"), abs=1e-5)
    mine, theirs = (
        load_file(small.root / "runs" / run / "adapter" / "adapter_model.safetensors") for run in ("asked", "kept")
    )
    assert all(torch.allclose(mine[k], theirs[k], atol=1e-5) for k in mine)
    assert (small.root / "runs/kept/reference").is_dir() and not (small.root / "runs/asked/reference").exists()


def test_it_learns_whom_people_prefer_and_everything_is_told(small):
    said = small.run("dpo", small.dpo(model="run:sft"))
    assert ended_well(said)
    steps = curve(said)
    last = steps[max(steps)]
    assert last["heldout/accuracy"] >= 0.9 and last["heldout/margin"] > 0.5 and last["heldout/loss"] < 0.5
    assert last["heldout/ranking_accuracy"] >= steps[0]["heldout/ranking_accuracy"] > 0.5
    samples = [e.event for e in said if isinstance(e.event, Sample)]
    assert samples and len({s.prompt for s in samples}) > 1
    assert len({(s.prompt, s.reference) for s in samples}) == len({s.prompt for s in samples})  # the start's, fixed
    (made,) = [e.event for e in said if isinstance(e.event, Produced)]
    assert made.what == "adapter" and made.facts["heldout/accuracy"] == last["heldout/accuracy"]
    about = json.loads((small.root / "runs/dpo/adapter/model.json").read_text())
    assert (about["task"], about["parent"], about["dataset"]) == ("dpo", "run:sft", small.comparisons)
    assert about["facts"] == made.facts


def test_without_held_out_prompts_it_runs_and_says_nothing_of_them(small):
    rows = [Comparison(p, "Yes.", "No.") for p in of_split("train", 12)]
    ref = freeze(small.root, "comparisons", rows, "train only", "test", {}).ref
    said = small.run("train-only", small.dpo(dataset=ref, epochs=2))
    assert ended_well(said)
    assert [e.event.step for e in said if isinstance(e.event, Metrics)] == [1, 2]
    assert not any(name.startswith("heldout") for values in curve(said).values() for name in values)


def test_the_nll_term_keeps_the_chosen_answers_likely(small):
    found = [
        curve(small.run(f"nll-{coef}", small.dpo(nll_coef=coef, learning_rate=2e-3, **QUICK))) for coef in (0.0, 1.0)
    ]
    without, with_it = (steps[max(steps)]["heldout/chosen_logp"] for steps in found)
    assert with_it > without + 0.2
    first = found[1][1]
    assert first["train/loss"] == pytest.approx(math.log(2) - first["train/chosen_logp"], abs=0.5)  # per token, nearly


@pytest.mark.parametrize("precompute", [False, True])
def test_a_run_whose_reference_is_not_the_policy_does_not_start(small, monkeypatch, precompute):
    """The classic: a reference without the SFT adapter."""
    if precompute:
        real = reference._measured
        monkeypatch.setattr(reference, "_measured", lambda *args: real(*args) * 1.01)
    else:

        def bare(backbone, source, target, trainable=False):
            backbone.add(target, backbone.config(source), trainable)

        monkeypatch.setattr(Backbone, "copy", bare)
    said = small.run("wrong", small.dpo(model="run:sft", precompute_reference=precompute))
    end = said[-1].event
    assert isinstance(end, RunFinished) and end.outcome == "failed" and not end.traceback
    assert "Before the first step the policy is not its own reference" in end.message and "ln 2" in end.message
    assert "base and SFT adapter together" in end.hint
    assert not any(isinstance(e.event, Metrics) for e in said)


def test_the_reference_is_frozen_and_the_base_untouched(small, monkeypatch):
    seen = []
    real = dpo.hold_reference

    def spy(backbone, *rest):
        real(backbone, *rest)
        seen.append((backbone, backbone.state(REFERENCE), {k: v.clone() for k, v in _base(backbone).items()}))

    monkeypatch.setattr(dpo, "hold_reference", spy)
    assert ended_well(small.run("frozen", small.dpo(model="run:sft", epochs=0.3, **QUICK)))
    ((backbone, before, base),) = seen
    after = backbone.state(REFERENCE)
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert all(torch.equal(base[k], v) for k, v in _base(backbone).items())
    assert any(not torch.equal(v, after[k]) for k, v in backbone.state(POLICY).items())


def _base(backbone):
    return {k: v for k, v in backbone.base.model.state_dict().items() if "lora_" not in k}


@pytest.mark.parametrize(
    ("changed", "field", "word"),
    [
        ({"label_smoothing": 0.1}, "label_smoothing", "expects no wrong labels"),
        ({"loss": "ipo", "label_smoothing": 0.2}, "label_smoothing", "expects no wrong labels"),
        ({"loss": "robust"}, "label_smoothing", "needs the share"),
        ({"loss": "conservative"}, "label_smoothing", "needs the share"),
        ({"loss": "robust", "label_smoothing": 0.5}, "label_smoothing", "between"),
        ({"loss": "dpo"}, "loss", "must be one of"),
        ({"beta": 0.0}, "beta", "between"),
        ({"lora_dropout": 0.1}, "lora_dropout", "dropout blurs"),
        ({"dataset": ""}, "dataset", "has not been chosen"),
    ],
)
def test_a_setting_that_does_not_hold_is_named(small, changed, field, word):
    with pytest.raises(SpecError, match=word) as error:
        small.dpo(**changed)
    assert error.value.field == field


def test_ratings_are_no_comparisons(small):
    ref = freeze(small.root, "ratings", [Rating(f"{i}?", "Yes.", True) for i in range(9)], "r", "test", {}).ref
    end = small.run("kind", small.dpo(dataset=ref))[-1].event
    assert end.outcome == "failed" and "comparisons are needed" in end.message and not end.traceback
