"""A person lets a model judge, watches one prompt being revised, and mixes the model's labels into a reward model.

The judge is `tests.engine.verdict_model`: it prefers the answer with more of the words "good".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from rlhf_engine.data.datasets import open_dataset
from rlhf_engine.store.judging_settings import JudgingSettings, write_judging
from rlhf_engine.store.project import Project
from tests.end_to_end.person import SHORT, Person
from tests.engine.verdict_model import verdict_model

REWARD = {"epochs": "0.5", "batch_size": "16", "micro_batch_size": "16", "learning_rate": "1e-3"}
JUDGED, WAITING, WRONG = 24, 24, 6


@pytest.fixture
def judge(tmp_path: Path) -> str:
    return str(verdict_model(tmp_path / "judge", sure=2.0))


@pytest.fixture
def project(tmp_path: Path, judge: str) -> Path:
    """Pairs that wait, and pairs that a person has judged: on some of them not as the judge will."""
    with Project.create(tmp_path / "project", "Feedback") as made:
        for n in range(JUDGED + WAITING):
            pair = made.labels.add_pair(f"Is number {n} good?", "good good good", f"bad good {n}", {})
            if n < JUDGED:
                made.labels.judge(pair, "b" if n < WRONG else "a", author="ann", seconds=2.0)
        made.labels.add_model(judge, "The judge")
    write_judging(tmp_path / "project", JudgingSettings("ann", repeats=0.0, overlap=0.0))
    return tmp_path / "project"


@pytest.mark.timeout(600)
def test_a_model_judges_and_revises_and_its_labels_are_mixed_in_on_the_record(
    open_window: Callable[..., Person], project: Path, judge: str
) -> None:
    person = open_window(project)
    let_it_judge(person, judge)
    go_through_one_prompt(person)
    run = train_on_half_and_half(person)
    read_the_record(person, project, run, judge)


def let_it_judge(person: Person, judge: str) -> None:
    panel = person.go("feedback")
    page = panel.judge
    person.choose(page.starting.form.editor("model").combo, judge)
    pick(person, page.starting.form.editor("pairs").combo, "both")
    pick(person, page.starting.form.editor("template").combo, "short")
    person.fill(page.starting.form.editor("canaries").spin, "6")
    person.click(page.starting.go)
    person.wait(lambda: page.last.isVisible() and page.starting.go.isEnabled(), lambda: page.starting.problem.text())
    assert page.figures.text().startswith(f"{JUDGED + WAITING} pairs; 0% ties; the answer shown first preferred in 50%")
    assert "0% of 6 canaries" in page.figures.text() and page.warning.isHidden()
    person.wait(lambda: page.table.select("0/0"), "it is measured against ann")
    row = page.table.current()
    assert row["agreement"].startswith("75 %  (55 to 88 %)") and row["pairs"] == str(JUDGED)  # Wilson's of 18 in 24
    counts = person.session.labels.judged_by_people()
    assert counts["a"] + counts["b"] == JUDGED and counts[""] == WAITING  # the model's labels are nobody's


def go_through_one_prompt(person: Person) -> None:
    panel = person.window.panel("feedback")
    QTest.mouseClick(panel.tabs, Qt.MouseButton.LeftButton, pos=panel.tabs.tabRect(2).center())
    page = panel.steps
    person.wait(page.isVisible, "the page of one prompt")
    form = page.starting.form
    person.choose(form.editor("model").combo, "starter")
    person.type(form.editor("prompt").box, "Where does Mara live?")
    person.set_number(form, "response_tokens", "16")
    if not form.editor("template").isVisible():
        person.click(form.fold.heading)
    pick(person, form.editor("template").combo, "short")
    person.click(page.starting.go)
    person.wait(lambda: len(page.texts) == 3 and page.verdict.text(), lambda: page.starting.problem.text())
    names = [card.title.text() for card in cards(page)]
    assert names == ["First answer", "Criticism 1", "Revision 1", "Comparison"]
    assert page.texts[0].text() != "(nothing)" and "Probability that the revision is better" in page.verdict.text()
    assert page.starting.problem.text() == ""


def train_on_half_and_half(person: Person) -> str:
    panel = person.go("train")
    person.choose_method(panel.setup, "reward")
    for name, text in REWARD.items():
        person.set_number(panel.setup.form, name, text)
    mix = panel.setup.form.editor("dataset").mix
    person.wait(lambda: mix.isVisible() and mix.said.text() == "0 % AI labels", "the slider is there", SHORT)
    mix.slider.setFocus()
    person.press(mix.slider, "PgUp", "PgUp")
    assert mix.said.text() == "50 % AI labels"
    person.wait(panel.setup.start_button.isEnabled, lambda: str(panel.setup.blockers()))
    person.click(panel.setup.start_button)
    person.wait(lambda: panel.watching and panel.view.story.ended, lambda: str(list(panel.view.story.log)))
    assert panel.view.story.state == "completed", panel.view.story.end
    return str(panel.view.run_id)


def read_the_record(person: Person, project: Path, run: str, judge: str) -> None:
    """Whose labels they were stands on the dataset, and beside the weights."""
    row = person.session.runs.run(run)
    assert row is not None
    told = open_dataset(project, row.spec_values["dataset"]).info.facts["labels"]
    assert (told["people"], told["ai"], told["ai_share_wanted"]) == (JUDGED, WAITING, 0.5)
    assert told["judges"] == {judge: WAITING}
    about = json.loads((project / "runs" / run / "adapter" / "model.json").read_text())
    assert about["labels"]["ai"] == WAITING and about["labels"]["judges"] == {judge: WAITING}


def pick(person: Person, combo: Any, word: str) -> None:
    """Go down a list of words by the keys."""
    combo.setFocus()
    person.press(combo, "Home")
    for _ in range(combo.count()):
        if combo.currentText() == word:
            return
        person.press(combo, "Down")
    raise AssertionError(f"{word} is not in the list")


def cards(page: Any) -> list[Any]:
    from studio.widgets import Card

    places = (page._steps.itemAt(n).widget() for n in range(page._steps.count()))
    return [widget for widget in places if isinstance(widget, Card)]
