"""A ranking is a judgement of every two answers, written and undone as one; answers of pairs are rated one by one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.contract.errors import DataError, DiskFull
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


# --- repeats ------------------------------------------------------------------------------------------------------


def test_a_ranking_that_is_repeated_never_stands_and_what_is_best_goes_with_its_answer(labels: Labels) -> None:
    best = {"honest": 1, "kind": 2}
    labels.rank("Q", ["x", "y", "z"], [1, 2, 3], seconds=9.0, author="me", comment="hm", best=best)
    before = said(labels)
    rows = labels.page("comparisons")
    assert [row["comment"] for row in rows] == ["hm"] * 3
    told = {(row["a"], row["b"]): json.loads(row["judgement_meta"])["attributes"] for row in rows}
    assert told == {
        ("x", "y"): {"honest": "b"},
        ("x", "z"): {"kind": "b"},
        ("y", "z"): {"honest": "a", "kind": "b"},
    }
    assert labels.repeatable_rankings("me", 4) == labels.repeatable_rankings("you", 0) == []
    (ranking,) = labels.repeatable_rankings("me", 0)
    order = ["z", "x", "y"]  # as it comes back
    places = {(order.index(row["a"]), order.index(row["b"])): row for row in ranking}
    known = {at: row["id"] for at, row in places.items()}
    repeats = {at: row["judged"] for at, row in places.items()}
    labels.rank("Q", order, [1, 2, 3], known, seconds=9.0, author="me", repeats=repeats)
    assert said(labels) == before and labels.count("pairs") == 3
    assert labels.repeatable_rankings("me", 0) == []
    labels.undo_last("me")
    assert said(labels) == before and labels.check().healthy


def test_a_rating_that_is_repeated_never_stands_whatever_is_said_of_it_later(labels: Labels) -> None:
    pair = labels.add_pair("Q", "x", "y")
    first, _ = labels.add_rating(
        "Q", "x", True, author="me", answer=f"{pair}/a", meta={"attributes": {"kind": "partly"}}
    )
    (row,) = labels.repeatable_ratings("me", 0)
    assert (row["id"], row["answer"], row["judged"]) == (pair, f"{pair}/a", first)
    assert labels.repeatable_ratings("me", 1) == labels.repeatable_ratings("you", 0) == []
    again, _ = labels.add_rating("Q", "x", False, author="me", answer=f"{pair}/a", meta={"repeat_of": first})
    liked = lambda: [one.liked for one in labels.records("ratings")]  # noqa: E731
    assert liked() == [True] and labels.repeatable_ratings("me", 0) == []
    assert [row["id"] for row in labels.answers_rated()] == [first, again]
    labels.restore("ratings", again)
    assert liked() == [True]
    labels.retire("ratings", again)
    assert [row["id"] for row in labels.answers_rated()] == [first]
    labels.restore("ratings", again)
    assert liked() == [True] and [row["id"] for row in labels.answers_rated()] == [first, again]
    assert labels.undo_last_rating("me")["id"] == again  # type: ignore[index]
    assert labels.undo_last_rating("me")["id"] == first and liked() == []  # type: ignore[index]
    assert labels.check().healthy
    with pytest.raises(DataError, match="not one of yes, partly, no"):
        labels.add_rating("Q", "x", True, meta={"attributes": {"kind": "a"}})


def test_an_edited_rating_keeps_what_was_said_beside_it(labels: Labels) -> None:
    meta = {"attributes": {"kind": "yes"}, "comment": "hm", "score": 5, "seconds": 3.0}
    id, _ = labels.add_rating("Q", "x", True, author="me", meta=meta)
    id = labels.edit("ratings", id, completion="x y")
    assert json.loads(labels.page("ratings")[0]["meta"]) == {"attributes": {"kind": "yes"}, "comment": "hm", "score": 5}
    labels.edit("ratings", id, liked=False)
    assert "score" not in json.loads(labels.page("ratings")[0]["meta"])


def test_another_thread_writes_while_this_one_waits_its_turn(labels: Labels) -> None:
    pair = labels.add_pair("Q", "x", "y")
    going = threading.Event()
    held = labels._journal.write

    def full(_facts: Any) -> None:
        going.set()
        time.sleep(0.2)
        raise DiskFull("The disk is full.")

    def judge() -> None:
        with pytest.raises(DiskFull):
            labels.judge(pair, "a", author="me")

    labels._journal.write = full  # type: ignore[method-assign]
    writer = threading.Thread(target=judge)
    writer.start()
    assert going.wait(5)
    assert labels.tally()["a"] == 0  # waited for: in the middle of the transaction it is 1, and then taken back
    writer.join()
    labels._journal.write = held  # type: ignore[method-assign]
    assert labels.check().healthy
