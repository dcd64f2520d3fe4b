"""Labels: nothing is changed or deleted, an acknowledged one survives a kill, and pages need no search."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf_engine.contract.errors import DataError, DiskFull, StoreError
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord, Rating
from rlhf_engine.store.journal import read_journal
from rlhf_engine.store.labels import Changed, Labels

ROOT = Path(__file__).parents[3]
TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


@pytest.fixture
def labels(tmp_path):
    opened = Labels(tmp_path / "labels.db")
    yield opened
    opened.close()


def pairs(labels, n):
    return [labels.add_pair(f"prompt {i}", f"a{i}", f"b{i}", {"model": "m", "step": i}) for i in range(n)]


def winners(labels):
    return [(row["prompt"], row["winner"]) for row in labels.standing_comparisons()]


def test_what_is_said_comes_back_as_records(labels):
    prompt, changed = labels.add_prompt(TURNS, author="ann")
    assert changed is Changed.PROMPTS
    shown, changed = labels.add_demonstration("Hi", "Yes?", author="ann")
    assert changed is Changed.DEMONSTRATIONS
    pair = labels.add_pair("Hi", "A", "B")
    said = labels.judge(pair, "b", 3, left="b", seconds=2.5, author="ann", comment="shorter")

    assert list(labels.records("prompts")) == [PromptRecord(TURNS, "human", prompt)]
    assert list(labels.records("demonstrations")) == [Demonstration("Hi", "Yes?", "human", shown)]
    assert list(labels.records("comparisons")) == [Comparison("Hi", "B", "A", 3, "human", said, "chosen", "ann")]
    row = labels.get("comparisons", said)
    assert (row["left_side"], row["seconds"], row["comment"], row["author"]) == ("b", 2.5, "shorter", "ann")


def test_a_prompt_that_is_there_already_is_not_added_again(labels):
    first, _ = labels.add_prompt("Who  owns it?")
    assert labels.add_prompt(" Who owns it? ") == (first, Changed(0))
    assert labels.add_many("prompts", [{"prompt": "Who owns it?"}, {"prompt": "New"}, {"prompt": "New "}])[0] == 1
    assert labels.count("prompts") == 2


def test_saying_the_same_thing_twice_under_one_id_changes_nothing(labels):
    pair = labels.add_pair("p", "a", "b", id="pair-1")
    for _ in range(2):
        labels.judge(pair, "a", id="said-1")
    assert labels.last_change == Changed(0)
    assert labels.count("comparisons") == 1


def test_the_next_pairs_are_those_nobody_has_judged(labels):
    ids = pairs(labels, 5)
    labels.judge(ids[0], "a")
    labels.judge(ids[2], "skip")
    assert [row["id"] for row in labels.next_pairs(10)] == [ids[1], ids[3], ids[4]]
    assert [row["id"] for row in labels.next_pairs(1, skip_ids=[ids[1]])] == [ids[3]]
    assert labels.progress() == (1, 5, 1)


def test_an_undo_is_a_later_row_and_leaves_the_pair_as_it_was_before(labels):
    ids = pairs(labels, 2)
    labels.judge(ids[0], "a", author="ann")
    labels.judge(ids[0], "b", author="ann")
    labels.judge(ids[1], "tie", author="bob")

    undone = labels.undo_last("ann")
    assert undone is not None and undone["winner"] == "b"
    assert winners(labels) == [("prompt 0", "a"), ("prompt 1", "tie")]
    assert labels.undo_last("ann")["winner"] == "a"
    assert labels.undo_last("ann") is None
    assert [row["id"] for row in labels.next_pairs(5)] == [ids[0]]
    assert labels._one("SELECT count(*) FROM comparisons") == 5  # three judgements and two undos: nothing is deleted


def test_a_tie_is_a_comparison_without_strength_and_skips_are_counted_but_not_trained_on(labels):
    for id, winner in zip(pairs(labels, 6), ("a", "b", "tie", "both_bad", "skip"), strict=False):
        labels.judge(id, winner)
    assert [(record.chosen, record.rejected, record.strength) for record in labels.records("comparisons")] == [
        ("a0", "b0", 2),
        ("b1", "a1", 2),
        ("a2", "b2", 0),
    ]
    assert labels.tally() == {"": 1, "a": 1, "b": 1, "tie": 1, "both_bad": 1, "skip": 1}
    assert labels.progress() == (4, 6, 1)


def test_an_edit_is_a_new_row_in_the_old_ones_place(labels):
    old, _ = labels.add_demonstration("Hi", "Yes")
    new = labels.edit("demonstrations", old, author="ann", completion="Yes!")

    assert [row["completion"] for row in labels.page("demonstrations")] == ["Yes!"]
    assert labels.get("demonstrations", old)["hidden"] == "replaced"
    assert labels.get("demonstrations", new)["replaces"] == old
    with pytest.raises(StoreError, match="to edit"):
        labels.edit("demonstrations", old, completion="No")
    with pytest.raises(DataError, match="'author_name' of the demonstrations cannot be edited"):
        labels.edit("demonstrations", new, author_name="x")


def test_editing_a_comparison_judges_again_and_editing_a_pair_asks_again(labels):
    (pair,) = pairs(labels, 1)
    said = labels.judge(pair, "a", 1)
    labels.edit("comparisons", said, winner="b")
    assert winners(labels) == [("prompt 0", "b")]

    labels.edit("pairs", pair, a="better")
    assert winners(labels) == []
    assert [row["a"] for row in labels.next_pairs(5)] == ["better"]


def test_ties_are_added_and_come_back_as_ties(labels):
    body = {"prompt": "p", "a": "x", "b": "y", "winner": "tie", "strength": 0}
    assert labels.add_many("comparisons", [Comparison("q", "x", "y", 0), body, {**body, "strength": 3}])[0] == 3
    assert [record.strength for record in labels.records("comparisons")] == [0, 0, 0]
    assert labels.tally()["tie"] == 3
    with pytest.raises(DataError, match="Record 1: The strength 0"):
        labels.add_many("comparisons", [{**body, "winner": "a"}])


def test_ratings_are_kept_paged_searched_and_come_back_as_records(labels):
    first, changed = labels.add_rating(TURNS, "Yes?", True, author="ann")
    assert changed is Changed.RATINGS
    added, changed = labels.add_many("ratings", [Rating("Hi", f"No {i}", i == 7, "rule") for i in range(12)])
    assert (added, changed) == (12, Changed.RATINGS)
    assert labels.add_rating("Hi", "x", False, id=first) == (first, Changed(0))  # said already

    records = list(labels.records("ratings"))
    assert records[0] == Rating(TURNS, "Yes?", True, "human", first)
    assert [record.liked for record in records] == [True, *[i == 7 for i in range(12)]]
    assert [row["completion"] for row in labels.page("ratings", offset=11, limit=5)] == ["No 10", "No 11"]
    assert labels.count("ratings", filter_text="no 1") == 3
    assert [row["completion"] for row in labels.page("ratings", sort="liked", descending=True, limit=2)] == [
        "No 7",
        "Yes?",
    ]
    told = [table for table, _ in filter(None, read_journal(labels.journal_path))]
    assert told == ["ratings"] * 13
    assert labels.check().healthy


def test_a_mind_that_is_changed_is_a_later_row(labels):
    first, _ = labels.add_rating("Hi", "Yes?", True)
    second = labels.edit("ratings", first, author="ann", liked=False)
    third, _ = labels.add_rating("Hi", "Yes!", True, replaces=second)
    assert [(row["id"], row["liked"]) for row in labels.page("ratings")] == [(third, 1)]
    assert [labels.get("ratings", id)["hidden"] for id in (first, second)] == ["replaced", "replaced"]
    assert labels.get("ratings", second)["completion"] == "Yes?"
    assert labels._one("SELECT count(*) FROM ratings") == 3


@pytest.mark.parametrize("kind", ["prompts", "demonstrations", "pairs", "comparisons", "ratings"])
def test_a_retired_record_is_left_out_until_it_is_restored(labels, kind):
    said = {
        "prompts": lambda i: labels.add_prompt(f"p{i}")[0],
        "demonstrations": lambda i: labels.add_demonstration(f"p{i}", "c")[0],
        "pairs": lambda i: labels.add_pair(f"p{i}", "a", "b"),
        "comparisons": lambda i: labels.judge(labels.add_pair(f"p{i}", "a", "b"), "a"),
        "ratings": lambda i: labels.add_rating(f"p{i}", "c", True)[0],
    }
    ids = [said[kind](i) for i in range(3)]
    labels.retire(kind, ids[1])
    assert [row["id"] for row in labels.page(kind)] == [ids[0], ids[2]]
    assert [row["id"] for row in labels.page(kind, include_retired=True)] == ids
    assert (labels.count(kind), labels.count(kind, include_retired=True)) == (2, 3)
    if kind != "pairs":
        assert len(list(labels.records(kind))) == 2
    labels.restore(kind, ids[1])
    assert [row["id"] for row in labels.page(kind)] == ids
    with pytest.raises(StoreError, match="no record"):
        labels.retire(kind, "nowhere")


def test_a_retired_judgement_stays_retired_when_a_later_one_is_undone(labels):
    (pair,) = pairs(labels, 1)
    labels.retire("comparisons", labels.judge(pair, "a"))
    labels.judge(pair, "b")
    labels.undo_last()
    assert winners(labels) == []


def test_a_flag_is_only_a_mark(labels):
    id, _ = labels.add_prompt("p")
    labels.flag("prompts", id)
    assert labels.page("prompts")[0]["flagged"] == 1
    labels.flag("prompts", id, on=False)
    assert labels.page("prompts")[0]["flagged"] == 0
    assert len(list(labels.records("prompts"))) == 1


def test_many_are_added_all_or_none_and_the_bad_one_is_numbered(labels):
    good = {"prompt": "p", "a": "x", "b": "y", "winner": "a", "strength": 1, "source": "rule"}
    for bad, said in [
        ({**good, "winner": "c"}, "Record 2: The winner 'c'"),
        ({**good, "b": "x"}, "Record 2: The answer B cannot be used: both answers are the same"),
        ({"prompt": "p", "a": "x", "b": "y"}, "Record 2 has no 'winner'"),
        ({**good, "strength": 9}, "Record 2: The strength 9"),
    ]:
        with pytest.raises(DataError, match=said):
            labels.add_many("comparisons", [good, bad])
    assert labels.count("pairs") == 0

    assert labels.add_many("comparisons", [good, Comparison("q", "x", "y")], source="import")[0] == 2
    assert [(record.prompt, record.source) for record in labels.records("comparisons")] == [
        ("p", "rule"),
        ("q", "import"),
    ]


@pytest.mark.parametrize(
    "say",
    [
        lambda labels: labels.add_prompt(" "),
        lambda labels: labels.add_prompt("a\ud800"),
        lambda labels: labels.add_prompt("p", source="\udfff"),
        lambda labels: labels.add_rating("p", " ", True),
        lambda labels: labels.add_rating("p", "a", 1),
        lambda labels: labels.add_many("ratings", [{"prompt": "p", "completion": "a"}]),
        lambda labels: labels.add_pair("p", "same", "same"),
        lambda labels: labels.add_pair("p", "a", "b", {"score": float("nan")}),
        lambda labels: labels.judge(labels.add_pair("p", "a", "b"), "c"),
        lambda labels: labels.judge(labels.add_pair("p", "a", "b"), "a", strength=True),
        lambda labels: labels.judge(labels.add_pair("p", "a", "b"), "a", seconds=float("inf")),
    ],
)
def test_what_cannot_be_kept_is_refused_in_a_sentence_and_the_next_label_is_kept(labels, say):
    with pytest.raises(DataError):
        say(labels)
    labels.add_prompt("good")
    assert labels.count("prompts") == 1
    assert not labels._db.conn.in_transaction


def test_a_judgement_of_no_pair_is_refused(labels):
    with pytest.raises(StoreError, match="no pair 'nowhere'"):
        labels.judge("nowhere", "a")


def test_models_are_remembered_once_and_forgotten(labels):
    assert labels.add_model("org/name") is Changed.MODELS
    assert labels.add_model("org/name") == Changed(0)
    assert [(model["ref"], model["title"]) for model in labels.models()] == [("org/name", "org/name")]
    assert labels.remove_model("org/name") is Changed.MODELS
    assert labels.models() == []
    labels.add_model("org/name", "Again")
    assert [model["title"] for model in labels.models()] == ["Again"]


def test_pages_can_be_searched_sorted_and_turned_round(labels):
    for i, id in enumerate(pairs(labels, 12)):
        labels.judge(id, "ab"[i % 2], 1 + i % 3, comment="50% sure" if i == 7 else "")
    assert [row["prompt"] for row in labels.page("comparisons", filter_text="ROMPT 1")] == [
        "prompt 1",
        "prompt 10",
        "prompt 11",
    ]
    assert [row["prompt"] for row in labels.page("comparisons", filter_text="0%")] == ["prompt 7"]
    assert labels.count("comparisons", filter_text="a1") == 3
    assert [row["strength"] for row in labels.page("comparisons", sort="strength", descending=True)][:5] == [
        3,
        3,
        3,
        3,
        2,
    ]
    assert [row["prompt"] for row in labels.page("comparisons", descending=True, limit=2)] == ["prompt 11", "prompt 10"]
    assert labels.page("comparisons", sort="prompt", limit=1)[0]["prompt"] == "prompt 0"
    assert labels.page("comparisons", offset=50) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 12),
    retired=st.sets(st.integers(0, 11)),
    offset=st.integers(0, 14),
    limit=st.integers(1, 5),
    down=st.booleans(),
)
def test_a_page_found_by_number_is_the_page_found_by_counting(tmp_path_factory, n, retired, offset, limit, down):
    labels = Labels(tmp_path_factory.mktemp("pages") / "labels.db")
    ids = [labels.add_prompt(f"p{i}")[0] for i in range(n)]
    for i in retired:
        if i < n:
            labels.retire("prompts", ids[i])
    left = [id for i, id in enumerate(ids) if i not in retired]
    left = left[::-1] if down else left
    page = labels.page("prompts", offset, limit, descending=down)
    labels.close()
    assert [row["id"] for row in page] == left[offset : offset + limit]


def test_readers_in_other_threads_see_what_was_said_and_cannot_write(labels):
    pairs(labels, 3)
    seen = []

    def look():
        reader = Labels(labels.path, write=False)
        seen.append(reader.count("pairs"))
        with pytest.raises(StoreError, match="reading only"):
            reader.add_prompt("p")
        reader.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [3]


def test_a_write_that_fails_leaves_no_half_label_and_no_open_transaction(labels, monkeypatch):
    pairs(labels, 1)

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("rlhf_engine.store.labels.await_verdict", full)
        with pytest.raises(DiskFull, match=r"no space left for .*labels\.db"):
            labels.add_pair("p", "a", "b")
    assert not labels._db.conn.in_transaction
    assert (labels.count("pairs"), sum(labels.tally().values())) == (1, 1)
    labels.add_pair("p", "a", "b")
    assert labels.count("pairs") == 2


def test_the_database_is_as_durable_as_it_gets(labels):
    assert labels._db.journal_mode == "wal"
    assert labels._one("PRAGMA synchronous") == 2  # FULL: fsync at every commit
    assert labels._one("PRAGMA trusted_schema") == 0


def test_every_label_is_in_the_journal_once_it_is_acknowledged(labels):
    (pair,) = pairs(labels, 1)
    labels.judge(pair, "a")
    told = [entry for entry in read_journal(labels.journal_path) if entry]
    assert [table for table, _ in told] == ["pairs", "comparisons"]
    assert told[1][1]["pair_id"] == pair


def test_a_database_with_a_trigger_or_of_a_newer_version_is_refused(tmp_path):
    Labels(tmp_path / "labels.db").close()
    connection = sqlite3.connect(tmp_path / "labels.db")
    connection.execute("PRAGMA user_version=99")
    connection.commit()
    with pytest.raises(StoreError, match="newer version"):
        Labels(tmp_path / "labels.db")
    connection.execute("CREATE TRIGGER evil AFTER INSERT ON prompts BEGIN DELETE FROM pairs; END")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="'evil'"):
        Labels(tmp_path / "labels.db")


def test_reading_what_is_not_there_says_so(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        Labels(tmp_path / "labels.db", write=False)


WRITER = """
import sys
from pathlib import Path
from rlhf_engine.store.labels import Labels
labels = Labels(Path(sys.argv[1]))
while True:
    pair = labels.add_pair("prompt", "a", "b")
    print(labels.judge(pair, "a"), flush=True)
