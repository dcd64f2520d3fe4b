"""Models side by side: what is measured, what it is measured from, and what is kept."""

from __future__ import annotations

import json

import pytest

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Curve, Produced
from rlhf_engine.tasks.evaluate.spec import EvaluateSpec
from tests.engine.small_project import ended_well
from tests.engine.tiny import tiny_model


def spec_of(small, **changed):
    settings = {"models": (small.model, "run:sft"), "dataset": small.prompts, "response_tokens": 8, "device": "cpu"}
    return EvaluateSpec(**{**settings, "limit": 6, **changed})


def facts_of(said):
    (made,) = [e.event for e in said if isinstance(e.event, Produced)]
    return made.facts["models"]


def test_the_reference_has_no_drift_from_itself_and_another_model_has(small):
    said = small.run("evaluated", spec_of(small, reference="run:sft", reward_model="run:rm", samples=4))
    assert ended_well(said)
    found = facts_of(said)
    assert found["run:sft"]["kl_sequence"] == 0.0 < found[small.model]["kl_sequence"]
    assert found["run:sft"]["answers"] == 4 * min(6, 5 + 1)
    (drawn,) = [e.event for e in said if isinstance(e.event, Curve)]
    assert drawn.columns["model"] == (2.0, 1.0) and drawn.columns["kl"] == (0.0, found[small.model]["kl_sequence"])
    rows = [json.loads(line) for line in (small.root / "runs/evaluated/answers.jsonl").read_text().splitlines()]
    mine = [row for row in rows if row["model"] == small.model]
    assert sum(row["score"] for row in mine) / len(mine) == pytest.approx(found[small.model]["score"])
    assert sum(row["drift"] for row in mine) / len(mine) == pytest.approx(found[small.model]["kl_sequence"])


def test_the_best_of_n_scores_higher_and_costs_its_bound(small):
    found = {}
    for n in (1, 4):
        said = small.run(f"best-{n}", spec_of(small, models=("run:sft",), reward_model="run:rm", best_of=n, samples=2))
        assert ended_well(said)
        found[n] = facts_of(said)["run:sft"]
    assert found[4]["score"] > found[1]["score"] and found[4]["answers"] == found[1]["answers"]
    assert found[4]["kl_sequence"] == pytest.approx(1.386294 - 3 / 4, abs=1e-6) and "kl_sequence" not in found[1]


def test_what_cannot_be_measured_is_said(small):
    with pytest.raises(SpecError, match="needs a reward model"):
        spec_of(small, best_of=4)
    with pytest.raises(SpecError, match="No model has been chosen"):
        spec_of(small, models=())
    end = small.run("no-judge", spec_of(small, reward_model="run:sft"))[-1].event
    assert end.outcome == "failed" and "is not a reward model" in end.message
    other = str(tiny_model(small.root / "other-words", seed=2, chat=False))
    (small.root / "other-words" / "tokenizer.json").write_text(
        (small.root / "other-words" / "tokenizer.json").read_text().replace('"<|user|>"', '"<|somebody|>"')
    )
    end = small.run("other-words", spec_of(small, models=(other,), reference="run:sft"))[-1].event
    assert end.outcome == "failed" and "have different tokenizers" in end.message and end.hint
