"""A ranking is a judgement of every two answers, written and undone as one; answers of pairs are rated one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.records import unpack_prompt
from rlhf_engine.store.labels import Labels


@pytest.fixture
def labels(tmp_path: Path) -> Iterator[Labels]:
    made = Labels(tmp_path / "labels.db")
    yield made
    made.close()


def said(labels: Labels) -> set[tuple[str, str, str]]:
    """(winner's text, loser's text, verdict); of a tie in alphabetical order."""
    found = set()
    for row in labels.standing_comparisons():
        a, b = row["a"], row["b"]
        better, worse = (a, b) if row["winner"] == "a" else (b, a)
        tie = row["winner"] == "tie"
        found.add((*(sorted((a, b)) if tie else (better, worse)), "tie" if tie else "won"))
    return found


def test_a_ranking_says_all_pairs_and_an_undo_takes_all_of_them_back(labels: Labels) -> None:
    first = labels.add_pair("Q", "z", "x")  # there already, the other way round
    labels.add_pair("other", "m", "n")
    before = labels.add_pair("before", "m", "n")
    labels.judge(before, "a", author="me")
    # places: x and y tie for the first, z is last
    ranking = labels.rank("Q", ["x", "y", "z"], [1, 1, 2], {(2, 0): first}, [{"model": n} for n in "xyz"], 9.0, "me")
    assert said(labels) == {("x", "y", "tie"), ("x", "z", "won"), ("y", "z", "won"), ("m", "n", "won")}
    assert labels.count("pairs") == 5 and labels.waiting_of("Q", "") == []
    rows = [row for row in labels.page("comparisons") if row["prompt"] == "Q"]
    assert {json.loads(row["judgement_meta"])["ranking"] for row in rows} == {ranking}
    assert [row["left_side"] for row in rows if row["pair_id"] == first] == ["b"]  # x stood before z
    made = next(row for row in labels.page("pairs") if (row["a"], row["b"]) == ("y", "z"))
    assert json.loads(made["meta"]) == {"from": "ranking", "a": {"model": "y"}, "b": {"model": "z"}}
    assert labels.check().healthy
    labels.undo_last("you")
    assert len(said(labels)) == 4
    labels.undo_last("me")
    assert said(labels) == {("m", "n", "won")}
    labels.undo_last("me")
    assert said(labels) == set() and labels.undo_last("me") is None
    assert labels.check().healthy


def test_a_ranking_is_written_whole_or_not_at_all(labels: Labels) -> None:
    with pytest.raises(DataError, match="both answers are the same"):
        labels.rank("Q", ["x", "y", "y "], [1, 2, 3])
    with pytest.raises(DataError, match="at least two answers"):
        labels.rank("Q", ["x"], [1])
    assert labels.count("pairs") == labels.count("comparisons") == 0


def test_pairs_of_one_prompt_are_found_by_the_whole_of_it(labels: Labels) -> None:
    long = "the same beginning of forty characters and more, "
    turns: Any = [{"role": "user", "content": long + "1"}]
    ids = [labels.add_pair(prompt, "x", "y") for prompt in (long + "1", long + "2", long + "1", turns)]
    assert [row["id"] for row in labels.waiting_of(long + "1", "")] == [ids[0], ids[2]]
    told = labels.get("pairs", ids[3])
    assert told is not None and [row["id"] for row in labels.waiting_of(told["prompt"], told["turns"])] == [ids[3]]
    labels.judge(ids[0], "a")
    labels.retire("pairs", ids[2])
    assert labels.waiting_of(long + "1", "") == []


def test_answers_are_rated_once_and_come_back_when_a_rating_is_taken_back(labels: Labels) -> None:
    turns: Any = [{"role": "user", "content": "Hi"}]
    one, two = labels.add_pair(turns, "x", "y"), labels.add_pair("Q", "u", "v")
    gone = labels.add_pair("R", "s", "t")
    labels.retire("pairs", gone)
    pair = labels.answers_to_rate()[0]
    prompt = unpack_prompt(pair["prompt"], pair["turns"])
    labels.add_rating(prompt, "x", True, author="me", answer=f"{one}/a", meta={"score": 4, "seconds": 1.5})
    waiting = [(row["id"], row["rated_a"], row["rated_b"]) for row in labels.answers_to_rate()]
    assert waiting == [(one, 1, 0), (two, 0, 0)]
    labels.add_rating(prompt, "y", False, author="me", answer=f"{one}/b")
    assert [row["id"] for row in labels.answers_to_rate()] == [two]
    assert labels.answers_to_rate(after=labels.answers_to_rate()[0]["row"]) == []
    kept = labels.page("ratings")[0]
    assert kept["answer"] == f"{one}/a" and json.loads(kept["meta"]) == {"score": 4, "seconds": 1.5}
    assert labels.undo_last_rating("you") is None
    undone = labels.undo_last_rating("me")
    assert undone is not None and undone["completion"] == "y"
    assert [(row["id"], row["rated_b"]) for row in labels.answers_to_rate()] == [(one, 0), (two, 0)]
    assert [rating.completion for rating in labels.records("ratings")] == ["x"]
    assert labels.check().healthy
