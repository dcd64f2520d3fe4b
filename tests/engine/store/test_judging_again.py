"""Pairs that a rule has judged can be asked again, and what people said is counted apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rlhf_engine.store.labels import Labels


@pytest.fixture
def labels(tmp_path: Path) -> Iterator[Labels]:
    made = Labels(tmp_path / "labels.db")
    yield made
    made.close()


def test_pairs_that_no_person_has_judged_come_with_what_was_said_of_them(labels: Labels) -> None:
    rows = [{"prompt": f"Q{n}", "a": "x", "b": "y", "winner": w, "strength": 1} for n, w in enumerate(("a", "tie"))]
    labels.add_many("comparisons", rows, source="rule")
    waiting = labels.add_pair("Q2", "x", "y")
    judged = labels.add_pair("Q3", "x", "y")
    labels.judge(judged, "b", author="me")
    assert [pair["id"] for pair in labels.next_pairs(10)] == [waiting]
    found = labels.next_pairs(10, no_person_yet=True)
    assert [(pair["prompt"], pair["said"], pair["said_source"]) for pair in found] == [
        ("Q0", "a", "rule"),
        ("Q1", "tie", "rule"),
        ("Q2", None, None),
    ]
    assert [pair["prompt"] for pair in labels.next_pairs(1, [found[0]["id"]], no_person_yet=True)] == ["Q1"]


def test_a_persons_verdict_takes_the_place_of_the_rules_and_an_undo_gives_it_back(labels: Labels) -> None:
    labels.add_many("comparisons", [{"prompt": "Q", "a": "x", "b": "y", "winner": "a"}], source="rule")
    (pair,) = labels.next_pairs(1, no_person_yet=True)
    assert labels.judged_by_people()[""] == 1
    labels.judge(pair["id"], "b", author="me")
    assert labels.next_pairs(1, no_person_yet=True) == []
    assert labels.judged_by_people()["b"] == 1 and labels.tally()["b"] == 1
    labels.undo_last("me")
    assert labels.next_pairs(1, no_person_yet=True)[0]["said"] == "a"
    assert labels.judged_by_people()[""] == 1 and labels.tally()["a"] == 1


def test_retired_pairs_are_not_asked_again(labels: Labels) -> None:
    labels.add_many("comparisons", [{"prompt": "Q", "a": "x", "b": "y", "winner": "a"}], source="rule")
    labels.retire("pairs", labels.next_pairs(1, no_person_yet=True)[0]["id"])
    assert labels.next_pairs(1, no_person_yet=True) == [] and labels.judged_by_people()[""] == 0
