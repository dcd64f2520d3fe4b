"""Runs outlive what happens to the window, and the window what happens to the worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rlhf_engine.contract.events import Metrics, RunStarted
from rlhf_engine.store.runs import RunsReader
from tests.end_to_end.person import LONG, Person

SFT = {"batch_size": "32", "micro_batch_size": "32", "learning_rate": "3e-3", "checkpoint_every": "5"}


def begin(person: Person, epochs: str, steps: int) -> Any:
    """Start SFT by its form, and watch until it has gone some steps."""
    panel = person.go("train")
    person.choose_method(panel.setup, "sft")
    for name, text in {**SFT, "epochs": epochs}.items():
        person.set_number(panel.setup.form, name, text)
    person.wait(panel.setup.start_button.isEnabled)
    person.click(panel.setup.start_button)
    person.wait(lambda: panel.watching and panel.view.story.step >= steps, "it trains")
    return panel.view


def stored(project: Path, run_id: str) -> tuple[str, list[int], list[int]]:
    """State, the steps whose loss is stored, and the steps from which it was begun."""
    reader = RunsReader(project)
    try:
        row = reader.run(run_id)
        events = [envelope.event for envelope in reader.story(run_id)]
        steps = [event.step for event in events if isinstance(event, Metrics) and "train/loss" in event.values]
        begun = [event.from_step for event in events if isinstance(event, RunStarted)]
        return (row.state if row else ""), steps, begun
    finally:
        reader.close()


@pytest.mark.timeout(900)
def test_a_run_that_is_left_goes_on_without_the_window_and_is_there_when_it_opens_again(
    open_window: Callable[..., Person], project: Path
) -> None:
    person = open_window(project)
    view = begin(person, epochs="1.5", steps=2)  # long enough to be still going when the window is back
    run_id, worker = view.run_id, person.worker
    asked = person.when_asked("")
    person.close()
    assert asked == ["A run is going"] and person.window.isVisible()
    asked = person.when_asked("leave")
    person.close()
    assert asked == ["A run is going"] and not person.window.isVisible()
    assert psutil.pid_exists(worker)

    again = open_window()
    panel = again.go("train")
    again.wait(again.session.activity.kept, "the run is found again")
    if not panel.watching:
        again.click(panel.watch)
    again.wait(lambda: panel.view.run_id == run_id and panel.view.story.going, "it is watched again")
    assert psutil.pid_exists(worker)
    again.wait(lambda: panel.view.story.ended, "it ends", 3 * LONG)
    assert panel.view.story.state == "completed"
    shown, _ = panel.view.charts.series()["", "train/loss"]
    state, steps, begun = stored(project, run_id)
    assert state == "completed" and steps == list(range(1, steps[-1] + 1)) == [int(step) for step in shown]
    assert set(begun) == {0}
    again.wait(lambda: not psutil.pid_exists(worker), "the worker of the first window ends by itself")
    again.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
@pytest.mark.timeout(900)
def test_a_killed_worker_leaves_the_window_alive_with_a_run_that_can_be_resumed(
    open_window: Callable[..., Person], project: Path
) -> None:
    person = open_window(project)
    view = begin(person, epochs="0.6", steps=6)  # past the first checkpoint
    run_id, worker = view.run_id, person.worker
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    person.wait(lambda: view.story.ended, "the window notices")
    person.wait(lambda: view._ending is not None and view._ending.isVisible())
    assert view.story.state == "interrupted"
    assert "SIGKILL" in view.story.end.message
    began = time.monotonic()
    panel = person.go("data")
    assert panel.isVisible() and time.monotonic() - began < 10  # it lives
    person.go("train")
    person.click(person.button("Resume", view))
    person.wait(lambda: view.story.going, "it goes on")
    person.wait(lambda: view.story.ended, "it ends")
    assert view.story.state == "completed"
    state, steps, begun = stored(project, run_id)
    assert state == "completed" and max(begun) >= 5
    assert sorted(set(steps)) == list(range(1, max(steps) + 1))
    shown, _ = view.charts.series()["", "train/loss"]
    assert [int(step) for step in shown] == sorted(set(steps))
    assert person.worker != worker
    person.close()