"""


def test_no_acknowledged_label_is_lost_by_kill_9(tmp_path):
    acknowledged = []
    for round in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "labels.db")], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        acknowledged += [process.stdout.readline().strip() for _ in range(10 + 7 * round)]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.read().split("\n")[:-1]  # whole lines that were still in the pipe
        process.wait()
    labels = Labels(tmp_path / "labels.db")
    kept = {row["id"] for row in labels.standing_comparisons()}
    check = labels.check()
    labels.close()

    assert len(acknowledged) > 100
    assert set(acknowledged) <= kept
    assert check.healthy
    assert len(check.unjournaled) <= 5  # at most the one between commit and journal of each round


def test_a_thousand_labels_are_paged_and_judged_in_a_blink(labels):
    rows = [{"prompt": f"p{i}", "a": "x", "b": "y", "winner": "a"} for i in range(1000)]
    labels.add_many("comparisons", rows)
    pairs(labels, 20)
    start = time.perf_counter()
    labels.page("comparisons", offset=900, limit=100)
    labels.next_pairs(5)
    labels.progress()
    assert time.perf_counter() - start < 0.1


def test_no_question_the_window_asks_walks_through_a_whole_table(labels):
    asked = []
    rows = labels._rows

    def explain(sql, **values):
        asked.extend(step["detail"] for step in rows(f"EXPLAIN QUERY PLAN {sql}", **values))
        return rows(sql, **values)

    labels._rows = explain
    pairs(labels, 3)
    labels.page("comparisons", offset=2)
    labels.page("pairs", offset=2, descending=True)
    labels.add_many("ratings", [Rating("p", f"a{i}", True) for i in range(5)])
    labels.page("ratings", offset=2, descending=True)
    labels.count("ratings")
    labels.next_pairs(3)
    labels.progress()
    labels.count("comparisons")
    scans = [step for step in asked if step.startswith("SCAN")]
    assert set(scans) <= {"SCAN v USING INDEX verdicts_pending", "SCAN tallies"}


def test_a_line_that_a_crash_cut_short_is_cut_off_before_the_next(tmp_path):
    labels = Labels(tmp_path / "labels.db")
    labels.add_prompt("one")
    labels.close()
    with labels.journal_path.open("ab") as file:
        file.write(b'{"table": "prompts", "prom')
    labels = Labels(tmp_path / "labels.db")
    labels.add_prompt("two")
    labels.close()
    entries = list(read_journal(labels.journal_path))
    assert [entry and entry[1]["prompt"] for entry in entries] == ["one", "two"]
    assert labels.check().healthy and labels.check().torn_lines == 0
