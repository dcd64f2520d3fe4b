"""What a person sees of a run: told live, or replayed from what was stored."""

from __future__ import annotations

import math

import pytest
from PySide6.QtCore import QTranslator

from rlhf_engine.contract.events import (
    CheckpointSaved,
    Curve,
    Metrics,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Stage,
)
from studio.panels.run_view import RunStory, RunView
from studio.widgets import ErrorCard, PlainLabel
from tests.studio.panels.run_stage import PPO, PPO_STORY, Feed, ppo_values, sample, store, told


@pytest.fixture
def view(session, qtbot):
    view = RunView(session)
    qtbot.addWidget(view)
    view.resize(1100, 760)
    view.show()
    yield view
    view.close_run()


def show(view, *events, caught_up=True):
    feed = Feed()
    view.show_run(feed, "My run")
    feed.tell(told(*events), caught_up)
    view.curves.finish()
    view.redraw()
    return feed


def seen(widget, kind=PlainLabel):
    return [label.text() for label in widget.findChildren(kind) if label.isVisibleTo(widget) and label.text()]


def ending_text(view):
    assert view._ending is not None
    return " | ".join(seen(view._ending))


def ending_buttons(view):
    from PySide6.QtWidgets import QPushButton

    return {b.text(): b for b in view._ending.findChildren(QPushButton) if b.isVisibleTo(view._ending)}


def as_shown(view):
    curves = {key: (s.tolist(), v.tolist()) for key, (s, v) in view.charts.series().items()}
    log = [view.log.list.item(i).text() for i in range(view.log.list.count())]
    return (
        view.header.name.text(),
        view.header.pill.text(),
        view.header.progress.value(),
        view.header.numbers.text(),
        view.health.text(),
        curves,
        log,
        view.samples.place.text(),
        view.samples.answer.toPlainText(),
        [view.tabs.tabText(i) for i in range(view.tabs.count())],
        ending_text(view) if view._ending else "",
    )


def test_a_run_in_progress_says_how_far_it_is(view):
    show(view, *PPO_STORY[:6])  # two of four steps, at one and three seconds after the second start
    assert view.header.pill.text() == "Running"
    assert view.header.progress.value() == 500
    assert "step 2 of 4" in view.header.numbers.text()
    assert "2 s a step" in view.header.numbers.text()
    assert "4 s left" in view.header.numbers.text()
    assert view.header.stop.isVisible() and view.header.knob.isVisible()
    assert view.health.text() == "Nothing unusual so far"


def test_what_it_does_between_steps_is_said(view):
    show(view, RunStarted("ppo", 4), Stage("Loading the base model", 1, 3))
    assert view.header.detail.text() == "Loading the base model 1/3"


def test_the_time_left_follows_recent_steps_and_leaves_pauses_out(view):
    story = RunStory("a1")
    for envelope in told(RunStarted("ppo", 10), Metrics(1, {}), Metrics(2, {}), RunPaused(), start=0.0):
        story.hear(envelope)
    assert (story.pace, story.left) == (1.0, None)
    for envelope in told(RunResumed(), Metrics(3, {}), Metrics(4, {}), start=1000.0, first=4):
        story.hear(envelope)
    assert story.pace == pytest.approx(1.0)  # the pause of 997 s counts neither as a step ...
    assert story.left == pytest.approx(6.0)
    assert story.elapsed(1002.0) == pytest.approx(3.0 + 2.0)  # ... nor as time at work


def test_the_pace_is_a_running_mean():
    story = RunStory("a1")
    for envelope in told(RunStarted("ppo", 10), Metrics(1, {}), Metrics(2, {}), start=0.0):
        story.hear(envelope)
    for envelope in told(Metrics(3, {}), start=12.0, first=3):
        story.hear(envelope)
    assert story.pace == pytest.approx(0.8 * 1.0 + 0.2 * 10.0)  # 1 s a step, then one that took from 2 to 12


def test_the_main_curves_of_the_task_come_first(view):
    show(view, *PPO_STORY)
    first = view.charts.metrics()[:4]
    assert first == ["objective/score", "objective/kl_sequence", "policy/loss", "value/loss"]
    steps, values = view.charts.series()["", "objective/score"]
    assert steps.tolist() == [1, 2, 3, 4]
    assert values.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_a_curve_is_titled_and_explained_in_words(view):
    show(view, *PPO_STORY)
    title = view.charts.plot("objective/kl_sequence").title
    assert title.text() == "Drift per answer (nats)"
    assert "KL from the starting model" in title.toolTip()


