"""The AI feedback panel: judging, principles, one prompt step by step; and labels that runs wrote come in."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtWidgets import QLabel

from rlhf_engine.contract.events import Metrics, Produced, RunFinished, RunStarted, Text
from rlhf_engine.judging.constitution import STARTER, read_constitution
from rlhf_engine.store.taking import waiting_labels, write_labels
from studio.forms.pickers import LABELS, DatasetPicker
from studio.panels.feedback import FeedbackPanel
from studio.taking import Taking

HOSTILE = '<a href="http://x.example">go</a> <b>bold</b> \u202eabc'


@pytest.fixture
def panel(session, qtbot) -> FeedbackPanel:
    for n in range(4):
        pair = session.labels.add_pair(f"q{n}", "good", "bad", {})
        if n < 2:
            session.labels.judge(pair, "a", author="ann", seconds=2.0)
    made = FeedbackPanel(session)
    qtbot.addWidget(made)
    made.resize(1180, 780)
    made.show()
    return made


def label_rows(session, pairs, winner="a", run="run"):
    meta = {"model": "starter", "template": "full 1", "attributes": {"honesty": winner}}
    who = {"author": "starter", "source": "model"}
    return [
        {
            "kind": "comparisons",
            "id": f"{run}{n}",
            "pair_id": p["id"],
            "winner": winner,
            "strength": 2,
            "meta": meta,
            **who,
        }
        for n, p in enumerate(pairs)
    ]


def end(session: Any, qtbot: Any, starting: Any, *events: Any) -> None:
    for event in (RunStarted("x", 1), *events, RunFinished("completed")):
        session.quiet.say(starting.run_id, event)
    qtbot.waitUntil(lambda: starting.go.isEnabled())


def test_labels_of_a_run_come_in_and_agreement_is_shown(session, panel, qtbot):
    taking = Taking(session)
    pairs = session.labels.page("pairs")
    write_labels(session.root / "runs" / "abc", label_rows(session, pairs))
    session.quiet.say("abc", Produced("labels", "runs/abc/labels.jsonl", {}))
    qtbot.waitUntil(lambda: not waiting_labels(session.root))
    assert session.labels.tally()["a"] == 4 and session.labels.judged_by_people()["a"] == 2
    qtbot.waitUntil(lambda: panel.judge.table.select("0/1"))
    row = panel.judge.table.current()
    assert row["judge"].strip() == "honesty" and row["agreement"] == "100 %  (34 to 100 %)" and row["pairs"] == "2"
    taking.stop()


def test_what_waits_is_taken_in_when_the_project_opens(session, qtbot):
    pair = session.labels.add_pair("q", "x", "y", {})
    write_labels(session.root / "runs" / "abc", label_rows(session, [{"id": pair}], "b"))
    taking = Taking(session)
    session.project_changed.emit()
    qtbot.waitUntil(lambda: session.labels.tally()["b"] == 1)
    qtbot.waitUntil(lambda: not waiting_labels(session.root))
    taking.stop()


def test_a_damaged_file_is_said_and_left(session, qtbot):
    folder = session.root / "runs" / "abc"
    folder.mkdir(parents=True)
    (folder / "labels.jsonl").write_text("{")
    taking = Taking(session)
    with qtbot.waitSignal(session.failed) as said:
        taking.look()
    assert "line 1 is damaged" in str(said.args[0]) and waiting_labels(session.root)


def test_a_judge_that_leans_or_obeys_is_called_so(session, panel, qtbot):
    page = panel.judge
    page.starting.form.set_value("model", "starter")
    page.starting.start()
    _, spec, _ = session.quiet.submitted[-1]
    assert spec.model == "starter" and spec.pairs == "waiting"
    values = {"judge/ties": 0.5, "judge/first_shown": 0.9, "canary/fooled": 0.25}
    values |= {"canary/fooled_low": 0.1, "canary/fooled_high": 0.5, "canary/asked": 16.0}
    end(session, qtbot, page.starting, Metrics(4, values))
    assert "90%" in page.figures.text() and "25% of 16" in page.figures.text()
    assert "leans to one place" in page.warning.text() and "obeys" in page.warning.text()


def test_principles_are_reworded_ordered_added_and_deleted(session, panel):
    page = panel.principles
    page.list.setCurrentRow(1)
    page.judge.setPlainText(HOSTILE)
    page.save()
    assert read_constitution(session.root)[1].judge == HOSTILE.strip()
    page.move_by(-1)
    assert [p.name for p in read_constitution(session.root)][:2] == ["harmlessness", "helpfulness"]
    page.add()
    assert len(read_constitution(session.root)) == 6 and page.name.text() == "principle 1"
    page.name.setText("honesty")
    page.save()
    assert "Two principles" in page.said.text() and len({p.name for p in read_constitution(session.root)}) == 6
    page.delete()
    page.starter()
    assert read_constitution(session.root) == STARTER


def test_one_prompt_is_seen_step_by_step_as_plain_text(session, panel, qtbot):
    panel.show_page("steps")
    page = panel.steps
    page.starting.form.set_values({"model": "starter", "prompt": "Why?"})
    page.starting.start()
    steps = [Text(n, text, finish="eos") for n, text in enumerate((HOSTILE, "too long", "short"))]
    facts = {"principles": ["honesty"], "winner": "revision", "ab": 0.8, "ba": 0.7}
    end(session, qtbot, page.starting, *steps, Produced("revision", "", facts))
    assert [text.text() for text in page.texts] == [HOSTILE, "too long", "short"]
    assert "prefers the revision, by honesty" in page.verdict.text() and "0.80" in page.verdict.text()
    from PySide6.QtCore import Qt

    assert all(label.textFormat() == Qt.TextFormat.PlainText for label in page.findChildren(QLabel) if label.text())


def test_what_became_of_all_prompts_is_told(session, panel, qtbot):
    session.labels.add_prompt("Why?")
    session.announce(session.labels.last_change)
    panel.show_page("batch")
    page = panel.batch
    page.starting.form.set_value("model", "starter")
    page.starting.start()
    qtbot.waitUntil(lambda: bool(page.starting.run_id))
    values = {"revision/changed": 0.75, "revision/preferred": 0.5, "revision/ties": 0.25}
    made = (Produced("dataset", "datasets/abc", {"rows": 2}), Produced("labels", "runs/x", {"labels": 3}))
    end(session, qtbot, page.starting, Metrics(4, values), *made)
    assert page.figures.text() == "4 answers; 75% changed; 50% of the revisions preferred, 25% ties"
    assert page.made.text().splitlines() == [
        "2 demonstrations are a dataset.",
        "3 comparisons with the model's label are in this project; people can judge them too.",
    ]
    asked: list[dict[str, Any]] = []
    session.panel_requested.connect(lambda _, hints: asked.append(hints))
    page.show_dataset.click()
    assert asked == [{"dataset": "dataset:abc"}]


def test_a_slider_mixes_ai_labels_in_only_where_a_model_has_judged(session, qtbot):
    pairs = [{"id": session.labels.add_pair(f"q{n}", "good", "bad", {})} for n in range(4)]
    session.labels.judge(pairs[0]["id"], "a", author="ann", seconds=2.0)
    picker = DatasetPicker(session, False, "comparisons")
    qtbot.addWidget(picker)
    picker.set_value(LABELS)
    assert picker.mix is not None and picker.mix.isHidden() and picker.ai_share == 0.0
    session.labels.take(label_rows(session, pairs[1:], "b"))
    picker.refresh()
    assert not picker.mix.isHidden()
    picker.mix.slider.setValue(10)
    assert picker.ai_share == 0.5 and "50 %" in picker.mix.said.text()
    made: list[str] = []
    session.freeze("comparisons", "", made.append, None, picker.ai_share)
    qtbot.waitUntil(lambda: bool(made))
    (choice,) = session.datasets("comparisons")
    assert choice.rows == 2
    from rlhf_engine.data.datasets import open_dataset

    said = open_dataset(session.root, made[0]).info.facts["labels"]
    assert (said["people"], said["ai"], said["judges"]) == (1, 1, {"starter": 1})
