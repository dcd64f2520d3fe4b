"""Reward modelling as it runs: gradients, normalising, and how it ends when something is wrong."""

from __future__ import annotations

import json

import pytest
import torch

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Alert, Produced, RunFinished, Sample
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Comparison, split_of
from rlhf_engine.models.adapters import load_adapter, new_lora
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.runtime.context import adamw
from rlhf_engine.tasks.reward import train as reward
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.conftest import equal_gradients

QUICK = {"sample_every": 0, "evaluate_every": 0}


def learned(small, inside, micro, **changed):
    spec = small.reward(micro_batch_size=micro, batch_size=8, **changed)
    torch.manual_seed(0)
    backbone = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    backbone.add("reward", new_lora(spec), trainable=True)
    backbone.load_state("reward", {k: v + 0.02 * torch.randn_like(v) for k, v in backbone.state("reward").items()})
    backbone.add_head("reward", trainable=True)
    hand = inside(spec)
    hand.keep_gradients()
    pairs = []
    for n in (0, 7, 1, 3, 0, 12, 2, 5):
        sides = "It is " + "very " * n + "far.", "No."
        good, bad = (render(backbone.base.tokenizer, "Where?", text).ids for text in sides)
        pairs.append(reward.Pair(good, bad, 1 + n % 3, Comparison("Where?", *sides)))
    values = reward.learn(backbone, pairs, spec, hand.run, adamw(backbone.parameters_of("reward")), 1e-3)
    return values, hand.gradients[0]


def test_eight_by_one_learns_what_one_by_eight_learns(small, inside):
    settings = {"margin": 0.3, "label_smoothing": 0.1, "centering": 0.05}
    (whole, a), (cut, b), (uneven, c) = (learned(small, inside, micro, **settings) for micro in (8, 1, 3))
    assert equal_gradients(a, b) and equal_gradients(a, c)
    for name in ("train/loss", "train/accuracy", "train/margin", "train/centre"):
        assert whole[name] == pytest.approx(cut[name], abs=1e-5) == pytest.approx(uneven[name], abs=1e-5)


def test_it_learns_to_tell_the_sides_apart(small):
    said = small.run("apart", small.reward())
    assert ended_well(said)
    steps = curve(said)
    last = steps[max(steps)]
    assert last["heldout/accuracy"] >= 0.9 and last["heldout/margin"] > 0.5
    assert last["heldout/loss"] < steps[3]["heldout/loss"] < 1.5
    (made,) = [e.event for e in said if isinstance(e.event, Produced)]
    assert made.what == "reward_model" and made.facts["heldout/accuracy"] == last["heldout/accuracy"]
    samples = [e.event for e in said if isinstance(e.event, Sample)]
    assert samples and all(s.score is not None and s.reference.startswith("No idea") for s in samples)


def test_scores_of_the_starting_model_have_mean_zero_and_deviation_one(small, monkeypatch):
    calls = []
    score = Backbone.score

    def spy(self, name, sequences, micro_batch=64):
        out = score(self, name, sequences, micro_batch)
        calls.append((sequences, out.detach()))
        return out

    monkeypatch.setattr(Backbone, "score", spy)
    said = small.run("normal", small.reward(epochs=0.3, normalise_on=40, **QUICK))
    assert ended_well(said)
    of_40 = [(sequences, out) for sequences, out in calls if len(sequences) == 40]
    (answers, raw), (_, normal) = of_40
    assert normal.mean().item() == pytest.approx(0, abs=1e-5) and normal.std().item() == pytest.approx(1, abs=1e-5)
    assert all(ids[-1] == 1 for ids in answers)  # the end token, as in training
    facts = json.loads((small.root / "runs/normal/adapter/model.json").read_text())["facts"]
    assert facts["raw_mean"] == pytest.approx(raw.mean().item()) and facts["raw_std"] == pytest.approx(raw.std().item())
    assert facts["p99"] == pytest.approx(normal.quantile(0.99).item()) and facts["normalised_on"] == 40

    monkeypatch.undo()  # what was saved scores the same
    fresh = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    load_adapter(fresh, "judge", resolve("run:normal", small.root))
    torch.testing.assert_close(fresh.score("judge", answers, 4), normal, atol=1e-5, rtol=0)


def test_normalising_moves_no_preference(small):
    quick = {"epochs": 0.3, **QUICK}
    for run_id, count in (("scaled", 16), ("unscaled", 0)):
        assert ended_well(small.run(run_id, small.reward(normalise_on=count, **quick)))
    found = []
    for run_id in ("scaled", "unscaled"):
        fresh = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
        load_adapter(fresh, "judge", resolve(f"run:{run_id}", small.root))
        found.append(fresh.score("judge", [[3, 5, 6, 1], [3, 9, 1], [4, 4, 4, 1]]).detach())
    facts = json.loads((small.root / "runs/scaled/adapter/model.json").read_text())["facts"]
    torch.testing.assert_close(found[0], (found[1] - facts["raw_mean"]) / facts["raw_std"], atol=1e-5, rtol=0)


def of_split(split, count=12):
    prompts = (f"Word {i}?" for i in range(10_000))
    return [p for p, _ in zip((p for p in prompts if split_of(p) == split), range(count), strict=False)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Comparison(p, "Yes.", "No.") for p in of_split("heldout")], "has no comparisons to train on."),
        (
            [Comparison(p, "Yes. " * 300, "No.") for p in of_split("train")],
            "All 12 comparisons (train) are longer than 256",
        ),
    ],
    ids=["held out", "too long"],
)
def test_nothing_to_train_on_ends_in_a_sentence(small, rows, message):
    ref = freeze(small.root, "comparisons", rows, "bad", "test", {}).ref
    end = small.run("bad", small.reward(dataset=ref))[-1].event
    assert isinstance(end, RunFinished) and end.outcome == "failed" and end.hint and not end.traceback
    assert message in end.message


def test_prompts_are_no_comparisons(small):
    end = small.run("kind", small.reward(dataset=small.prompts))[-1].event
    assert end.outcome == "failed" and "comparisons" in end.message and not end.traceback


def test_a_pair_is_left_out_when_either_side_is_too_long(small):
    rows = [Comparison(p, "Yes.", "No.") for p in of_split("train", 8)]
    rows += [Comparison(p, "Yes.", "No. " * 300) for p in of_split("train", 9)[8:]]
    rows += [Comparison(p, "Yes. " * 300, "No.") for p in of_split("train", 10)[9:]]
    ref = freeze(small.root, "comparisons", rows, "long", "test", {}).ref
    said = small.run("long-pairs", small.reward(dataset=ref, epochs=1, normalise_on=0))
    assert ended_well(said)
    assert any(isinstance(e.event, Alert) and "2 of 10 comparisons (train)" in e.event.text for e in said)


@pytest.mark.parametrize(
    ("field", "value"), [("label_smoothing", 0.5), ("margin", -1.0), ("dataset", " "), ("centering", float("nan"))]
)
def test_a_setting_that_does_not_hold_is_named(small, field, value):
    with pytest.raises(SpecError) as error:
        small.reward(**{field: value})
    assert error.value.field == field