def test_live_and_replayed_runs_look_the_same(view):
    feed = Feed()
    view.show_run(feed, "My run")
    feed.tell([], caught_up=True)
    for envelope in told(*PPO_STORY):
        feed.tell([envelope], caught_up=False)
        view.curves.finish()
        view.redraw()
    live = as_shown(view)
    show(view, *PPO_STORY)
    assert as_shown(view) == live
    assert live[1:3] == ("Completed", 1000)


def test_a_resumed_run_forgets_what_came_after_its_checkpoint(view):
    show(
        view,
        *PPO_STORY[:12],  # four steps, samples of 1 and 3, a warning at 2
        RunFinished("failed", "The engine process ended before the run did."),
        RunStarted("ppo", 4, 2),
        Metrics(3, {"objective/score": 9.0}),
    )
    steps, values = view.charts.series()["", "objective/score"]
    assert steps.tolist() == [1, 2, 3]
    assert values.tolist() == pytest.approx([0.1, 0.2, 9.0])
    assert view.samples.place.text() == "Step 1   (1 of 1)"
    assert view.header.pill.text() == "Running"
    assert view._ending is None


def test_curves_that_wait_to_be_drawn_are_truncated_too(view):
    feed = Feed()
    view.show_run(feed)
    feed.tell(told(*PPO_STORY[:12], RunStarted("ppo", 4, 1)))
    view.curves.finish()
    assert view.charts.series()["", "policy/loss"][0].tolist() == [1]


def test_a_value_that_is_no_number_is_marked_and_said(view, qtbot):
    show(view, RunStarted("sft", 3), Metrics(1, {"train/loss": 1.0}), Metrics(2, {"train/loss": math.nan}))
    marks = view.charts.plot("train/loss")._curves[""].lost
    qtbot.waitUntil(lambda: marks.getData()[0].tolist() == [2.0])
    assert marks.isVisible()
    assert view.health.text() == "Step 2: Training loss is not a finite number (train/loss: nan)."
    assert view.tabs.tabText(2) == "Log (1 warning)"


def test_warnings_are_in_the_health_line_with_what_to_try(view):
    show(view, *PPO_STORY[:8])
    assert view.health.text() == "Step 2: 31% of the tokens hit the clip range. Lower the learning rate."


def test_samples_are_stepped_through(view, qtbot):
    show(view, *PPO_STORY)
    view.tabs.setCurrentIndex(1)
    samples = view.samples
    assert samples.place.text() == "Step 3   (2 of 2)"
    assert samples.prompt.text() == "Capital of France?"
    assert samples.answer.toPlainText() == "Paris!"
    assert samples.beside.text() == "I do not know."
    assert samples.score.text() == "score +0.750"
    samples.back.click()
    assert samples.place.text() == "Step 1   (1 of 2)"
    assert not samples.back.isEnabled() and samples.on.isEnabled()


def test_what_a_run_did_is_told_in_the_language_of_the_window(view, qapp):
    class Upper(QTranslator):
        def translate(self, context, text, *_):
            return text.upper() if context in ("Story", "SamplesView") else ""

    upper = Upper()
    qapp.installTranslator(upper)
    try:
        show(view, *PPO_STORY)
        lines = [line.text for line in view.story.log]
        assert "STARTED." in lines and lines[-1].startswith("COMPLETED.")
        measures = [view.samples.measure.itemText(i) for i in range(view.samples.measure.count())]
        assert "ADVANTAGE" in measures and "DRIFT (KL)" in measures
    finally:
        qapp.removeTranslator(upper)


def test_samples_are_drawn_again_only_when_there_are_others(view):
    feed = show(view, *PPO_STORY[:10], sample(3))
    drawn = []
    view.samples.prompts.model().rowsInserted.connect(lambda *_: drawn.append(1))
    view.redraw()
    view.redraw()
    assert drawn == []
    feed.tell(told(sample(4), first=11), caught_up=False)
    view.redraw()
    assert drawn and view.samples.step == 4


def test_new_samples_are_followed_until_someone_looks_back(view):
    feed = show(view, *PPO_STORY[:10])
    feed.tell(told(sample(3), first=10), caught_up=False)
    view.redraw()
    assert view.samples.step == 3
    view.samples.go(-1)
    feed.tell(told(sample(4), first=11), caught_up=False)
    view.redraw()
    assert view.samples.step == 1


def test_each_token_is_coloured_by_its_credit(view):
    show(view, *PPO_STORY)
    answer = view.samples.answer
    assert [text for text, _ in answer.grounds()] == ["Par", "is"]  # +0.5, -1.0, and 0.0 stays plain
    assert answer.scale() == 1.0
    assert "advantage  -1.000" in answer.told(1)
    view.samples.color_by("kl")
    assert answer.scale() == pytest.approx(0.3)
    view.samples.color_by("")
    assert answer.grounds() == []


