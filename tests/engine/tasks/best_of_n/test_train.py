"""Best of n: what is kept, what it is worth, and that learning it catches up with it."""

from __future__ import annotations

import pytest

from rlhf_engine.contract.events import Curve, Produced
from rlhf_engine.data.datasets import open_dataset
from tests.engine.small_project import curve, ended_well

RULES = {"reward_model": "", "rewards": [{"kind": "length", "unit": "words", "target": 8, "wanted": "longer"}]}
PLAIN = {"reward_scaling": "none", "missing_eos": "nothing", "sample_every": 0, "checkpoint_every": 100}


def spec_of(small, **changed):
    settings = {"batch_size": 32, "group_size": 8, "minibatch_size": 16, "response_tokens": 10, "updates": 2}
    return small.online("best_of_n", **{**RULES, **PLAIN, **settings, **changed})


def test_the_kept_answers_are_a_dataset_and_the_frontier_a_curve(small):
    said = small.run("kept", spec_of(small, epochs=0))
    assert ended_well(said)
    dataset, adapter = (e.event for e in said if isinstance(e.event, Produced))
    assert (dataset.what, adapter.what) == ("dataset", "adapter")
    records = open_dataset(small.root, f"dataset:{dataset.path.rpartition('/')[2]}").records()
    assert 0 < len(records) == dataset.facts["rows"] <= 8
    assert all(r.source.startswith("margin +") and r.completion.strip() for r in records)
    first, second = curve(said).values()
    assert first["objective/kl_sequence"] == second["objective/kl_sequence"] == 0.0  # nothing was learned
    assert first["groups/best"] > first["objective/score"] + 0.1
    assert first["groups/best_kl"] == pytest.approx(2.079442 - 7 / 8, abs=1e-6)
    drawn = [e.event for e in said if isinstance(e.event, Curve)]
    assert [c.step for c in drawn] == [1, 2] and drawn[0].columns["n"] == tuple(range(1, 9))
    assert drawn[0].columns["score"][0] == pytest.approx(first["objective/score"], abs=1e-6)
    assert drawn[0].columns["score"][-1] == pytest.approx(first["groups/best"], abs=1e-6)
    assert list(drawn[0].columns["score"]) == sorted(drawn[0].columns["score"])


def test_answers_that_do_not_stand_out_are_not_kept(small):
    said = small.run("standing-out", spec_of(small, updates=1, least_margin=100.0))
    assert ended_well(said)
    (only,) = curve(said).values()
    assert only["groups/kept"] == 0.0 and only["policy/grad_norm"] == 0.0
    assert [e.event.what for e in said if isinstance(e.event, Produced)] == ["adapter"]


def test_learning_the_best_raises_the_mean(small):
    settings = {"updates": 12, "epochs": 2, "learning_rate": 1e-2, "schedule": "constant", "warmup": 0.0}
    said = small.run("raft", spec_of(small, **settings))
    assert ended_well(said)
    steps = list(curve(said).values())
    assert steps[-1]["objective/score"] > steps[0]["objective/score"] + 0.1
