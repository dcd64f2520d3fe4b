"""runs.db: gapless stories, one writer, readers that never wait, and processes that die."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf_engine.contract.errors import DiskFull, ProjectLocked, StoreError
from rlhf_engine.contract.events import (
    Alert,
    CheckpointSaved,
    Curve,
    Envelope,
    Metrics,
    Produced,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Sample,
    Stage,
)
from rlhf_engine.store.locks import FileLock, holder
from rlhf_engine.store.runs import RunsReader, RunsWriter
from rlhf_engine.store.runs_schema import MIGRATIONS

RUN = "0123456789ab"


@pytest.fixture
def reader(tmp_path):
    reader = RunsReader(tmp_path)
    yield reader
    reader.close()


def say(writer: RunsWriter, *events, run: str = RUN, first: int = 0, at: float = 1000.0) -> None:
    for number, event in enumerate(events):
        writer.append(Envelope(run, first + number, at + number, event))


def test_before_anything_is_written_there_is_nothing_to_read(reader):
    assert reader.runs() == [] and list(reader.story(RUN)) == [] and reader.run(RUN) is None
    assert reader.next_seq(RUN) == 0 and reader.metrics(RUN) == {} and reader.at_work() is None


def test_a_story_comes_back_as_it_was_told(tmp_path, reader):
    story = (
        RunStarted("ppo", 8, hardware="CPU"),
        Stage("Loading", 1, 2),
        Metrics(1, {"loss": 0.25}),
        Sample(1, "Why?", "Because \u2028 of <b>", 0.5, tokens=("a", "b"), per_token={"kl": (0.1, 0.2)}),
        Alert("warning", "KL is high.", "Lower the rate.", 1),
        CheckpointSaved(1, "runs/x/checkpoints/1"),
        Produced("adapter", "runs/x/adapter", {"loss": 0.25}),
        RunFinished("completed"),
    )
    with RunsWriter(tmp_path) as writer:
        assert writer.start(RUN, '{"task": "ppo"}', "ppo", "mine") == 0
        say(writer, *story)
    assert [envelope.event for envelope in reader.story(RUN)] == list(story)
    assert [envelope.seq for envelope in reader.story(RUN, after=5)] == [6, 7]
    assert reader.samples(RUN) == [story[3]]
    assert reader.produced(RUN) == [story[6]]


def test_curves_that_a_resumed_run_took_back_are_gone(tmp_path, reader):
    curves = [Curve(step, "heldout/reliability", {"said": (0.5, 1.0), "agreed": (0.5, 0.1 * step)}) for step in (2, 4)]
    with RunsWriter(tmp_path) as writer:
        writer.start(RUN, "{}", "reward")
        say(writer, RunStarted("reward", 8), *curves)
        assert reader.curves(RUN) == curves
        say(writer, RunStarted("reward", 8, 3), first=3)
    assert reader.curves(RUN) == curves[:1]


def test_a_story_of_more_than_a_page_has_no_gaps(tmp_path, reader):
    with RunsWriter(tmp_path) as writer:
        writer.start(RUN, "{}", "sft")
        writer.append(*(Envelope(RUN, i, 0.0, Stage(str(i))) for i in range(1203)))
        assert [envelope.seq for envelope in reader.story(RUN)] == list(range(1203))


def test_the_row_follows_what_the_run_says(tmp_path, reader):
    with RunsWriter(tmp_path) as writer:
        writer.start(RUN, '{"task": "ppo"}', "ppo", "mine")
        say(writer, RunStarted("ppo", 8), Metrics(1, {"a": 1.0, "b": 2.0}), Metrics(2, {"a": 3.0}))
        row = reader.run(RUN)
        assert (row.state, row.step, row.total, row.metrics) == ("running", 2, 8, {"a": 3.0, "b": 2.0})
        assert row.alive and reader.going() == row and row.name == "mine" and row.spec_json == '{"task": "ppo"}'
        say(writer, RunPaused(), first=3)
        assert reader.run(RUN).state == "paused"
        say(writer, RunResumed(), first=4)
        assert reader.run(RUN).state == "running"
        say(writer, RunFinished("failed", "The GPU ran out of memory.", "Lower it."), first=5, at=2000.0)
    row = reader.run(RUN)
    assert (row.state, row.message, row.hint, row.ended) == (
        "failed",
        "The GPU ran out of memory.",
        "Lower it.",
        2000.0,
    )
    assert not row.alive and row.resumable and reader.going() is None


def test_runs_come_newest_first(tmp_path, reader):
    with RunsWriter(tmp_path) as writer:
        for name in ("aa", "bb", "cc"):
            writer.start(name, "{}", "sft")
    assert [row.id for row in reader.runs()] == ["cc", "bb", "aa"]


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.floats(), max_size=4))
def test_every_number_survives(tmp_path_factory, values):
    root = tmp_path_factory.mktemp("numbers")
    with RunsWriter(root) as writer:
        writer.start(RUN, "{}", "sft")
        say(writer, Metrics(1, values))
    reader = RunsReader(root)
    found = [reader.run(RUN).metrics, next(reader.story(RUN)).event.values]
    found.append({name: points[0][1] for name, points in reader.metrics(RUN).items()})
    reader.close()
    for metrics in found:
        assert metrics.keys() == values.keys()
        for name, value in values.items():
            assert metrics[name] == value or (math.isnan(metrics[name]) and math.isnan(value))


def test_a_resumed_run_counts_on_and_its_curve_forgets_the_steps_done_again(tmp_path, reader):
    with RunsWriter(tmp_path) as writer:
        writer.start(RUN, "{}", "ppo", "mine")
        say(writer, RunStarted("ppo", 4), *(Metrics(i, {"x": float(i)}) for i in (1, 2, 3)), RunFinished("cancelled"))
        assert writer.start(RUN, "{}", "ppo") == 5
        say(writer, RunStarted("ppo", 4, from_step=2), Metrics(3, {"x": 33.0}), first=5)
        assert reader.metrics(RUN) == {"x": [(1, 1.0), (2, 2.0), (3, 33.0)]}
        assert [envelope.seq for envelope in reader.story(RUN)] == list(range(7))  # nothing is deleted
        row = reader.run(RUN)
        assert (row.state, row.name, row.ended) == ("running", "mine", None)


def test_there_is_one_writer_at_a_time_and_the_refusal_names_it(tmp_path, reader):
    with RunsWriter(tmp_path):
        assert reader.at_work().pid == os.getpid()
        with pytest.raises(ProjectLocked, match=f"A run is going on in this project, in process {os.getpid()} on "):
            RunsWriter(tmp_path, patience=0.0)
    assert reader.at_work() is None
    RunsWriter(tmp_path, patience=0.0).close()


def test_looking_who_holds_a_lock_does_not_stand_in_the_way_of_taking_it(tmp_path):
    looking = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib; from rlhf_engine.store.locks import holder\n"
            "print('on', flush=True)\nwhile True: holder(pathlib.Path(sys.argv[1]))",
            str(tmp_path / "lock"),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        looking.stdout.readline()
        for _ in range(200):
            FileLock(tmp_path / "lock", "held by {holder}").release()
    finally:
        looking.kill()
        looking.wait()
        looking.stdout.close()


def write_until_killed(root: Path, said) -> None:
    writer = RunsWriter(root)
    writer.start(RUN, "{}", "ppo")
    writer.append(Envelope(RUN, 0, 0.0, RunStarted("ppo", 1000)))
    for step in range(1, 100_000):
        writer.append(Envelope(RUN, step, 0.0, Metrics(step, {"x": float(step)})))
        said.send(step)


def test_kill_9_loses_nothing_that_was_appended_and_the_next_writer_tells_the_end(tmp_path, reader):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=write_until_killed, args=(tmp_path, theirs))
    process.start()
    theirs.close()
    while ours.recv() < 50:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    said = 50
    try:
        while True:
            said = ours.recv()
    except EOFError:
        ours.close()

    row = reader.run(RUN)
    assert row.state == "interrupted" and row.resumable and "ended before" in row.message
    seqs = [envelope.seq for envelope in reader.story(RUN)]
    assert seqs == list(range(len(seqs))) and len(seqs) > said
    with RunsWriter(tmp_path) as writer:  # the system has let go of the lock
        last = list(reader.story(RUN))[-1]
        assert isinstance(last.event, RunFinished) and last.seq == len(seqs)
        assert reader.run(RUN).state == "interrupted"
        assert writer.start(RUN, "{}", "ppo") == len(seqs) + 1


def test_what_could_not_be_written_is_written_with_the_next_event(tmp_path, reader, monkeypatch):
    with RunsWriter(tmp_path) as writer:
        writer.start(RUN, "{}", "ppo")
        say(writer, RunStarted("ppo", 2))
        whole = writer._write

        def full(envelopes):
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(writer, "_write", full)
        with pytest.raises(DiskFull, match=r"runs\.db"):
            say(writer, Metrics(1, {"x": 1.0}), first=1)
        monkeypatch.setattr(writer, "_write", whole)
        say(writer, RunFinished("failed", "The disk is full."), first=2)
    assert [envelope.seq for envelope in reader.story(RUN)] == [0, 1, 2]


def test_a_failed_append_leaves_no_transaction_open(tmp_path, reader):
    with RunsWriter(tmp_path) as writer:
        writer.start(RUN, "{}", "ppo")
        say(writer, RunStarted("ppo", 2))
        with pytest.raises(StoreError):
            say(writer, Metrics(1, {"x": 1.0}), first=0)  # number 0 is taken
        assert not writer._db.conn.in_transaction


def test_reading_goes_on_while_a_writer_is_in_the_middle_of_writing(tmp_path, reader):
    with RunsWriter(tmp_path) as writer:
        writer.start(RUN, "{}", "ppo")
        say(writer, RunStarted("ppo", 2))
        with writer._db.atomic():
            writer._db.table("runs").update(RUN, {"step": 77})
            began = time.monotonic()
            assert reader.run(RUN).step == 0
            assert time.monotonic() - began < 1


def test_a_database_of_a_newer_version_is_refused_in_a_sentence(tmp_path, reader):
    RunsWriter(tmp_path).close()
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute(f"pragma user_version={len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        RunsWriter(tmp_path)
    with pytest.raises(StoreError, match="newer version"):
        reader.runs()
    assert holder(tmp_path / "runs.lock") is None


def test_a_damaged_database_is_told_in_a_sentence(tmp_path, reader):
    (tmp_path / "runs.db").write_bytes(b"this is no database " * 100)
    with pytest.raises(StoreError, match="not a database"):
        reader.runs()
    with pytest.raises(StoreError, match="not a database"):
        RunsWriter(tmp_path)


def test_a_database_that_acts_by_itself_is_refused(tmp_path, reader):
    RunsWriter(tmp_path).close()
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("create trigger sly after insert on runs begin delete from events; end")
    connection.close()
    with pytest.raises(StoreError, match="'sly'"):
        reader.runs()
    with pytest.raises(StoreError, match="'sly'"):
        RunsWriter(tmp_path)


def test_names_notes_and_deletion(tmp_path, reader):
    with RunsWriter(tmp_path) as writer:
        writer.start(RUN, "{}", "ppo", "old")
        say(writer, RunStarted("ppo", 2), RunFinished("completed"))
        writer.rename(RUN, name="new")
        writer.rename(RUN, note="keep this one")
        assert (reader.run(RUN).name, reader.run(RUN).note) == ("new", "keep this one")
        with pytest.raises(StoreError, match="no run"):
            writer.rename("nobody", name="x")
        writer.delete(RUN)
    assert reader.runs() == [] and list(reader.story(RUN)) == []


def test_every_migration_leads_to_the_version_it_is_numbered_by(tmp_path):
    RunsWriter(tmp_path).close()
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        assert connection.execute("pragma user_version").fetchone()[0] == len(MIGRATIONS) == 1
        assert connection.execute("pragma journal_mode").fetchone()[0] == "wal"
    connection.close()


def test_the_lock_says_who_holds_it(tmp_path):
    lock = FileLock(tmp_path / "lock", "held by {holder}")
    assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert holder(tmp_path / "lock").here
    lock.release()
    assert holder(tmp_path / "lock") is None
    lock.release()  # twice is no fault