def test_hostile_samples_are_shown_as_they_are(view):
    from rlhf_engine.contract.events import Sample

    evil = "<img src=file:///etc/passwd><script>alert(1)</script>"
    show(
        view, RunStarted("sft", 2), Sample(1, evil, evil, None, evil, (evil, "\r\n", "\u2029"), {"kl": (1.0, 1.0, 1.0)})
    )
    assert view.samples.prompt.text() == evil
    assert view.samples.answer.toPlainText().startswith(evil)
    assert len(view.samples.answer.toPlainText()) == len(evil) + 3


def test_a_finished_run_says_what_it_made_and_what_can_be_done_with_it(view, session):
    asked = []
    session.panel_requested.connect(lambda panel, hints: asked.append((panel, hints)))
    store(session, "a1", PPO, PPO_STORY, name="First try")
    (session.root / "runs" / "a1" / "adapter").mkdir(parents=True)
    show(view, *PPO_STORY)
    assert "First try is done" in ending_text(view)
    assert "Drift per answer (nats) | 0.2" in ending_text(view)
    buttons = ending_buttons(view)
    assert list(buttons)[:4] == ["Use in Playground", "Compare with its parent", "Export", "Clone with changes"]
    for text in list(buttons)[:4]:
        buttons[text].click()
    assert asked == [
        ("playground", {"model": "run:a1"}),
        ("playground", {"models": ["starter", "run:a1"]}),
        ("export", {"model": "run:a1"}),
        ("train", {"clone": "a1"}),
    ]


def test_a_failed_run_says_why_and_what_to_try(view):
    end = RunFinished("failed", "The GPU ran out of memory.", "Lower the micro-batch size.", "Traceback: deep")
    show(view, *PPO_STORY[:8], end)
    card = view.findChild(ErrorCard)
    assert card.title.text() == "My run failed at step 2 of 4"
    assert card.cause.text() == "The GPU ran out of memory."
    assert card.hint.text() == "Lower the micro-batch size."
    assert card.details.text() == "Traceback: deep"
    assert {"Resume", "Copy", "Details"} <= set(ending_buttons(view))


def test_a_run_whose_process_died_can_be_resumed(view, session):
    store(session, "a1", PPO, PPO_STORY[:8])  # no RunFinished, and nobody holds the lock any more
    show(view, *PPO_STORY[:8])
    assert view.header.pill.text() == "Interrupted"
    assert "Interrupted at step 2 of 4" in ending_text(view)
    assert "checkpoint of step 2 is safe" in ending_text(view)
    ending_buttons(view)["Resume"].click()
    assert session.quiet.resumed == ["a1"]
    assert view.header.pill.text() == "Waiting"


def test_a_run_that_need_not_be_resumed_after_all_is_what_it_was(view, session):
    store(session, "a1", PPO, PPO_STORY[:8])
    show(view, *PPO_STORY[:8])
    view.resume_run()
    assert view.header.pill.text() == "Waiting" and view.header.stop.isVisible()
    view.header.stop.menu().actions()[1].trigger()
    assert session.quiet.control("a1").thrown == ["cancel"]
    assert view.header.pill.text() == "Interrupted"


def test_a_suspended_run_says_where_it_goes_on(view):
    show(view, *PPO_STORY[:8], RunFinished("suspended"))
    assert "Suspended at step 2 of 4" in ending_text(view)
    assert next(iter(ending_buttons(view))) == "Resume"


def test_a_reward_model_leads_on_to_a_policy(view, session):
    asked = []
    session.panel_requested.connect(lambda panel, hints: asked.append((panel, hints)))
    (session.root / "runs" / "a1" / "adapter").mkdir(parents=True)
    show(view, RunStarted("reward", 1), Metrics(1, {"train/loss": 0.6}), RunFinished("completed"))
    ending_buttons(view)["Train a policy with it"].click()
    assert asked == [("train", {"reward": "run:a1"})]


def test_pause_and_stop_reach_the_run(view, session):
    show(view, *PPO_STORY[:6])
    view.header.pause.click()
    assert view.header.pause.text() == "Pausing…"
    stop, keep = view.header.stop.menu().actions()[1], view.header.stop.menu().actions()[0]
    stop.trigger()
    keep.trigger()
    assert session.quiet.control("a1").thrown == ["pause", "cancel", "suspend"]


def test_a_paused_run_can_go_on(view, session):
    show(view, *PPO_STORY[:6], RunPaused())
    assert view.header.pill.text() == "Paused"
    assert view.header.pause.text() == "Go on"
    view.header.pause.click()
    assert session.quiet.control("a1").thrown == ["resume"]


