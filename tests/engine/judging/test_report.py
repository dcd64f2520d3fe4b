"""What annotators share and where they differ, from a project's labels to the lines in the terminal."""

from __future__ import annotations

import json

import pytest

from rlhf_engine.cli import main
from rlhf_engine.judging.report import fairness_of
from rlhf_engine.store.project import Project

SAID = [*["aa"] * 9, *["bb"] * 8, "ab", "ba", "tb"]  # ann's and bob's verdicts
NAMES = {"a": "a", "b": "b", "t": "tie"}


@pytest.fixture
def root(tmp_path):
    with Project.create(tmp_path / "mine") as project:
        labels = project.labels
        for number, (ann, bob) in enumerate(SAID):
            pair = labels.add_pair(f"question {number}", "x" * 10, "y" * 20)
            meta = {"session": "one", "attributes": {"honest": "a"}}
            labels.judge(pair, NAMES[ann], left="a", seconds=20.0, author="ann", meta=meta)
            labels.judge(pair, NAMES[bob], left="b", seconds=9.0, author="bob")
            labels.judge(pair, "a", source="model", author="judge", meta={"probability": 0.7})
        labels.judge(pair, "b", author="cy", meta={"adjudicates": True})
    return tmp_path / "mine"


def found_in(root):
    with Project.open(root, write=False) as project:
        return fairness_of(project.labels)


def test_what_two_people_say_is_compared(root):
    found = found_in(root)
    assert [(person.name, person.count) for person in found.people] == [("ann", 20), ("bob", 20), ("cy", 1)]
    assert found.together.annotators == {"ann": 20, "bob": 20}  # an adjudicator is not compared
    (two,) = found.together.twos
    assert (two.first, two.second) == ("ann", "bob")
    assert two.agreement.value == pytest.approx(17 / 20)
    # ann a10 b9 t1, bob a10 b10: p_e = (100 + 90) / 400
    assert two.kappa.value == pytest.approx((0.85 - 0.475) / 0.525)
    assert found.together.agreement.value == pytest.approx(17 / 20)
    assert found.together.fleiss_raters == 2 and found.together.fleiss.count == 20


def test_disputes_come_with_who_said_what_and_those_settled_come_last(root):
    disputes = found_in(root).together.disputes
    assert [(dispute.prompt, dispute.said, dispute.settled, dispute.settled_by) for dispute in disputes] == [
        ("question 18", {"ann": "b", "bob": "a"}, "", ""),
        ("question 17", {"ann": "a", "bob": "b"}, "", ""),
        ("question 19", {"ann": "tie", "bob": "b"}, "b", "cy"),
    ]


def test_a_judging_model_is_compared_with_peoples_majority(root):
    (judge,) = found_in(root).judges
    assert (judge.first, judge.second, judge.agreement.count) == ("judge", "people", 17)  # even votes are left out
    assert judge.agreement.value == pytest.approx(9 / 17)


def test_attributes_are_compared_with_the_overall_choice(root):
    (rubric,) = found_in(root).rubrics
    assert (rubric.name, rubric.count, rubric.with_overall) == ("honest", 20, (10, 19))
    assert rubric.agreement is None


def test_the_command_tells_it_and_as_json(root, capsys):
    assert main(["agreement", "--project", str(root)]) == 0
    told = capsys.readouterr().out
    assert "ann: 20 judgements" in told and "Krippendorff's alpha: 0." in told and "ann and bob: 85 %" in told
    assert "question 17: ann a, bob b" in told and "question 19" not in told and "judge against people: 53 %" in told
    assert main(["agreement", "--project", str(root), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["together"]["shared"] == 20 and len(body["together"]["disputes"]) == 3


def test_the_command_says_what_is_needed_where_there_is_too_little(tmp_path, capsys):
    with Project.create(tmp_path / "mine") as project:
        pair = project.labels.add_pair("p", "x", "y")
    assert main(["agreement", "--project", str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out.strip() == "Nobody has judged a pair in this project yet."
    with Project.open(tmp_path / "mine") as project:
        project.labels.judge(pair, "a", author="ann", seconds=2.0)
    main(["agreement", "--project", str(tmp_path / "mine")])
    told = capsys.readouterr().out
    assert "0 of the 10 judgements" in told and "One annotator" in told
