"""Looking through a queue: each view holds what it says, and none is found by walking through a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.contract.errors import DataError
from rlhf_engine.store.judging_pages import VIEWS
from rlhf_engine.store.labels import Labels
from tests.engine.store.test_project import as_version_1


@pytest.fixture
def labels(tmp_path: Path) -> Iterator[Labels]:
    made = Labels(tmp_path / "labels.db")
    yield made
    made.close()


def fill(labels: Labels) -> list[str]:
    """Eight pairs: 0 and 1 wait, 2 was skipped, 3 won by b, 4 tied, 5 judged by a rule, 6 flagged, 7 retired."""
    made = [labels.add_pair(f"Question {n}", f"good {n}", f"bad {n}") for n in range(8)]
    labels.judge(made[2], "skip", author="me")
    labels.judge(made[3], "b", 3, "b", author="me", comment="too 50%_long")
    labels.judge(made[4], "tie", author="you")
    labels.judge(made[5], "a", source="rule")
    labels.flag("pairs", made[6])
    labels.retire("pairs", made[7])
    return made


def prompts(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["prompt"].split()[1]) for row in rows]


def test_each_view_holds_what_it_says(labels: Labels) -> None:
    made = fill(labels)
    labels.keep_draft(made[1], {"note": "hm"}, "me")
    found = {view: prompts(labels.queue(view, author="me")) for view in VIEWS}
    assert found == {"waiting": [0, 1, 6], "drafts": [1], "judged": [5, 4, 3], "skipped": [2], "flagged": [6]}
    assert labels.queue_counts("me") == {view: len(rows) for view, rows in found.items()}
    assert labels.queue_counts("you")["drafts"] == 0
    with pytest.raises(DataError, match="no queue 'nowhere'"):
        labels.queue("nowhere")


def test_pages_searches_and_filters(labels: Labels) -> None:
    fill(labels)
    assert prompts(labels.queue("waiting", limit=1, offset=1)) == [1]
    assert prompts(labels.queue("judged", text="50%_l", author="me")) == [3]
    assert prompts(labels.queue("judged", text="GOOD 4")) == [4]
    assert prompts(labels.queue("judged", winner="b", author="me")) == [3]
    assert prompts(labels.queue("judged", source="rule")) == [5]
    assert labels.queue("judged", text="Question 9") == []


def test_what_others_said_is_told_nobody_who_has_not_judged(labels: Labels) -> None:
    made = fill(labels)

    def told(author: str) -> dict[int, Any]:
        rows = labels.queue("judged", author=author) + labels.queue("skipped", author=author)
        return {prompts([row])[0]: (row["winner"], row["source"], row["strength"], row["comment"]) for row in rows}

    nothing = (None, None, None, None)
    mine = {2: ("skip", "human", 2, ""), 3: ("b", "human", 3, "too 50%_long")}
    assert told("me") == {5: nothing, 4: nothing, **mine}
    assert told("cy") == dict.fromkeys((5, 4, 3, 2), nothing)
    assert labels.queue("judged", text="50%_l", author="cy") == []
    assert labels.queue("judged", winner="b", author="cy") == labels.queue("judged", winner="a", author="me") == []
    known = labels.pair_as_judged
    assert [known(made[3], who)["known"] for who in ("me", "cy", "")] == [1, 0, 0]  # type: ignore[index]
    labels.judge(made[3], "skip", author="cy")  # a skip says nothing of the answers
    assert told("cy")[3] == nothing
    labels.judge(made[3], "a", author="cy")
    labels.judge(made[3], "b", author="yan")
    assert told("cy")[3] == ("b", "human", 2, "") and told("me")[3] == ("b", "human", 2, "")
    assert prompts(labels.queue("judged", winner="b", author="cy")) == [3]
    labels.undo_last("cy")
    assert told("cy")[3] == nothing


def test_a_pair_comes_with_the_judgement_that_stands(labels: Labels) -> None:
    made = fill(labels)
    told = labels.pair_as_judged(made[3])
    assert told is not None
    assert (told["winner"], told["strength"], told["left_side"], told["comment"]) == ("b", 3, "b", "too 50%_long")
    assert told["judged_by"] == "human" and told["a"] == "good 3"
    waiting = labels.pair_as_judged(made[0])
    assert waiting is not None and (waiting["winner"], waiting["strength"]) == ("", None)
    assert labels.pair_as_judged(made[7]) is None and labels.pair_as_judged("nothing") is None


def test_drafts_are_written_over_forgotten_and_outlive_the_program(tmp_path: Path) -> None:
    labels = Labels(tmp_path / "labels.db")
    pair = labels.add_pair("Q", "x", "y")
    labels.keep_draft(pair, {"note": "so"}, "me")
    labels.keep_draft(pair, {"note": "so so", "edit": "Bé\u2028tter\r\n", "empty": ""}, "me")
    labels.keep_draft(pair, {"note": "mine"}, "you")
    labels.close()
    labels = Labels(tmp_path / "labels.db")
    assert labels.draft(pair, "me") == {"note": "so so", "edit": "Bé\u2028tter\r\n"}
    labels.keep_draft(pair, {"note": ""}, "me")
    assert labels.draft(pair, "me") == {} and labels.draft(pair, "you") == {"note": "mine"}
    assert labels.check().healthy  # drafts are no facts
    labels.close()


def test_no_view_walks_through_a_table(labels: Labels) -> None:
    fill(labels)
    asked: list[str] = []
    rows = labels._rows

    def explain(sql: str, **values: Any) -> list[dict[str, Any]]:
        asked.extend(step["detail"] for step in rows(f"EXPLAIN QUERY PLAN {sql}", **values))
        return rows(sql, **values)

    labels._rows = explain  # type: ignore[method-assign]
    for view in ("waiting", "judged", "skipped"):
        labels.queue(view)
    labels.next_pairs(3, no_person_yet=True)
    labels.judged_by_people()
    labels.queue_counts()
    labels.pair_as_judged("x")
    labels.answers_to_rate(3)
    assert not [step for step in asked if "TEMP B-TREE" in step]
    labels.waiting_of("Question 0", "")  # sorts the few that it finds
    scans = {step for step in asked if step.startswith("SCAN")}
    small = {"SCAN tallies", "SCAN people_tallies", "SCAN drafts"}
    indexed = {f"SCAN v USING INDEX verdicts_{name}" for name in ("pending", "skipped", "unheard")}
    assert {step for step in scans if "drafts" not in step} <= small | indexed


def test_a_project_from_before_learns_whose_judgements_stand(tmp_path: Path) -> None:
    labels = Labels(tmp_path / "labels.db")
    made = fill(labels)
    counted, asked = labels.judged_by_people(), labels.next_pairs(9, no_person_yet=True)
    labels.close()
    as_version_1(tmp_path)
    labels = Labels(tmp_path / "labels.db")
    assert labels.judged_by_people() == counted and counted["b"] == counted["tie"] == counted["skip"] == 1
    assert labels.next_pairs(9, no_person_yet=True) == asked and made[5] in [pair["id"] for pair in asked]
    assert labels.check().healthy
    labels.close()
