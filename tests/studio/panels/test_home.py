"""Home leads to what comes next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.contract.events import Envelope, RunFinished, RunStarted
from rlhf_engine.data.records import Comparison
from rlhf_engine.store.runs import RunsWriter
from studio.panels import home
from studio.panels.home import HomePanel, amount, folder_sizes
from studio.widgets import PlainLabel


@pytest.fixture
def panel(session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> HomePanel:
    monkeypatch.setattr(home, "_machine_words", lambda: ("2 CPU cores", ""))
    made = HomePanel(session)
    qtbot.addWidget(made)
    made.on_shown()
    qtbot.waitUntil(lambda: made.hardware.text() == "2 CPU cores" and "free" in made.disk.text())
    return made


def words(panel: HomePanel) -> str:
    return "\n".join(label.text() for label in panel.go_on.findChildren(PlainLabel) if not label.isHidden())


def done(panel: HomePanel) -> list[bool]:
    return [row.done for row in panel._step_rows]


def test_a_new_project_begins_at_the_beginning(panel: HomePanel) -> None:
    assert done(panel) == [False] * 7
    assert "Next: Meet a model" in words(panel)


def test_steps_are_ticked_by_what_there_is(panel: HomePanel, session: Any) -> None:
    session.labels.add_prompt("hello")
    session.labels.add_demonstration("hello", "hi")
    rows = [Comparison(f"q{n}", "good", "bad") for n in range(20)]
    session.labels.add_many("comparisons", rows)
    panel.reload()
    assert done(panel) == [False, True, True, True, False, False, False]


def test_a_finished_run_ticks_its_step_and_one_that_lies_can_be_resumed(panel: HomePanel, session: Any) -> None:
    with RunsWriter(session.root) as writer:
        for run, task, outcome in (("a" * 12, "reward", "completed"), ("b" * 12, "ppo", "suspended")):
            writer.start(run, json.dumps({"task": task}), task, f"my {task}")
            writer.append(Envelope(run, 0, 1.0, RunStarted(task, 5)), Envelope(run, 1, 2.0, RunFinished(outcome)))
    panel.reload()
    assert done(panel) == [True, False, False, False, True, False, False]
    assert "my ppo" in words(panel) and "Suspended" in words(panel)


def test_asking_a_model_something_is_the_first_step(panel: HomePanel, session: Any, qtbot: Any) -> None:
    session.quiet.say("g" * 12, RunStarted("generate", 1))
    qtbot.waitUntil(lambda: bool(session.activity.going))
    session.quiet.say("g" * 12, RunFinished("completed"))
    qtbot.waitUntil(lambda: not session.activity.going)
    panel.reload()
    assert done(panel)[0]


def test_a_step_leads_to_its_panel(panel: HomePanel, session: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(session.panel_requested) as asked:
        panel._step_rows[4].link.click()
    assert asked.args == ["train", {"family": "Reward model"}]


def test_sizes_are_added_up(tmp_path: Path) -> None:
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "weights").write_bytes(b"0" * 3000)
    (tmp_path / "labels.db").write_bytes(b"0" * 500)
    sizes = folder_sizes(tmp_path)
    assert (sizes["runs"], sizes["datasets"], sizes["total"]) == (3000, 0, 3500)
    assert [amount(size) for size in (512, 3500, 5 * 2**20, 12 * 2**30)] == ["512 B", "3.42 KB", "5 MB", "12 GB"]
