"""The name is asked for once and can be changed; the rubric is kept with each verdict, by answer and not by side."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt

from rlhf_engine.store.judgement_meta import unpack_meta
from rlhf_engine.store.judging_settings import read_judging
from studio.annotator import account, annotator
from studio.panels.compare.panel import ComparePanel

ALT = Qt.KeyboardModifier.AltModifier


@pytest.fixture
def panel(session: Any, qtbot: Any) -> ComparePanel:
    for number in range(6):
        session.labels.add_pair(f"Q{number}", f"yes {number}", f"no {number}")
    made = ComparePanel(session)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    return made


def said(session: Any) -> list[dict[str, Any]]:
    return list(session.labels.judgements())


def test_a_name_is_asked_for_once_and_goes_with_every_verdict(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    assert not panel.beside.question.isHidden()
    assert panel.beside.question.field.text() == account() == annotator(session)
    panel.beside.question.field.setText("Ann")
    qtbot.keyClick(panel.beside.question.field, Qt.Key.Key_Return)
    assert panel.beside.question.isHidden() and read_judging(session.root).annotator == "Ann" == annotator(session)
    panel.pairs.judge("left", 2)
    panel.beside.who.call("Bob")
    panel.pairs.judge("tie", 1)
    assert [row["author"] for row in said(session)] == ["Ann", "Bob"]
    assert all(unpack_meta(row["judgement_meta"])["session"] for row in said(session))
    again = ComparePanel(session)
    qtbot.addWidget(again)
    assert again.beside.question.isHidden() and again.queue is not None and again.queue.author == "Bob"


def test_verdicts_say_how_the_pair_was_shown(panel: ComparePanel, session: Any) -> None:
    panel.pairs.judge("left", 2)
    panel.arrange("stacked")
    panel.pairs.judge("left", 2)
    layouts = [unpack_meta(row["judgement_meta"])["layout"] for row in said(session)]
    assert layouts == ["side", "stacked"]


def test_the_rubric_is_asked_for_by_keys_and_kept_by_answer(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    panel.beside.toggle()
    qtbot.keyClick(panel, Qt.Key.Key_1, ALT)
    assert panel.beside.rubric.said == {}  # not asked for
    panel.beside.rubric.asked.setChecked(True)
    panel.setFocus()
    assert panel.queue is not None and panel.queue.current is not None
    left = panel.queue.current.left
    qtbot.keyClick(panel, Qt.Key.Key_1, ALT)
    for _ in range(2):
        qtbot.keyClick(panel, Qt.Key.Key_2, ALT)
    qtbot.mouseClick(panel.beside.rubric.buttons["harmless", "right"], Qt.MouseButton.LeftButton)
    assert panel.beside.rubric.said == {"helpful": "left", "honest": "tie", "harmless": "right"}
    for _ in range(3):
        qtbot.keyClick(panel, Qt.Key.Key_1, ALT)  # equal, answer 2, unsaid
    assert "helpful" not in panel.beside.rubric.said
    panel.pairs.judge("left", 2)
    (row,) = said(session)
    right = "b" if left == "a" else "a"
    assert unpack_meta(row["judgement_meta"])["attributes"] == {"honest": "tie", "harmless": right}
    assert panel.beside.rubric.said == {}
    panel.pairs.judge("left", 2)
    assert "attributes" not in unpack_meta(said(session)[1]["judgement_meta"])


def test_attributes_can_be_ones_own(panel: ComparePanel, session: Any) -> None:
    panel.beside.rubric.asked.setChecked(True)
    panel.beside.rubric.names.setText(" kind,  to the point ,, kind")
    panel.beside.rubric.names.editingFinished.emit()
    assert read_judging(session.root).attributes == ("kind", "to the point")
    assert {name for name, _ in panel.beside.rubric.buttons} == {"kind", "to the point"}


def test_pairs_of_another_annotator_can_be_judged(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    pairs = [pair["id"] for pair in session.labels.next_pairs(2)]
    for pair in pairs:
        session.labels.judge(pair, "a", author="Zoe", seconds=2.0)
    panel.beside.read()
    qtbot.waitUntil(lambda: panel.beside.who.by.count() == 2)
    panel.beside.who.by.setCurrentIndex(1)
    panel.beside.who.by.activated.emit(1)
    assert panel.queue is not None and panel.queue.current is not None and panel.queue.current.id in pairs
    panel.pairs.judge("left", 2)
    panel.pairs.judge("left", 2)
    assert panel.queue.current is None


def test_disputes_can_be_settled(panel: ComparePanel, session: Any) -> None:
    pair = session.labels.next_pairs(1)[0]["id"]
    session.labels.judge(pair, "tie", author="Zoe", seconds=2.0)
    session.labels.judge(pair, "a", 3, author="Zoe", seconds=2.0, comment="so kind")
    session.labels.judge(pair, "b", author="Yan", seconds=2.0)
    said = panel.pairs.others_said
    assert not said.isVisible()
    panel.receive({"settle": [pair]})
    assert panel.queue is not None and panel.queue.current is not None and panel.queue.current.id == pair
    one, two = ("1", "2") if panel.queue.current.left == "a" else ("2", "1")
    assert said.isVisible()
    assert said.text() == f"Zoe: Answer {one} is much better · so kind\nYan: Answer {two} is better"
    panel.pairs.judge("tie", 1)
    assert session.labels.pair_as_judged(pair)["winner"] == "tie"
    assert not said.isVisible()  # the next one is blind again


def test_the_column_is_remembered_and_gives_way_to_focus(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    assert panel.column.isHidden()
    panel.beside.toggle()
    assert not panel.column.isHidden()
    panel.toggle_focus()
    assert panel.column.isHidden() and panel.beside.question.isHidden()
    panel.toggle_focus()
    assert not panel.column.isHidden()
    again = ComparePanel(session)
    qtbot.addWidget(again)
    assert not again.column.isHidden()


def test_guidelines_can_be_written_where_they_are_read(panel: ComparePanel, session: Any) -> None:
    from studio.panels.compare.guidelines import Guidelines

    dialog = Guidelines(session, panel)
    assert "sample project" in dialog.pane.toPlainText()
    dialog.begin()
    dialog.editor.setPlainText("# Ours\n\nBe kind.")
    dialog.keep()
    assert (session.root / "guidelines.md").read_text() == "# Ours\n\nBe kind."
    assert dialog.pane.toPlainText() == "Ours\nBe kind." and "guidelines.md" in dialog.where.text()
    dialog.begin()
    dialog.show_text()
    assert (session.root / "guidelines.md").read_text() == "# Ours\n\nBe kind."
    dialog.reject()
