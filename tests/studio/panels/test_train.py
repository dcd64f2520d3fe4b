"""Choosing, checking and starting a run, as a person meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPushButton

from rlhf_engine.contract.changes import defaults
from rlhf_engine.contract.events import Metrics, RunFinished, RunStarted
from rlhf_engine.data.datasets import freeze, open_dataset
from rlhf_engine.data.records import Comparison, Demonstration
from rlhf_engine.tasks import presets_of, spec_from_json
from rlhf_engine.tasks.ppo.spec import PPOSpec
from studio.panels.train import TrainPanel
from studio.panels.train.forecast import (
    Size,
    pace,
    size_as,
    steps,
    trained_sentence,
)
from studio.panels.train.methods import METHODS
from studio.session import Session
from studio.settings import Settings
from studio.widgets import PlainLabel
from tests.studio.panels.run_stage import PPO, PPO_STORY, SFT, store, told


@pytest.fixture
def panel(session, qtbot):
    rows = [{"prompt": f"Question {i}?", "completion": f"Answer {i}."} for i in range(40)]
    session.labels.add_many("demonstrations", rows, source="human", author="me")
    panel = TrainPanel(session)
    qtbot.addWidget(panel)
    panel.resize(1180, 780)
    panel.show()
    panel.on_shown()
    panel.setup.redraw()
    yield panel
    panel.view.close_run()


def side(panel):
    lines = panel.setup._lines
    widgets = [lines.itemAt(i).widget() for i in range(lines.count())]
    return [w.text() for w in widgets if isinstance(w, PlainLabel | QPushButton)]


def test_the_labels_of_the_project_can_be_trained_on_at_once(panel):
    assert panel.setup.start_button.isEnabled()
    assert panel.setup.form.editor("dataset").combo.currentText() == "This project's demonstrations (40)"
    # 36 to train on in the starter preset's batches of 32 are one whole batch, three times over
    assert side(panel)[0] == "≈ 3 steps: 36 examples, 3 times over; 4 held out for measuring."
    assert "First run of this kind on this model: its speed is not known yet." in side(panel)
    panel.setup.form.set_value("epochs", 1.0)
    panel.setup.redraw()
    assert "36 examples, once; 4 held out" in side(panel)[0]


def test_start_freezes_the_labels_and_shows_the_run(panel, session, qtbot):
    panel.setup.name.setText("My first")
    panel.setup.start_button.click()
    qtbot.waitUntil(lambda: bool(session.quiet.submitted), timeout=5000)
    run_id, spec, name = session.quiet.submitted[0]
    assert name == "My first"
    assert spec.dataset.startswith("dataset:")
    assert open_dataset(session.root, spec.dataset).info.rows == 40
    assert panel.watching and panel.view.run_id == run_id
    assert panel.view.header.name.text() == "My first"
    assert panel.view.header.pill.text() == "Waiting"
    panel.to_form.click()
    assert not panel.watching


def test_ctrl_enter_starts(panel, session, qtbot):
    qtbot.keyClick(panel, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: bool(session.quiet.submitted), timeout=5000)
    assert session.quiet.submitted[0][2] == "SFT 1"


def test_without_data_it_says_what_is_missing_and_where_to_get_it(panel, session):
    asked = []
    session.panel_requested.connect(lambda where, hints: asked.append((where, hints)))
    panel.setup.choose("reward")
    assert not panel.setup.start_button.isEnabled()
    assert "Comparisons: nothing has been chosen." in side(panel)
    next(b for b in panel.setup.findChildren(QPushButton) if b.text() == "Add comparisons in Data").click()
    assert asked == [("data", {"kind": "comparisons"})]


def test_ppo_without_a_reward_model_leads_to_training_one(panel):
    panel.setup.choose("ppo")
    panel.setup.form.set_values({"policy": "starter", "dataset": "prompts.jsonl"})
    panel.setup.redraw()
    assert "No reward has been chosen." in side(panel)
    next(b for b in panel.setup.findChildren(QPushButton) if b.text() == "Train a reward model").click()
    assert panel.setup.task == "reward"


def test_settings_that_contradict_each_other_block_the_start(panel, session, qtbot):
    session.labels.add_many("prompts", [{"prompt": "Why?"}], source="human", author="me")
    (session.root / "runs" / "r1" / "adapter").mkdir(parents=True)
    store(session, "r1", SFT, [RunStarted("sft", 1), RunFinished("completed")])
    panel.setup.choose("ppo")
    panel.setup.form.set_values({"reward_model": "run:r1", "dataset": "prompts.jsonl", "minibatch_size": 7})
    panel.setup.redraw()
    assert not panel.setup.start_button.isEnabled()
    assert "64 answers per update do not divide into minibatches of 7." in side(panel)
    panel.setup.form.set_value("minibatch_size", 16)
    qtbot.waitUntil(panel.setup.start_button.isEnabled)


def test_a_preset_sets_what_it_says_and_tells_when_something_else_was_changed(panel, qtbot):
    panel.setup.choose("ppo")
    for preset in presets_of("ppo"):
        panel.setup.bar.presets.setCurrentIndex(panel.setup.bar.presets.findData(preset.key))
        panel.setup.bar.use()
        values = panel.setup.form.values()
        assert {name: values[name] for name in preset.values} == preset.values
        assert preset.summary in panel.setup.bar.about.text()
        assert "Changed since" not in panel.setup.bar.about.text()
    panel.setup.form.set_value("updates", 33)
    qtbot.waitUntil(lambda: "Changed since: Updates 100 → 33" in panel.setup.bar.about.text())


def test_a_preset_says_what_it_changes_before_and_after_it_is_used(panel, session):
    panel.setup.choose("sft")
    bar = panel.setup.bar
    at = bar.presets.findData("gentle")
    before = bar.presets.itemData(at, Qt.ItemDataRole.ToolTipRole)
    assert "Epochs 3 → 2" in before and "Schedule linear → cosine" in before and "Learning rate 2e-4 → 5e-5" in before
    bar.presets.setCurrentIndex(at)
    bar.use()
    assert not bar.about.sets.isHidden() and bar.about.since.isHidden()
    for change in ("Epochs 3 → 2", "Schedule linear → cosine", "Learning rate 2e-4 → 5e-5"):
        assert change in bar.about.sets.text()
    bar.presets.setCurrentIndex(bar.presets.findData("default"))
    bar.use()
    assert bar.about.sets.isHidden()


def test_of_many_changes_the_first_are_shown_and_all_on_request(panel):
    panel.setup.choose("ppo")
    bar, default = panel.setup.bar, defaults(PPOSpec)
    bar.presets.setCurrentIndex(bar.presets.findData("instructgpt"))
    bar.use()
    values, line = next(p.values for p in presets_of("ppo") if p.key == "instructgpt"), bar.about.sets
    all_of_them = sum(value != default[name] for name, value in values.items())
    assert line.text().count("→") == 3 and line.more.text() == f"and {all_of_them - 3} more"
    line.more.click()
    assert line.text().count("→") == all_of_them and line.more.text() == "fewer"
    assert "Value warm-up 2 → 0 updates" in line.text()


def test_a_preset_keeps_model_and_data(panel):
    panel.setup.form.set_value("model", "/models/mine")
    panel.setup.bar.presets.setCurrentIndex(1)
    panel.setup.bar.use()
    assert panel.setup.form.values()["model"] == "/models/mine"


def test_ones_own_preset_is_kept_and_can_be_removed(panel, session, qtbot):
    panel.setup.form.set_values({"epochs": 5.0, "lora_rank": 4})
    panel.setup.bar.keep("Small and long")
    assert panel.setup.bar.presets.currentText() == "Small and long"
    panel.setup.bar.presets.setCurrentIndex(0)
    panel.setup.bar.use()
    assert panel.setup.form.values()["epochs"] == 3.0

    again = TrainPanel(session)
    qtbot.addWidget(again)
    again.setup.bar.presets.setCurrentIndex(again.setup.bar.presets.findText("Small and long"))
    again.setup.bar.use()
    assert (again.setup.form.values()["epochs"], again.setup.form.values()["lora_rank"]) == (5.0, 4)
    assert not again.setup.bar.remove.isHidden()
    again.setup.bar.remove.click()
    assert again.setup.bar.presets.findText("Small and long") == -1


def test_settings_of_an_unfinished_form_are_there_again(panel, session, qtbot):
    panel.setup.form.set_values({"epochs": 7.0, "model": "/models/mine"})
    qtbot.waitUntil(lambda: session.recall("train.draft.sft", {}).get("epochs") == 7.0)
    again = TrainPanel(session)
    qtbot.addWidget(again)
    assert again.setup.form.values()["epochs"] == 7.0
    assert "Changed since: " in again.setup.bar.about.text()


def test_the_command_names_a_spec_that_gives_the_same_run(panel, session, qtbot):
    panel.setup.copy.click()
    qtbot.waitUntil(lambda: QGuiApplication.clipboard().text().startswith("rlhf run "), timeout=5000)
    words = QGuiApplication.clipboard().text().split()
    assert words[3:] == ["--project", str(session.root)]
    spec = spec_from_json(Path(words[2]).read_text(encoding="utf-8"))
    assert (spec.epochs, spec.model) == (3.0, "starter")
    assert Path(words[2]).parent == session.root / "specs"
    assert not session.quiet.submitted


def test_a_full_disk_is_told_when_a_command_or_a_preset_cannot_be_kept(panel, session, qtbot, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    said = []
    session.toasted.connect(lambda _level, text, *_: said.append(text))
    session.failed.connect(lambda error: said.append(str(error)))
    monkeypatch.setattr("studio.panels.train.setup.save_spec", full)
    monkeypatch.setattr(Settings, "save", full)
    QGuiApplication.clipboard().setText("before")
    panel.setup.copy_command()
    qtbot.waitUntil(lambda: bool(said), timeout=5000)
    assert "No space left" in said[0] and QGuiApplication.clipboard().text() == "before"
    panel.setup.bar.keep("Mine")
    assert any("settings cannot be kept" in text for text in said[1:])


def test_the_starter_model_begins_with_the_settings_that_suit_it(panel, session, qtbot):
    assert panel.setup.bar.preset().key == "starter"
    assert panel.setup.form.values()["learning_rate"] == 3e-3
    session.labels.add_model("/models/large", "Large")
    again = TrainPanel(session)
    qtbot.addWidget(again)
    again.setup.choose("reward")
    assert again.setup.bar.preset().key == "default"
    assert again.setup.form.values()["learning_rate"] == 2e-4


def test_a_second_start_waits_and_says_so(panel, session, qtbot):
    said = []
    session.toasted.connect(lambda _level, text, *_: said.append(text))
    panel.setup.start()
    qtbot.waitUntil(lambda: bool(session.quiet.submitted), timeout=5000)
    first = session.quiet.submitted[0][0]
    session._hear(told(RunStarted("sft", 6), run_id=first)[0])
    panel.show_form()
    assert panel.setup.start_button.text() == "Start after it"
    assert panel.going.text().startswith("SFT 1 is running")
    panel.setup.start()
    qtbot.waitUntil(lambda: len(session.quiet.submitted) == 2, timeout=5000)
    assert said[-1].endswith("starts when SFT 1 has ended.")
    assert not panel.watching and panel.view.run_id == first
    panel.watch.click()
    assert panel.watching


def test_a_run_that_is_going_does_not_redraw_the_form_with_every_step(panel, session, qtbot):
    drawn = []
    redraw = panel.setup.redraw
    panel.setup._soon.timeout.disconnect()
    panel.setup._soon.timeout.connect(lambda: (drawn.append(1), redraw()))
    run_id = session.submit(SFT, "SFT 1")
    session.quiet.say(run_id, RunStarted("sft", 6))
    qtbot.waitUntil(lambda: panel.setup.start_button.text() == "Start after it")
    timers = (session._runs_soon, panel.setup._soon)
    qtbot.waitUntil(lambda: not any(timer.isActive() for timer in timers))  # the beginning has been drawn
    drawn.clear()
    for step in range(1, 7):
        session.quiet.say(run_id, Metrics(step, {"loss": 1.0}))
        qtbot.wait(120)  # longer than the activity keeps its word back
    assert drawn == []
    session.quiet.say(run_id, RunFinished("completed"))
    qtbot.waitUntil(lambda: panel.setup.start_button.text() == "Start")


def test_what_a_run_says_is_shown_at_once(panel, session, qtbot):
    panel.setup.start()
    qtbot.waitUntil(lambda: bool(session.quiet.submitted), timeout=5000)
    run_id = session.quiet.submitted[0][0]
    for envelope in told(RunStarted("sft", 6), Metrics(1, {"train/loss": 2.5}), run_id=run_id):
        session._hear(envelope)
    qtbot.waitUntil(lambda: panel.view.header.pill.text() == "Running", timeout=5000)
    qtbot.waitUntil(lambda: ("", "train/loss") in panel.view.charts.series(), timeout=5000)


def test_clone_brings_back_everything_that_was_chosen(panel, session):
    store(session, "p1", PPO, PPO_STORY, name="Good one")
    panel.receive({"clone": "p1"})
    values = panel.setup.form.values()
    assert panel.setup.task == "ppo"
    assert (values["updates"], values["reward_model"], values["policy"]) == (4, "run:abc", "starter")
    assert "Settings of Good one" in panel.setup.bar.about.text()


def test_hints_choose_method_model_and_reward(panel):
    panel.receive({"task": "ppo", "model": "/models/b", "reward": "run:r9"})
    values = panel.setup.form.values()
    assert (panel.setup.task, values["policy"], values["reward_model"]) == ("ppo", "/models/b", "run:r9")


def test_a_reward_model_or_a_family_brings_a_method_that_fits(panel):
    panel.receive({"reward": "run:r9"})
    assert (panel.setup.task, panel.setup.form.values()["reward_model"]) == ("ppo", "run:r9")
    panel.receive({"family": "Reward model"})
    assert panel.setup.task == "reward"


def test_a_dataset_chooses_the_method_that_learns_from_it(panel, session):
    records = [Comparison(f"Question {i}?", "Yes.", "No.") for i in range(20)]
    info = freeze(session.root, "comparisons", records, "Pairs", "test")
    session.datasets_changed.emit()
    panel.receive({"dataset": info.ref})
    assert (panel.setup.task, panel.setup.form.values()["dataset"]) == ("reward", info.ref)
    panel.receive({"kind": "demonstrations"})
    assert panel.setup.task == "sft"


def test_the_keys_of_the_curves_work_as_soon_as_a_run_is_watched(panel, session, qtbot):
    store(session, "p1", PPO, PPO_STORY)
    with qtbot.waitActive(panel):
        panel.activateWindow()
    panel.receive({"run": "p1"})
    charts = panel.view.charts
    qtbot.waitUntil(lambda: charts.isVisible() and len(charts.metrics()) > 1, timeout=5000)
    panel.to_form.setFocus()
    qtbot.keyClick(panel.to_form, Qt.Key.Key_L)
    assert charts.log.isChecked()
    qtbot.keyClick(panel.to_form, Qt.Key.Key_1)
    assert charts._big
    panel.view.tabs.setCurrentIndex(1)  # out of sight they are no keys
    qtbot.keyClick(panel.to_form, Qt.Key.Key_L)
    assert charts.log.isChecked()


def test_a_hint_opens_a_run(panel, session, qtbot):
    store(session, "p1", PPO, PPO_STORY, name="Good one")
    panel.receive({"run": "p1"})
    qtbot.waitUntil(lambda: panel.view.header.pill.text() == "Completed", timeout=5000)
    assert panel.watching


def test_a_run_that_went_on_without_the_window_is_shown(session, qtbot):
    session._hear(told(RunStarted("sft", 6), run_id="zz")[0])
    panel = TrainPanel(session)
    qtbot.addWidget(panel)
    panel.on_shown()
    assert panel.watching and panel.view.run_id == "zz"
    panel.view.close_run()


def test_no_project_blocks_and_does_not_fail(session, qtbot):
    session.close_project()
    session.project_changed.emit()
    panel = TrainPanel(session)
    qtbot.addWidget(panel)
    panel.setup.redraw()
    assert side(panel) == ["No project is open."]


def test_every_command_of_the_palette_works(panel, session):
    asked = []
    session.panel_requested.connect(lambda where, hints: asked.append((where, hints)))
    for command in panel.commands()[: len(METHODS)]:
        command.do()
    assert [hints["task"] for _, hints in asked] == list(METHODS)


# --- the forecast ----------------------------------------------------------------------------------------------------


def test_steps_are_whole_batches_times_epochs():
    values = {"batch_size": 16, "epochs": 3.0}
    assert steps("sft", values, Size(100, 10)) == 18  # 6 whole batches of 16, three times
    assert steps("sft", values, Size(5, 1)) == 3  # one smaller batch, three times
    assert steps("sft", {**values, "epochs": 0.34}, Size(100, 10)) == 2
    assert steps("sft", values, None) == 0
    assert steps("ppo", {"updates": 40}, None) == 40


def test_a_dataset_that_is_read_as_something_plainer_has_a_size_that_is_only_guessed(tmp_path):
    pairs = [Comparison(f"q{n}", "a", "b") for n in range(40)]
    info = freeze(tmp_path, "comparisons", pairs, "x", "y")
    assert size_as(info, "comparisons") == Size(info.train, info.heldout, exact=True)
    assert size_as(info, "demonstrations") == Size(info.train, info.heldout, exact=False)
    assert size_as(info, "ratings") == Size(2 * info.train, 2 * info.heldout, exact=False)  # one of each answer
    tied = freeze(tmp_path, "comparisons", [*pairs, Comparison("why", "a", "b", 0)], "x", "y")
    assert not size_as(tied, "comparisons").exact


def test_the_pace_comes_from_the_last_run_of_the_same_kind(session):
    told_ = [RunStarted("sft", 10), Metrics(10, {}), RunFinished("completed")]
    store(session, "s1", SFT, told_)
    row = session.runs.run("s1")
    from dataclasses import replace

    rows = [replace(row, created=1000.0, ended=1020.0, step=10)]  # 2 s a step in batches of 16
    assert pace("sft", {"model": "starter", "batch_size": 16}, rows) == pytest.approx(2.0)
    assert pace("sft", {"model": "starter", "batch_size": 8}, rows) == pytest.approx(1.0)
    assert pace("sft", {"model": "other", "batch_size": 16}, rows) is None
    assert pace("reward", {"model": "starter", "batch_size": 16}, rows) is None


def test_what_is_trained_is_counted_and_the_names_of_layers_are_told(session, tmp_path):
    values = {"trained": "adapter", "lora_rank": 16, "lora_targets": "all-linear", "lora_variant": "lora"}
    layers = "down_proj, gate_proj, up_proj, k_proj, o_proj, q_proj, v_proj"
    # 4 blocks, 16 times: q k v o are 128 x 128, gate up down 128 x 512
    count = f"{4 * 16 * (4 * 256 + 3 * 640) / 1e6:.3g} M"
    said, wrong = trained_sentence(session.root, "starter", values)
    assert said.startswith(f"Trains {count} of ") and said.endswith(f": rank 16 in {layers}.") and not wrong
    said, wrong = trained_sentence(session.root, "starter", {**values, "lora_targets": "q_proj,vproj"})
    assert said == f"This model has no layer vproj to adapt. It has {layers}." and wrong
    said, _ = trained_sentence(session.root, "starter", {**values, "trained": "all-weights"})
    assert said.startswith("Trains all ")
    assert trained_sentence(session.root, "owner/name", values) == ("", False)


def test_the_memory_is_foreseen_and_the_words_say_where_most_of_it_is(panel, session, qtbot):
    session.engine.device.update(device="CPU, 2 threads", memory_free=8_000_000_000)
    panel.setup.redraw()
    qtbot.waitUntil(lambda: any(" of 8.0 GB free" in line for line in side(panel)), timeout=10_000)
    (line,) = [line for line in side(panel) if line.startswith("Memory")]
    assert " of 8.0 GB free. Most of it in the learning: " in line


def test_too_large_for_the_machine_says_so_with_what_would_lower_it(panel, session, qtbot):
    session.engine.device.update(device="CPU, 2 threads", memory_free=1_000_000)
    panel.setup.redraw()
    qtbot.waitUntil(lambda: any("will not fit" in line for line in side(panel)), timeout=10_000)
    assert any("only 1 MB are free" in line for line in side(panel))
    assert any(line.startswith("What would lower it: ") and "micro-batch 1" in line for line in side(panel))


def test_demonstrations_are_what_the_frozen_dataset_holds(panel, session, qtbot):
    panel.setup.start()
    qtbot.waitUntil(lambda: bool(session.quiet.submitted), timeout=5000)
    records = open_dataset(session.root, session.quiet.submitted[0][1].dataset).records()
    assert all(isinstance(record, Demonstration) for record in records)


# --- with a real engine ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_model_is_trained_from_the_form_to_the_finish_card(studio_home, tmp_path, qtbot):
    session = Session(Settings.load())
    session.create_project(tmp_path / "real", "Real", starter=True)
    panel = TrainPanel(session)
    qtbot.addWidget(panel)
    panel.resize(1180, 780)
    panel.show()
    try:
        panel.setup.form.set_values({"epochs": 0.04, "sample_every": 1, "micro_batch_size": 4, "max_tokens": 128})
        panel.setup.redraw()
        panel.setup.start_button.click()
        qtbot.waitUntil(lambda: panel.view.story.ended and panel.view._ending is not None, timeout=240_000)
        assert panel.view.story.end == RunFinished("completed")
        assert "Held-out loss (nats)" in [label.text() for label in panel.view._ending.findChildren(PlainLabel)]
        total = panel.view.story.total
        assert total >= 2 and len(panel.view.story.samples[total]) == 4
        qtbot.waitUntil(lambda: ("", "train/loss") in panel.view.charts.series())
        assert panel.view.charts.series()["", "train/loss"][0].tolist() == list(range(1, total + 1))
        assert f"run:{panel.view.run_id}" in [choice.ref for choice in session.models(("sft",))]
    finally:
        panel.view.close_run()
        session.close()
        session.deleteLater()