def test_the_learning_rate_can_be_turned_while_it_runs(view, session):
    feed = show(view, *PPO_STORY[:8])
    view.header.rate.setValue(0.5)
    assert session.quiet.control("a1").thrown == [("learning_rate", 0.5)]
    feed.tell(told(*PPO_STORY[8:10], first=8), caught_up=False)
    view.redraw()
    assert session.quiet.control("a1").thrown == [("learning_rate", 0.5)]  # the answer is not another wish
    assert any("Learning rate \u00d7 0.5" in view.log.list.item(i).text() for i in range(view.log.list.count()))


def test_only_warnings_can_be_listed(view):
    show(view, *PPO_STORY)
    whole = view.log.list.count()
    view.log.only.click()
    assert 1 == view.log.list.count() < whole
    assert "clip range" in view.log.list.item(0).text()


def test_settings_show_what_was_changed_first(view, session):
    store(session, "a1", PPO, PPO_STORY)
    show(view, *PPO_STORY)
    rows = view.settings._memory
    assert [row["label"] for row in rows[:4]] == ["Policy", "Reward model", "Prompts", "Updates"]
    assert (rows[3]["value"], rows[3]["default"]) == ("4", "100")


def test_another_run_replaces_all_of_the_first(view):
    feed = show(view, *PPO_STORY)
    show(view, RunStarted("sft", 3), Metrics(1, {"train/loss": 2.0}))
    assert feed.stopped
    assert list(view.charts.series()) == [("", "train/loss")]
    assert view._ending is None
    assert view.samples.current() is None
    feed.event.emit(told(Metrics(9, ppo_values(9)))[0])
    assert view.story.step == 1


def test_a_run_that_waits_says_for_which(view, session):
    session.activity.hear(told(RunStarted("sft", 3), run_id="other")[0])
    view.show_run(Feed(), "Second")
    view._told_all()
    assert view.header.pill.text() == "Waiting"
    assert view.header.detail.text() == "Starts when Supervised fine-tuning has ended"


def test_a_stored_run_is_opened_and_read_to_its_end(view, session, qtbot):
    store(session, "a1", PPO, PPO_STORY, name="Stored")
    view.open("a1")
    qtbot.waitUntil(lambda: view._ending is not None and not view.curves.busy, timeout=5000)
    assert view.header.name.text() == "Stored"
    assert view.charts.series()["", "objective/score"][0].tolist() == [1, 2, 3, 4]


def test_a_checkpoint_is_said_in_the_log(view):
    show(view, RunStarted("sft", 3), Metrics(1, {"train/loss": 2.0}), CheckpointSaved(1, "runs/a1/checkpoints/1"))
    last = view.log.list.item(view.log.list.count() - 1).text()
    assert "Checkpoint of step 1 saved." in last


def test_a_long_run_is_brought_to_the_screen_a_piece_at_a_time(view):
    names = [f"group{i % 5}/metric{i}" for i in range(30)]
    story = [RunStarted("ppo", 3000), *(Metrics(step, dict.fromkeys(names, 0.5)) for step in range(1, 3001))]
    feed = Feed()
    view.show_run(feed)
    feed.tell(told(*story))
    assert view.charts.series() == {}  # hearing of 90,000 points draws none
    plots, frames = 0, 0
    while view.curves.busy:
        view.curves._bring()
        made = len(view.charts.metrics())
        assert made - plots <= 1
        plots, frames = made, frames + 1
    assert (plots, view.header.pill.text()) == (30, "Running")
    assert frames >= 30
    assert {len(steps) for steps, _ in view.charts.series().values()} == {3000}


def curve(step, agreed=0.7):
    return Curve(step, "heldout/reliability", {"predicted": (0.6, 0.9), "observed": (0.6, agreed), "count": (9.0, 5.0)})


def test_a_curve_is_drawn_and_a_newer_one_takes_its_place(view):
    feed = show(view, RunStarted("reward", 8), curve(2, 0.5), curve(4, 0.8))
    assert view._curves_or_why.currentIndex() == 1
    assert view.charts.metrics() == ["heldout/reliability"]
    plot = view.charts.curve("heldout/reliability")
    assert (plot.title.text(), plot.step) == ("Reliability", 4)
    assert plot.columns["observed"].tolist() == [0.6, 0.8] and plot.drawn == ["observed"]
    feed.tell(told(RunStarted("reward", 8, 3), first=3))  # resumed from the checkpoint of step 3
    view.curves.finish()
    assert (plot.step, plot.columns["observed"].tolist()) == (2, [0.6, 0.5])
    feed.tell(told(RunStarted("reward", 8, 1), first=4))
    assert view.charts.metrics() == [] and view.story.curves == {}


def test_another_run_does_not_keep_the_curves_of_the_one_before(view):
    show(view, RunStarted("reward", 8), curve(2))
    show(view, RunStarted("reward", 8), Metrics(1, {"train/loss": 0.5}))
    assert view.charts.metrics() == ["train/loss"]
