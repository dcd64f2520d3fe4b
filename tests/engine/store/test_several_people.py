"""Several people judge one pair: whose verdict stands, what repeats and adjudications do, and who is asked what."""

from __future__ import annotations

import sqlite3

import pytest

from rlhf_engine.store.judgement_meta import unpack_meta
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.project import Project
from rlhf_engine.store.schema import STEPS, VOTES, standing_judgement


@pytest.fixture
def labels(tmp_path):
    opened = Labels(tmp_path / "labels.db")
    yield opened
    assert opened.check().healthy  # what stands is what the rows say, however it came to stand
    opened.close()


def say(labels, pair, *words, **more):
    """ "ann:a" judges as ann; returns the ids."""
    made = []
    for word in words:
        who, winner = word.split(":")
        made.append(labels.judge(pair, winner, author=who, seconds=3.0, **more))
    return made


def stands(labels, pair):
    return labels.pair_as_judged(pair)["winner"]


@pytest.mark.parametrize(
    ("words", "winner"),
    [
        (["ann:a", "ann:b"], "b"),  # one person: the last word
        (["ann:a", "ann:skip"], "skip"),
        (["ann:a", "bob:a"], "a"),
        (["ann:a", "bob:b"], "split"),
        (["ann:a", "bob:b", "cy:b"], "b"),
        (["ann:a", "bob:b", "cy:tie"], "split"),
        (["ann:a", "bob:skip"], "a"),  # a skip does not vote
        (["ann:skip", "bob:skip"], "skip"),
        (["ann:a", "bob:b", "ann:b"], "b"),  # ann changes her mind
        (["ann:a", "bob:a", "cy:b", "dee:b", "eve:tie"], "split"),
    ],
)
def test_the_votes_are_counted(labels, words, winner):
    pair = labels.add_pair("p", "x", "y")
    say(labels, pair, *words)
    assert stands(labels, pair) == winner
    assert labels.tally()[winner] == 1 and labels.tally()[""] == 0
    assert len(list(labels.records("comparisons"))) == (winner not in ("split", "skip"))
    assert labels.next_pairs(5) == []  # nobody is asked again without a reason


def test_the_latest_of_the_majority_stands_and_the_others_are_kept_out_of_sight(labels):
    pair = labels.add_pair("p", "x", "y")
    ann, bob, cy = say(labels, pair, "ann:b", "bob:a", "cy:b")
    assert [record.id for record in labels.records("comparisons")] == [cy]
    hidden = {who: labels.get("comparisons", id)["hidden"] for who, id in (("ann", ann), ("bob", bob), ("cy", cy))}
    assert hidden == {"ann": "seconded", "bob": "outvoted", "cy": ""}
    assert [row["author"] for row in labels.judgements()] == ["ann", "bob", "cy"]


def test_an_adjudicator_has_the_last_word_until_it_is_taken_back(labels):
    pair = labels.add_pair("p", "x", "y")
    say(labels, pair, "ann:a", "bob:b")
    (settled,) = say(labels, pair, "dee:tie", meta={"adjudicates": True})
    assert stands(labels, pair) == "tie"
    say(labels, pair, "cy:a")
    assert stands(labels, pair) == "tie"
    row = labels.get("comparisons", settled)
    assert row["hidden"] == "" and unpack_meta(row["judgement_meta"])["adjudicates"] is True
    labels.undo_last("dee")
    assert stands(labels, pair) == "a"  # ann and cy against bob
    labels.undo_last("cy")
    assert stands(labels, pair) == "split"


def test_whoever_edits_another_persons_verdict_overrules_it(labels):
    pair = labels.add_pair("p", "x", "y")
    (ann,) = say(labels, pair, "ann:a")
    labels.edit("comparisons", ann, author="bob", winner="b")
    assert stands(labels, pair) == "b"
    (own,) = say(labels, labels.add_pair("q", "x", "y"), "ann:a")
    again = labels.edit("comparisons", own, author="ann", winner="b")
    assert labels.get("comparisons", again)["judgement_meta"] == ""


def test_people_count_before_models_and_models_alone_as_before(labels):
    pair = labels.add_pair("p", "x", "y")
    labels.judge(pair, "a", source="model", author="judge")
    labels.judge(pair, "b", source="model", author="other")
    assert stands(labels, pair) == "b"
    say(labels, pair, "ann:tie")
    labels.judge(pair, "a", source="model", author="judge")
    assert stands(labels, pair) == "tie" and labels.judged_by_people()["tie"] == 1
    labels.undo_last("ann")
    assert stands(labels, pair) == "a"


def test_a_repeat_never_stands_and_can_be_taken_back(labels):
    pair = labels.add_pair("p", "x", "y")
    (first,) = say(labels, pair, "ann:a")
    (again,) = say(labels, pair, "ann:b", meta={"repeat_of": first})
    assert stands(labels, pair) == "a" and labels.get("comparisons", again)["hidden"] == "repeat"
    assert len(list(labels.judgements())) == 2
    assert labels.undo_last("ann")["id"] == again
    assert len(list(labels.judgements())) == 1 and stands(labels, pair) == "a"


