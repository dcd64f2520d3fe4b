"""A zero and a unit for the scores: what they are measured on, that they are kept, and that they move no preference."""

from __future__ import annotations

import json

import pytest
import torch

from rlhf_engine.contract.events import Alert
from rlhf_engine.data.datasets import freeze, open_dataset
from rlhf_engine.data.records import Comparison, half_of
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.tasks.reward import normalise as normalising
from tests.engine.small_project import ended_well

QUICK = {"sample_every": 0, "evaluate_every": 0, "epochs": 0.3}
ENSEMBLE = {"heads": 3, "ensemble_score": "lower", "ensemble_k": 1.0}
SEQUENCES = [[3, 5, 6, 1], [3, 9, 1], [4, 4, 4, 1], [3, 30, 40, 50, 1]]


def judge(small, run_id):
    fresh = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    load_adapter(fresh, "judge", resolve(f"run:{run_id}", small.root))
    return fresh


def facts_of(small, run_id):
    return json.loads((small.root / "runs" / run_id / "adapter/model.json").read_text())["facts"]


@pytest.mark.parametrize("settings", [{}, ENSEMBLE], ids=["one head", "ensemble"])
def test_scores_of_the_starting_model_have_mean_zero_and_deviation_one(small, monkeypatch, settings):
    written = []
    answers_of_start = normalising.answers_of_start

    def spy(*given):
        written.extend(answers_of_start(*given))
        return written

    monkeypatch.setattr(normalising, "answers_of_start", spy)
    assert ended_well(small.run("normal", small.reward(normalise_on=40, **QUICK, **settings)))
    assert len(written) == 40 and all(ids[-1] == 1 for ids in written)  # the end token, as in training
    found = judge(small, "normal")
    scores = found.score("judge", written, 4).detach()
    assert scores.mean().item() == pytest.approx(0, abs=1e-5) and scores.std().item() == pytest.approx(1, abs=1e-5)
    facts, head = facts_of(small, "normal"), found.heads["judge"]
    assert facts["raw_mean"] == pytest.approx(head.mean.item()) and facts["raw_std"] == pytest.approx(head.std.item())
    assert facts["p99"] == pytest.approx(scores.quantile(0.99).item(), abs=1e-5) and facts["normalised_on"] == 40
    if settings:  # the heads are on one level, and their units are as learned
        each = found.each_score("judge", written, 4).detach()
        assert each.mean(0).tolist() == pytest.approx([0.0] * 3, abs=1e-5)
        assert len({round(s, 3) for s in each.std(0).tolist()}) == 3


def test_levelling_takes_out_only_what_each_head_calls_zero():
    head = ScalarHead(1, zero=True, count=2, rule="min")
    head.linear.weight.data.copy_(torch.tensor([[1.0], [2.0]]))
    head.linear.bias.data.copy_(torch.tensor([100.0, -7.0]))
    states = torch.tensor([[-1.0], [0.0], [1.0]])
    scores = head.normalise(head.each(states))
    # on one level the heads say -1 0 1 and -2 0 2; the lower are -2 0 1, with mean -1/3 and deviation sqrt(7/3)
    expected = [(x + 1 / 3) / (7 / 3) ** 0.5 for x in (-2, 0, 1)]
    assert scores.tolist() == pytest.approx(expected) and head(states).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("settings", [{}, {"heads": 3}], ids=["one head", "ensemble"])
def test_normalising_moves_no_preference(small, settings):
    for run_id, count in (("scaled", 16), ("unscaled", 0)):
        assert ended_well(small.run(run_id, small.reward(normalise_on=count, **QUICK, **settings)))
    scaled, unscaled = (judge(small, run_id).score("judge", SEQUENCES).detach() for run_id in ("scaled", "unscaled"))
    facts = facts_of(small, "scaled")
    apart = (unscaled[1:] - unscaled[0]) / facts["raw_std"]
    torch.testing.assert_close(scaled[1:] - scaled[0], apart, atol=1e-5, rtol=0)
    if not settings:
        torch.testing.assert_close(scaled, (unscaled - facts["raw_mean"]) / facts["raw_std"], atol=1e-5, rtol=0)
    for name in ("heldout/loss", "heldout/margin", "heldout/accuracy"):  # measured in nats, before normalising
        assert facts[name] == pytest.approx(facts_of(small, "unscaled")[name], abs=1e-5)


def test_it_asks_only_prompts_of_its_own_half(small, inside):
    dataset = open_dataset(small.root, small.comparisons)
    backbone = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    source = resolve(small.model, small.root)
    prompts = [r.prompt for r in dataset.records("train")]

    def asked(half):
        spec = small.reward(prompts_from=half, normalise_on=1000)
        asked_of, role = normalising.prompts_and_start(backbone, source, dataset, spec)
        written = normalising.answers_of_start(backbone, role, asked_of, spec, inside(spec).run)
        texts = [backbone.base.tokenizer.decode(ids) for ids in written]
        return {p for p in prompts if any(p in text for text in texts)}

    for half in ("first", "second"):
        assert asked(f"{half} half") == {p for p in prompts if half_of(p) == half}
    assert asked("all") == set(prompts)


def test_a_single_prompt_is_too_few_and_is_said(small):
    rows = [Comparison("What is 1?", "One.", "Two."), Comparison("What is 1?", "One.", "Three.")]
    ref = freeze(small.root, "comparisons", rows, "few", "test", {}).ref
    said = small.run("few", small.reward(dataset=ref, **QUICK))
    assert ended_well(said)
    assert any(isinstance(e.event, Alert) and "too few prompts to normalise" in e.event.text for e in said)
    assert judge(small, "few").heads["judge"].std.item() == 1.0
