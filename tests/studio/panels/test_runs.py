"""The list of runs, filtering it, opening one and comparing several, as a person sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton

from rlhf_engine.contract.events import Metrics, RunFinished, RunStarted
from rlhf_engine.store.runs import RunRow
from rlhf_engine.tasks import spec_to_json
from studio.frame.questions import Question
from studio.panels.runs import RunsPanel
from studio.panels.runs.compare import differences
from studio.panels.runs.rows import filtered, ordered, row_of
from studio.widgets import EmptyState, PlainLabel, PlainText
from tests.studio.panels.run_stage import PPO, PPO_STORY, REWARD, SFT, sample, store, told

OTHER_PPO = replace(PPO, kl_coef=0.2, learning_rate=3e-5)
SECOND = (
    RunStarted("ppo", 4),
    Metrics(1, {"objective/score": 0.9, "objective/kl_sequence": 3.0}),
    sample(1, "London!"),
    RunFinished("failed", "The GPU ran out of memory.", "Lower the micro-batch size."),
)


@pytest.fixture
def panel(session, qtbot):
    store(session, "s1", SFT, [RunStarted("sft", 2), Metrics(2, {"train/loss": 1.5}), RunFinished("completed")], "Base")
    store(session, "p1", PPO, PPO_STORY, "First PPO")
    store(session, "p2", OTHER_PPO, SECOND, "Second PPO")
    store(session, "p3", PPO, PPO_STORY[:8], "Cut short")  # its process died
    panel = RunsPanel(session)
    qtbot.addWidget(panel)
    panel.resize(1180, 780)
    panel.show()
    panel.on_shown()
    qtbot.waitUntil(lambda: panel.table.model.rowCount() == 4, timeout=5000)
    yield panel
    panel.view.close_run()
    panel.hide()


def cells(panel, key):
    model = panel.table.model
    column = [c.key for c in model.columns].index(key)
    return [model.data(model.index(row, column)) for row in range(model.rowCount())]


def choose(panel, *run_ids):
    panel.table.view.clearSelection()
    panel.table._choose(set(run_ids))


def test_runs_are_listed_newest_first_with_what_they_are(panel):
    assert cells(panel, "name") == ["Cut short", "Second PPO", "First PPO", "Base"]
    assert cells(panel, "state") == ["Interrupted", "Failed", "Completed", "Completed"]
    assert cells(panel, "method")[-1] == "SFT"
    assert cells(panel, "model")[-1] == "Starter model"
    assert cells(panel, "metrics")[2] == "Score 0.4  ·  Drift per answer 0.2"
    assert cells(panel, "metrics")[3] == "Training loss 1.5"


def test_an_empty_project_says_what_belongs_here(session, qtbot):
    asked = []
    session.panel_requested.connect(lambda where, _: asked.append(where))
    panel = RunsPanel(session)
    qtbot.addWidget(panel)
    panel.show()
    empty = panel.table._empty
    assert empty.isVisible()
    assert empty.sentence.text() == "Runs appear here once you have trained something"
    empty.primary.click()
    assert asked == ["train"]
    panel.hide()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["p3", "p2", "p1", "s1"]),
        ("method=ppo", ["p3", "p2", "p1"]),
        ("method=ppo score>0.3", ["p2", "p1"]),
        ("score>0.3 kl<1", ["p1"]),
        ("objective/score=0.9", ["p2"]),
        ("state=failed", ["p2"]),
        ("state!=completed", ["p3", "p2"]),
        ("method!=sft", ["p3", "p2", "p1"]),
        ("lr<5e-5", ["p2"]),
        ("kl_coef>=0.2", ["p2"]),
        ("loss<2", ["p1", "s1"]),  # train/loss of one, policy/loss and value/loss of another
        ("second", ["p2"]),
        ("model=starter name=first", ["p1"]),
        ("nothing=1", []),
        ("score>high", []),
    ],
)
def test_a_filter_compares_columns_settings_and_metrics(text, found):
    rows = [
        _row("p3", "ppo", PPO, "interrupted", {"objective/score": 0.2}, "Cut short"),
        _row("p2", "ppo", OTHER_PPO, "failed", {"objective/score": 0.9, "objective/kl_sequence": 3.0}, "Second PPO"),
        _row("p1", "ppo", PPO, "completed", {"objective/score": 0.4, "objective/kl_sequence": 0.2, "policy/loss": 0.1}),
        _row("s1", "sft", SFT, "completed", {"train/loss": 1.5}, "Base"),
    ]
    rows[2]["name"] = "First"
    assert [row["id"] for row in filtered(rows, text)] == found


def _row(run_id, task, spec, state, metrics, name="First"):
    run = RunRow(run_id, task, name, spec_to_json(spec), state, 0.0, 60.0, 4, 4, metrics)
    return row_of(run, {"starter": "Starter model"}, 100.0)


def test_columns_sort_by_what_they_mean():
    rows = [{"took": 100.0, "name": "b"}, {"took": 9.0, "name": "A"}]
    assert [row["took"] for row in ordered(rows, "took", False)] == [9.0, 100.0]
    assert [row["name"] for row in ordered(rows, "name", False)] == ["A", "b"]


def test_the_filter_box_filters(panel, qtbot):
    qtbot.keyClicks(panel.table.filter, "method=ppo score>0.3")
    qtbot.waitUntil(lambda: cells(panel, "name") == ["Second PPO", "First PPO"])
    assert panel.table.counted.text() == "2 found"


def test_a_run_is_opened_with_the_same_view_and_left_again(panel, session, qtbot):
    choose(panel, "p1")
    qtbot.keyClick(panel.table.view, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.view.header.pill.text() == "Completed", timeout=5000)
    assert panel.view.header.name.text() == "First PPO"
    assert session.run_id == "p1"
    panel.back.click()
    assert panel.table.isVisible()


def test_an_interrupted_run_says_where_and_can_be_resumed(panel, session, qtbot):
    choose(panel, "p3")
    panel.open_button.click()
    qtbot.waitUntil(lambda: panel.view._ending is not None, timeout=5000)
    texts = [label.text() for label in panel.view._ending.findChildren(PlainLabel)]
    assert "Interrupted at step 2 of 4" in texts
    panel.show_list()
    choose(panel, "p3")
    panel.resume_button.click()
    assert session.quiet.resumed == ["p3"]


def test_only_what_makes_sense_can_be_done(panel):
    choose(panel, "p1")
    assert (panel.open_button.isEnabled(), panel.compare_button.isEnabled(), panel.resume_button.isEnabled()) == (
        True,
        False,
        False,
    )
    choose(panel, "p1", "p2")
    assert (panel.open_button.isEnabled(), panel.compare_button.isEnabled()) == (False, True)
    assert panel.compare_button.text() == "Compare 2"


def test_clone_opens_train_with_the_settings(panel, session):
    asked = []
    session.panel_requested.connect(lambda where, hints: asked.append((where, hints)))
    choose(panel, "p2")
    panel.clone_button.click()
    assert asked == [("train", {"clone": "p2"})]


def test_a_run_is_renamed_through_the_engine(panel, session, monkeypatch):
    said = []
    monkeypatch.setattr(session.quiet, "rename", lambda *args: said.append(args))
    answer = lambda *_a, **_k: ("Better name ", True)  # noqa: E731
    monkeypatch.setattr("studio.panels.runs.panel.QInputDialog.getText", answer)
    choose(panel, "p1")
    panel._one(panel._rename)
    assert said == [("p1", "Better name", None)]


def test_deleting_asks_first(panel, session, monkeypatch):
    gone = []
    monkeypatch.setattr(session.quiet, "delete", gone.append)
    asked = []

    def answer(question):
        asked.append("\n".join(label.text() for label in question.findChildren(PlainLabel)))
        assert len(question.findChildren(QLabel)) == len(question.findChildren(PlainLabel))
        question.buttons["no" if len(asked) == 1 else "yes"].click()

    monkeypatch.setattr(Question, "exec", answer)
    choose(panel, "p1", "p2")
    panel._delete(panel._chosen())
    assert gone == []
    panel._delete(panel._chosen())
    assert sorted(gone) == ["p1", "p2"]
    assert "First PPO" in asked[0] and "cannot be undone" in asked[0]


def test_a_run_that_is_going_is_followed_in_the_list(panel, session, qtbot):
    from rlhf_engine.store.runs import RunsWriter

    writer = RunsWriter(session.root)
    try:
        writer.start("g1", spec_to_json(SFT), "sft", "Going")
        story = told(
            RunStarted("sft", 9), Metrics(1, {"train/loss": 3.0}), Metrics(2, {"train/loss": 2.0}), run_id="g1"
        )
        writer.append(*story[:2])
        for envelope in story[:2]:
            session._hear(envelope)
        qtbot.waitUntil(lambda: cells(panel, "state")[0] == "Running", timeout=5000)
        writer.append(story[2])
        qtbot.waitUntil(lambda: cells(panel, "metrics")[0] == "Training loss 2", timeout=5000)
        session._hear(told(RunFinished("completed"), run_id="g1", first=3)[0])
    finally:
        writer.close()


# --- side by side ----------------------------------------------------------------------------------------------------


@pytest.fixture
def compared(panel, qtbot):
    choose(panel, "p1", "p2")
    with qtbot.waitSignal(panel.comparing.shown, timeout=5000):
        panel.compare_button.click()
    panel.comparing.curves.finish()
    return panel.comparing


def test_curves_lie_over_each_other_in_colours_of_their_own(compared):
    series = compared.charts.series()
    assert series["p1", "objective/score"][1].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert series["p2", "objective/score"][1].tolist() == pytest.approx([0.9])
    colors = {compared.charts.color_of(run) for run in ("p1", "p2")}
    assert len(colors) == 2
    assert compared.charts.metrics()[0] == "objective/score"


def test_an_eye_hides_a_run(compared):
    compared.eyes["p2"].click()
    plot = compared.charts.plot("objective/score")
    assert not plot._curves["p2"].raw.isVisible()
    assert plot._curves["p1"].raw.isVisible()
    compared.eyes["p2"].click()
    assert plot._curves["p2"].raw.isVisible()


def test_only_settings_that_differ_are_listed(compared):
    rows = {row["label"]: (row["p1"], row["p2"]) for row in compared.settings._memory}
    assert rows == {"KL penalty": ("0.05", "0.2"), "Learning rate": ("1e-4", "3e-5")}


def test_runs_of_different_methods_differ_in_what_one_lacks():
    ppo = RunRow("a", "ppo", "", spec_to_json(PPO), "completed", 0.0)
    reward = RunRow("b", "reward", "", spec_to_json(REWARD), "completed", 0.0)
    rows = {row["label"]: (row["a"], row["b"]) for row in differences([ppo, reward], {"starter": "Starter model"})}
    assert rows["Clip range"] == ("0.2", "—")
    assert rows["Policy"] == ("Starter model", "—")
    assert rows["Model"] == ("—", "Starter model")
    assert "Seed" not in rows


def test_answers_to_the_same_prompt_stand_side_by_side(compared):
    assert compared.prompts.currentText() == "Capital of France?"
    compared.tabs.setCurrentIndex(2)
    texts = [view.text() for view in compared.findChildren(PlainText)]
    assert texts == ["London!", "Paris!"] or texts == ["Paris!", "London!"]
    about = [label.text() for label in compared.findChildren(PlainLabel)]
    assert "step 3, score +0.750" in about and "step 1, score +0.250" in about


def test_the_same_settings_are_said_to_be_the_same(panel, qtbot):
    with qtbot.waitSignal(panel.comparing.shown, timeout=5000):
        panel.receive({"compare": ["p1", "p3"]})
    assert panel.comparing.settings._memory == []
    sentences = [empty.sentence.text() for empty in panel.comparing.findChildren(EmptyState)]
    assert "These runs were started with the same settings." in sentences


def test_the_palette_offers_to_compare_the_last_two(panel, session):
    asked = []
    session.panel_requested.connect(lambda where, hints: asked.append((where, hints)))
    panel.commands()[1].do()
    assert asked == [("runs", {"compare": ["p3", "p2"]})]


def test_every_button_has_words_or_a_name(panel):
    assert all(made.text() or made.accessibleName() for made in panel.findChildren(QPushButton))
