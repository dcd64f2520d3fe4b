"""The page of agreement says what it takes, then what there is, and leads to what can be done about it."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton

from rlhf_engine.store.labels import Changed
from studio.panels.agreement import AgreementPanel


@pytest.fixture
def panel(session: Any, qtbot: Any) -> AgreementPanel:
    made = AgreementPanel(session)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    return made


def show(panel: AgreementPanel, qtbot: Any) -> str:
    panel.read()
    qtbot.waitUntil(lambda: panel._errand is None)
    return " | ".join(label.text() for label in panel.area.widget().findChildren(QLabel))


def judge(session: Any, said: str, author: str, start: int = 0) -> list[str]:
    """One pair for each letter, made where it is not there yet."""
    known = [pair["id"] for pair in session.labels.page("pairs")]
    made = []
    for number, letter in enumerate(said, start):
        if number >= len(known):
            known.append(session.labels.add_pair(f"Q{number}", "x" * 40, "y" * 80))
        winner = {"a": "a", "b": "b", "t": "tie"}[letter]
        session.labels.judge(known[number], winner, left="ab"[number % 2], seconds=9.0, author=author)
        made.append(known[number])
    return made


def test_without_verdicts_it_says_what_to_do(panel: AgreementPanel, qtbot: Any, session: Any) -> None:
    assert "Nobody has judged here yet" in show(panel, qtbot)
    (go,) = [made for made in panel.area.widget().findChildren(QPushButton) if made.text() == "Judge pairs"]
    with qtbot.waitSignal(session.panel_requested) as asked:
        qtbot.mouseClick(go, Qt.MouseButton.LeftButton)
    assert asked.args[0] == "compare"


def test_with_few_verdicts_every_meter_says_how_many_it_takes(panel: AgreementPanel, qtbot: Any, session: Any) -> None:
    judge(session, "ab", "ann")
    text = show(panel, qtbot)
    assert "2 of the 30 verdicts it takes" in text and "0 of the 10 verdicts it takes" in text
    assert "One annotator so far" in text and "Where they differ" not in text


def test_ratings_of_single_answers_are_told_also_where_no_pair_was_judged(
    panel: AgreementPanel, qtbot: Any, session: Any
) -> None:
    pair = session.labels.add_pair("Q", "x", "y")
    meta = {"attributes": {"honest": "yes"}}
    first, _ = session.labels.add_rating("Q", "x", True, author="ann", answer=f"{pair}/a", meta=meta)
    session.labels.add_rating("Q", "x", True, author="ann", answer=f"{pair}/a", meta={"repeat_of": first})
    text = show(panel, qtbot)
    assert "Single answers" in text and "1 of the 10 repeats it takes" in text and "100 %  (1/1)" in text
    assert "Rubric of single answers" in text and "honest" in text


def test_a_habit_is_told_with_what_to_do(panel: AgreementPanel, qtbot: Any, session: Any) -> None:
    judge(session, "ab" * 30, "ann")  # always the left one
    text = show(panel, qtbot)
    assert "100 % (95 %: 94 % to 100 %) · 60 verdicts" in text and "read the other one first" in text


def test_annotators_are_compared_and_disputes_lead_to_settling(panel: AgreementPanel, qtbot: Any, session: Any) -> None:
    judge(session, "ab" * 10, "ann")
    pairs = judge(session, "ab" * 9 + "ba", "bob")
    text = show(panel, qtbot)
    assert "20 pairs were judged by at least two of 2 annotators" in text
    assert "Cohen's kappa" in text and "ann and bob" in text and "90 %" in text
    assert "ann: B · bob: A" in text
    assert panel.people.count() == 2 and not panel.people.isHidden()
    (go,) = [made for made in panel.area.widget().findChildren(QPushButton) if made.text() == "Settle 2"]
    with qtbot.waitSignal(session.panel_requested) as asked:
        qtbot.mouseClick(go, Qt.MouseButton.LeftButton)
    assert asked.args == ["compare", {"settle": [pairs[19], pairs[18]]}]
    session.labels.judge(pairs[19], "a", author="cy", meta={"adjudicates": True})
    text = show(panel, qtbot)
    assert "Settle 1" in [made.text() for made in panel.area.widget().findChildren(QPushButton)] and "A, by cy" in text


def test_it_reads_anew_when_verdicts_were_added(panel: AgreementPanel, qtbot: Any, session: Any) -> None:
    show(panel, qtbot)
    judge(session, "a", "ann")
    session.announce(Changed.COMPARISONS)
    qtbot.waitUntil(lambda: panel.found is not None and len(panel.found.people) == 1)


def test_another_annotator_can_be_looked_at(panel: AgreementPanel, qtbot: Any, session: Any) -> None:
    judge(session, "abab", "ann")
    judge(session, "ab", "bob")
    show(panel, qtbot)
    assert panel.person is not None and panel.person.name == "ann"
    panel.people.setCurrentIndex(1)
    panel.people.activated.emit(1)
    assert panel.person.name == "bob" and "2 verdicts in" in " ".join(
        label.text() for label in panel.area.widget().findChildren(QLabel)
    )


def test_verdicts_that_cannot_be_read_are_told_with_a_way_on(panel: AgreementPanel, qtbot: Any) -> None:
    panel._failed(OSError("gone"))
    assert "Try again" in [made.text() for made in panel.area.widget().findChildren(QPushButton)]
