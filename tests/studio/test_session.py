"""The session: what a panel asks of it, and what it says when something changes."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.contract.errors import ProjectLocked, StoreError
from rlhf_engine.contract.events import (
    Alert,
    Envelope,
    Metrics,
    Produced,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
)
from rlhf_engine.tasks.generate.spec import GenerateSpec
from rlhf_engine.tasks.sft.spec import SFTSpec
from studio.activity import Activity
from studio.background import Background
from studio.session import Session, sentence
from studio.settings import Settings

SFT = SFTSpec(model="starter", dataset="dataset:0")


def test_a_new_project_is_open_and_remembered(session: Session) -> None:
    assert session.project is not None and session.project.name == "Test project"
    assert session.settings.last_project == str(session.root)
    assert [choice.ref for choice in session.models()] == ["starter"]
    assert session.datasets() == []


def test_without_a_project_a_run_is_refused_in_a_sentence(empty_session: Session) -> None:
    with pytest.raises(StoreError, match="No project is open"):
        empty_session.submit(SFT)
    assert empty_session.models() == [] and empty_session.datasets() == []


def test_a_project_that_cannot_be_opened_leaves_the_open_one_open(session: Session, tmp_path: Path) -> None:
    root = session.root
    with pytest.raises(StoreError):
        session.open_project(tmp_path / "nowhere")
    assert session.root == root
    session.labels.add_prompt("still here")


def test_a_project_in_use_is_refused(session: Session, studio_home: Path) -> None:
    other = Session()
    try:
        with pytest.raises(ProjectLocked):
            other.open_project(session.root or Path())
    finally:
        other.close()


def test_what_the_engine_says_arrives_in_order(session: Any, qtbot: Any) -> None:
    heard: list[Envelope] = []
    session.received.connect(heard.append)
    run = session.submit(SFT, "first")
    session.quiet.say(run, RunStarted("sft", 10))
    session.quiet.say(run, Metrics(1, {"train/loss": 2.0}))
    qtbot.waitUntil(lambda: len(heard) == 2)
    assert [envelope.seq for envelope in heard] == [0, 1]
    assert session.activity.current().title == "first"
    assert session.activity.current().share == pytest.approx(0.1)


def test_a_dataset_that_was_made_is_announced(session: Any, qtbot: Any) -> None:
    run = session.submit(SFT)
    with qtbot.waitSignals([session.datasets_changed, session.runs_changed]):
        session.quiet.say(run, RunStarted("import_data", 0))
        session.quiet.say(run, Produced("dataset", "datasets/x"))


def test_labels_are_frozen_in_the_background(session: Session, qtbot: Any) -> None:
    for number in range(30):
        session.labels.add_demonstration(f"question {number}", f"answer {number}")
    got: list[str] = []
    session.freeze("demonstrations", "mine", got.append)
    qtbot.waitUntil(lambda: bool(got), timeout=20_000)
    (choice,) = session.datasets("demonstrations")
    assert got == [choice.ref] and choice.rows == 30 and choice.title == "mine"
    assert session.datasets("comparisons") == []


def test_freezing_nothing_tells_why(session: Session, qtbot: Any) -> None:
    failures: list[BaseException] = []
    session.freeze("comparisons", "", None, failures.append)
    qtbot.waitUntil(lambda: bool(failures), timeout=20_000)
    assert "comparisons" in sentence(failures[0])


def test_an_errand_without_a_listener_for_failure_tells_the_window(session: Session, qtbot: Any) -> None:
    def fails() -> None:
        raise StoreError("The disk is gone.", "Look for it.")

    with qtbot.waitSignal(session.failed) as told:
        session.in_background(fails)
    assert sentence(told.args[0]) == "The disk is gone. Look for it."


def test_a_forgotten_errand_says_nothing(session: Session, qtbot: Any) -> None:
    got: list[int] = []
    errand = session.in_background(lambda: 1, got.append)
    errand.forget()
    qtbot.wait(100)
    assert got == []


def test_a_feed_tells_the_past_and_then_goes_on_without_gaps_or_doubles(session: Any, qtbot: Any) -> None:
    from rlhf_engine.store.runs import RunsWriter

    run = "abcdefabcdef"
    past = [Envelope(run, 0, 1.0, RunStarted("sft", 5)), Envelope(run, 1, 2.0, Metrics(1, {"a": 1.0}))]
    with RunsWriter(session.root) as writer:
        writer.start(run, json.dumps({"task": "sft"}), "sft", "x")
        writer.append(*past)
        feed = session.run_feed(run, session)
        told: list[int] = []
        feed.event.connect(lambda envelope: told.append(envelope.seq))
        # live: one that the database holds already, and one beyond a gap
        session.quiet.say(run, Metrics(1, {"a": 1.0}), seq=1)
        session.quiet.say(run, Metrics(3, {"a": 3.0}), seq=3)
        with qtbot.waitSignal(feed.caught_up, timeout=10_000):
            pass
        assert told == [0, 1]
        writer.append(Envelope(run, 2, 3.0, Metrics(2, {"a": 2.0})))
    qtbot.waitUntil(lambda: told == [0, 1, 2, 3], timeout=10_000)
    session.quiet.say(run, RunFinished("completed"), seq=4)
    qtbot.waitUntil(lambda: told == [0, 1, 2, 3, 4])
    feed.stop()


def test_a_passing_run_is_fed_live_from_its_first_word(session: Any, qtbot: Any) -> None:
    run = session.submit(GenerateSpec(models=("starter",), prompts=("hi",)))
    feed = session.run_feed(run, session)
    told: list[int] = []
    feed.event.connect(lambda envelope: told.append(envelope.seq))
    session.quiet.say(run, RunStarted("generate", 1))
    session.quiet.say(run, RunFinished("completed"))
    qtbot.waitUntil(lambda: told == [0, 1])
    feed.stop()


def test_activity_tells_pace_pause_and_end() -> None:
    activity = Activity()
    ended: list[Any] = []
    activity.ended.connect(lambda run, end: ended.append((run, end.outcome)))

    def say(seq: int, event: Any, time: float) -> None:
        activity.hear(Envelope("r", seq, time, event))

    say(0, RunStarted("sft", 100), 0.0)
    say(1, Metrics(10, {}), 10.0)
    say(2, Metrics(12, {}), 14.0)
    going = activity.current()
    assert going is not None and going.kept
    assert going.eta == pytest.approx(2.0 * 88)  # two seconds a step, 88 to go
    say(3, RunPaused(), 15.0)
    assert going.paused and going.eta is None
    say(4, RunResumed(), 95.0)
    say(5, Metrics(13, {}), 99.0)  # the pause is not counted as a slow step
    assert going.eta == pytest.approx(2.0 * 87)
    say(6, Alert("warning", "x"), 99.0)
    say(7, RunFinished("completed"), 100.0)
    assert activity.current() is None and ended == [("r", "completed")]
    activity._soon.stop()


def test_a_passing_run_is_not_kept() -> None:
    activity = Activity()
    activity.hear(Envelope("g", 0, 0.0, RunStarted("generate", 1)))
    assert activity.kept() == [] and activity.current() is not None
    activity._soon.stop()


def test_the_engine_that_refuses_is_heard(session: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(session.failed) as told:
        session.quiet.on_state("refused", {"message": "There is no such run.", "hint": "", "run": "x"})
    assert sentence(told.args[0]) == "There is no such run."


def test_a_model_choice_is_told_once(session: Session, qtbot: Any) -> None:
    session.labels.add_model("/models/llama", "Llama")
    assert [(choice.ref, choice.title) for choice in session.models(("base",))][1] == ("/models/llama", "Llama")
    with qtbot.waitSignal(session.model_changed):
        session.select_model("/models/llama")
    with qtbot.assertNotEmitted(session.model_changed):
        session.select_model("/models/llama")


def test_closing_does_not_wait_for_an_errand_that_takes_long(studio_home: Path) -> None:
    background = Background()
    begun, release = threading.Event(), threading.Event()
    got: list[Any] = []

    def takes_long() -> None:
        begun.set()
        release.wait(30)

    background.run(takes_long, got.append)
    assert begun.wait(5)
    assert not background.close(wait=0.05)
    release.set()
    assert background.close() and got == []


def test_four_errands_go_at_once_and_more_wait_their_turn(session: Session, qtbot: Any) -> None:
    got: list[int] = []
    for number in range(40):
        session.in_background(lambda number=number: number, got.append)
    qtbot.waitUntil(lambda: sorted(got) == list(range(40)))
    assert len(session.background._threads) <= 4


def test_a_project_opens_even_where_the_settings_cannot_be_kept(
    empty_session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Settings, "save", full)
    said: list[tuple[str, str]] = []
    empty_session.toasted.connect(lambda level, text, *_: said.append((level, text)))
    empty_session.create_project(tmp_path / "project", "Mine")
    assert empty_session.project.name == "Mine" and empty_session.engine is not None
    assert [level for level, _ in said] == ["bad"] and "No space left" in said[0][1]
