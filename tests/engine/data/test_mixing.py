"""Labels by people and by models: never together unless asked for, in the share asked for, and told apart."""

from __future__ import annotations

import pytest

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.mixing import comparisons_of, counts_for, mixed
from rlhf_engine.data.records import Comparison
from rlhf_engine.store.project import Project


@pytest.mark.parametrize(
    ("people", "ai", "share", "counts"),
    [
        (100, 50, 0.0, (100, 0)),
        (100, 50, 1.0, (0, 50)),
        (100, 50, 0.5, (50, 50)),
        (100, 50, 0.2, (100, 25)),
        (100, 50, 1 / 3, (100, 50)),
        (10, 90, 0.75, (10, 30)),
        (100, 0, 0.5, (0, 0)),
    ],
)
def test_the_larger_kind_gives_up_what_is_too_much(people, ai, share, counts):
    assert counts_for(people, ai, share) == counts


def test_which_labels_are_taken_does_not_go_by_their_order():
    people = [Comparison(f"q{n}", "x", "y", source="human") for n in range(20)]
    ai = [Comparison(f"r{n}", "x", "y", source="model") for n in range(5)]
    one, other = mixed(people, ai, 0.5), mixed(people[::-1], ai[::-1], 0.5)
    assert {r.prompt for r in one} == {r.prompt for r in other} and len(one) == 10
    assert [r.prompt for r in one if r.source == "human"] == [p.prompt for p in people if p in one]


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "p") as made:
        for n in range(12):
            pair = made.labels.add_pair(f"q{n}", "good", "bad", {})
            if n < 6:
                made.labels.judge(pair, "a", author="ann", seconds=1.0)
            if n >= 4:  # pairs 4 and 5 were judged by both
                made.labels.judge(pair, "b", author="m", source="model", meta={"model": "m", "template": "full 1"})
        yield made


def test_people_stand_alone_unless_models_are_asked_for(project):
    records, facts = comparisons_of(project.labels, 0.0)
    assert len(records) == 6 and {r.source for r in records} == {"human"}
    assert facts["labels"]["ai"] == 0


def test_a_share_is_kept_and_a_pair_is_in_once(project):
    records, facts = comparisons_of(project.labels, 0.5)
    assert len(records) == 12 and len({r.prompt for r in records}) == 12
    assert (facts["labels"]["people"], facts["labels"]["ai"]) == (6, 6)
    records, facts = comparisons_of(project.labels, 0.25)
    assert (facts["labels"]["people"], facts["labels"]["ai"]) == (6, 2)
    assert facts["labels"]["judges"] == {"m": 2} and facts["labels"]["templates"] == ["full 1"]


def test_all_labels_of_a_model_are_there_where_only_they_are_wanted(project):
    records, _ = comparisons_of(project.labels, 1.0)
    assert len(records) == 8 and all(r.chosen == "bad" and r.annotator == "m" for r in records)
    pair = project.labels.page("pairs")[11]["id"]
    project.labels.judge(pair, "a", author="m", source="model")
    assert sum(r.chosen == "good" for r in project.labels.ai_comparisons()) == 1  # the last word
    info = freeze(project.root, "comparisons", records, "ai", "labels", comparisons_of(project.labels, 1.0)[1])
    assert info.facts["labels"]["ai"] == 8


def test_a_share_of_nothing_is_said(tmp_path):
    with Project.create(tmp_path / "none") as made:
        made.labels.judge(made.labels.add_pair("q", "x", "y", {}), "a", author="ann")
        with pytest.raises(DataError, match="No model has judged"):
            comparisons_of(made.labels, 0.5)
