"""A reward model's model.json says whose labels it learned from."""

from __future__ import annotations

import json

from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.mixing import provenance
from rlhf_engine.data.records import Comparison
from tests.engine.small_project import ended_well


def test_the_result_says_how_many_labels_were_by_models(small):
    rows = [
        Comparison(f"Who is {n}?", f"It is {n}.", f"No {n}", source="model" if n % 4 == 0 else "human", annotator="m")
        for n in range(40)
    ]
    told = provenance(rows, 0.25)
    ref = freeze(small.root, "comparisons", rows, "mixed", "labels", told).ref
    spec = small.reward(dataset=ref, epochs=0.2, normalise_on=0, evaluate_every=0, sample_every=0)
    assert ended_well(small.run("mixed", spec))
    about = json.loads((small.root / "runs/mixed/adapter/model.json").read_text())
    assert about["labels"] == told["labels"] == {"people": 30, "ai": 10, "ai_share_wanted": 0.25, "judges": {"m": 10}}