def test_pairs_to_repeat_were_judged_once_and_long_enough_ago(labels):
    pairs = [labels.add_pair(f"p{i}", "x", "y") for i in range(8)]
    made = [say(labels, pair, f"ann:{winner}")[0] for pair, winner in zip(pairs, "abtb", strict=False) if winner != "t"]
    labels.judge(pairs[4], "skip", author="ann", seconds=3.0)
    labels.judge(pairs[5], "a", author="ann", seconds=0.0)  # not judged on this screen
    say(labels, pairs[6], "bob:a")
    assert [row["id"] for row in labels.repeatable("ann", 0)] == [pairs[3], pairs[1], pairs[0]]
    assert [row["id"] for row in labels.repeatable("ann", 3)] == [pairs[1], pairs[0]]  # the last three are too fresh
    found = labels.repeatable("ann", 4)[0]
    assert (found["id"], found["judged"], found["judged_left"]) == (pairs[0], made[0], "a")
    say(labels, pairs[0], "ann:a", meta={"repeat_of": made[0]})
    assert [row["id"] for row in labels.repeatable("ann", 0)] == [pairs[3], pairs[1]]
    labels.undo_last("ann")
    labels.retire("pairs", pairs[3])
    assert pairs[3] not in [row["id"] for row in labels.repeatable("ann", 0)]


def test_the_pairs_for_everyone_are_the_same_for_all_and_about_as_many_as_chosen(labels):
    rows = [{"prompt": f"p{i}", "a": "x", "b": "y"} for i in range(400)]
    labels.add_many("pairs", rows, source="model")
    everyone = [pair["id"] for pair in labels.next_pairs(500)]
    for id in everyone:
        say(labels, id, "ann:a")
    chosen = [row["id"] for row in labels.judged_by_others("bob", 0.1, limit=500)]
    assert 15 <= len(chosen) <= 70
    assert chosen == [row["id"] for row in labels.judged_by_others("cy", 0.1, limit=500)]
    assert set(chosen) <= {row["id"] for row in labels.judged_by_others("bob", 0.3, limit=500)}
    assert [row["id"] for row in labels.judged_by_others("bob", by="ann", limit=500)] == everyone
    assert labels.judged_by_others("bob", by="cy") == labels.judged_by_others("ann") == []
    assert labels.judged_by_others("bob", 0.0) == []
    say(labels, chosen[0], "bob:b")
    assert [row["id"] for row in labels.judged_by_others("bob", 0.1, limit=1, skip_ids=(chosen[1],))] == [chosen[2]]
    assert labels.annotators() == {"ann": 400, "bob": 1}


def test_a_project_in_which_the_last_word_stood_counts_the_votes_when_it_is_opened(tmp_path):
    with Project.create(tmp_path / "mine") as project:
        pair = project.labels.add_pair("p", "x", "y")
        alone = project.labels.add_pair("q", "x", "y")
        say(project.labels, alone, "ann:a", "ann:b")
        say(project.labels, pair, "ann:a", "bob:b")
    root = tmp_path / "mine"
    old = sqlite3.connect(root / "before.db")  # the same rows, before votes counted
    for step in STEPS[: VOTES - 1]:
        for statement in step:
            old.execute(statement)
    old.execute("ATTACH ? AS now", [str(root / "labels.db")])
    for (table,) in old.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
        columns = ", ".join(row[1] for row in old.execute(f"PRAGMA main.table_info({table})"))
        old.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table}")
    old.execute("UPDATE main.verdicts SET winner = 'b' WHERE pair = 1")
    old.execute("DELETE FROM main.standings WHERE hidden = 'split'")
    for tally in ("tallies", "people_tallies"):
        old.execute(f"UPDATE main.{tally} SET pairs = 0 WHERE winner = 'split'")
        old.execute(f"UPDATE main.{tally} SET pairs = 2 WHERE winner = 'b'")
    old.execute("INSERT INTO main.standings VALUES ('comparisons', 3, 'replaced', 0)")
    old.execute(f"PRAGMA main.user_version={VOTES - 1}")
    old.commit()
    old.close()
    for suffix in ("-wal", "-shm"):
        (root / f"labels.db{suffix}").unlink(missing_ok=True)
    (root / "before.db").replace(root / "labels.db")
    with Project.open(tmp_path / "mine") as project:
        assert (stands(project.labels, pair), stands(project.labels, alone)) == ("split", "b")
        assert project.check().healthy


def test_of_rows_without_the_newer_columns_the_last_word_stands():
    rows = [
        {"row": 1, "id": "1", "winner": "a", "undoes": "", "source": "human", "author": "ann"},
        {"row": 2, "id": "2", "winner": "b", "undoes": "", "source": "human", "author": "ann"},
    ]
    assert standing_judgement(rows) == (rows[1], {1: "replaced"})
