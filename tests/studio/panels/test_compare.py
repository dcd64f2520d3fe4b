"""Judging: nothing moves on before it is on the disk, and whatever was said can be taken back."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from resources import starter
from rlhf_engine.contract.errors import DiskFull, StoreError
from rlhf_engine.contract.events import RunFinished, RunStarted, Stage, Text
from rlhf_engine.store.labels import Labels
from studio.panels.compare import ComparePanel
from studio.panels.compare.differences import differences
from studio.panels.compare.generating import PROJECT, Wish
from studio.panels.compare.guidelines import Guidelines
from studio.panels.compare.queue import PairQueue
from studio.panels.compare.telling import progress_line, verdict_line

Key = Qt.Key
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


def meta(a: str, b: str) -> dict[str, Any]:
    return {"a": {"model": a, "title": a.title()}, "b": {"model": b, "title": b.title()}}


@pytest.fixture
def pairs(session: Any) -> list[str]:
    """Eight pairs that wait: Question 0 with "good 0" and "bad 0", and so on."""
    return [session.labels.add_pair(f"Question {n}", f"good {n}", f"bad {n}", meta("base", "tuned")) for n in range(8)]


@pytest.fixture
def panel(session: Any, pairs: list[str], qtbot: Any) -> ComparePanel:
    return shown(session, qtbot)


def shown(session: Any, qtbot: Any) -> ComparePanel:
    made = ComparePanel(session)
    qtbot.addWidget(made)
    made.resize(1100, 760)
    with qtbot.waitActive(made):
        made.show()
    made.on_shown()
    return made


def current(panel: ComparePanel) -> str:
    assert panel.queue is not None and panel.queue.current is not None
    return panel.queue.current.id


def standing(session: Any) -> dict[str, tuple[str, int]]:
    found = session.labels.page("comparisons", limit=1000)
    return {row["pair_id"]: (row["winner"], row["strength"]) for row in found}


def on_screen(panel: ComparePanel) -> tuple[str, str, str]:
    sides = panel.pairs.view.sides
    return panel.pairs.view.prompt.text(), sides[0].body.text(), sides[1].body.text()


# --- judging ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "modifier", "side", "strength"),
    [
        (Key.Key_1, None, "left", 2),
        (Key.Key_Left, None, "left", 2),
        (Key.Key_2, None, "right", 2),
        (Key.Key_Right, None, "right", 2),
        (Key.Key_1, SHIFT, "left", 3),
        (Key.Key_2, SHIFT, "right", 3),
        (Key.Key_3, None, "tie", 1),
        (Key.Key_Down, None, "tie", 1),
        (Key.Key_4, None, "both_bad", 2),
        (Key.Key_S, None, "skip", 2),
    ],
)
def test_one_key_judges_what_is_seen_and_shows_the_next_pair(
    panel: ComparePanel, session: Any, qtbot: Any, key: Any, modifier: Any, side: str, strength: int
) -> None:
    first = current(panel)
    _, left, right = on_screen(panel)
    qtbot.keyClick(panel, key, modifier or Qt.KeyboardModifier.NoModifier)
    winner, said = standing(session)[first]
    pair = session.labels.get("pairs", first)
    if side in ("left", "right"):
        assert pair[winner] == (left if side == "left" else right)
    else:
        assert winner == side
    assert said == strength
    assert current(panel) != first and on_screen(panel)[0] == "Question 1"


def test_keys_work_while_the_text_of_an_answer_has_the_focus(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    for key in (Key.Key_1, Key.Key_Right, Key.Key_Down, Key.Key_S):
        before = current(panel)
        panel.pairs.view.sides[0].body.view.setFocus()
        qtbot.keyClick(panel.pairs.view.sides[0].body.view, key)
        assert current(panel) != before
    assert len(standing(session)) == 4


def test_letters_typed_into_the_note_judge_nothing_and_the_note_goes_with_the_verdict(
    panel: ComparePanel, session: Any, qtbot: Any
) -> None:
    first = current(panel)
    qtbot.keyClick(panel, Key.Key_N)
    assert QApplication.focusWidget() is panel.pairs.note.field
    qtbot.keyClicks(panel.pairs.note.field, "1 is so funny, 2 sad")
    qtbot.keyClick(panel.pairs.note.field, Key.Key_Return)
    assert current(panel) == first and standing(session) == {}
    qtbot.keyClick(panel, Key.Key_1)
    assert session.labels.page("comparisons")[0]["comment"] == "1 is so funny, 2 sad"
    qtbot.keyClick(panel, Key.Key_1)
    assert session.labels.page("comparisons")[1]["comment"] == ""


def test_sides_are_drawn_and_the_side_is_kept_with_the_judgement(session: Any, pairs: list[str]) -> None:
    draws = iter([0.1, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9])
    queue = PairQueue(session.labels, "me", draw=lambda: next(draws))
    queue.start()
    for _ in range(3):
        queue.judge("left", 2)
    rows = session.labels.page("comparisons")
    assert [(row["left_side"], row["winner"], row["author"]) for row in rows] == [
        ("a", "a", "me"),
        ("b", "b", "me"),
        ("a", "a", "me"),
    ]


def test_both_sides_come_up_about_equally_often(session: Any) -> None:
    session.labels.add_many("pairs", [{"prompt": f"Q{n}", "a": "x", "b": "y"} for n in range(400)])
    queue = PairQueue(session.labels)
    queue.start()
    left = 0
    while queue.current is not None:
        left += queue.current.left == "a"
        queue.advance()
        if queue.current is None:
            break
        queue.labels.judge(queue.current.id, "tie", 1)
    assert 60 <= left <= 340 - 60


def test_keys_choose_in_an_open_form_and_judge_again_when_it_is_closed(
    panel: ComparePanel, session: Any, qtbot: Any
) -> None:
    panel.open_generate()
    for key in (Key.Key_Down, Key.Key_S, Key.Key_1):
        qtbot.keyClick(panel.making.form.second, key)
    assert standing(session) == {}
    qtbot.keyClick(panel.making.form.second, Key.Key_Escape)
    assert panel.making.form.isHidden()
    qtbot.keyClick(panel, Key.Key_1)
    assert len(standing(session)) == 1


def test_marked_differences_are_remembered(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    qtbot.keyClick(panel, Key.Key_D)
    assert any(side.marked() for side in shown(session, qtbot).pairs.view.sides)


# --- what is written before what is shown ---------------------------------------------------------------------------


def test_a_verdict_that_cannot_be_written_stays_with_its_pair_and_is_not_lost(
    panel: ComparePanel, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    qtbot.keyClick(panel, Key.Key_1)
    first, before = current(panel), on_screen(panel)
    real = session.labels.judge

    def full(*_: Any, **__: Any) -> str:
        raise DiskFull("The disk is full.", "Free some room.")

    monkeypatch.setattr(session.labels, "judge", full)
    qtbot.keyClick(panel, Key.Key_2, SHIFT)
    assert (current(panel), on_screen(panel)) == (first, before)
    assert (
        not panel.pairs.failure.isHidden() and "The disk is full. Free some room." in panel.pairs.failure.cause.text()
    )
    assert panel.pairs.bar.verdicts["right", 3].isChecked()
    assert len(standing(session)) == 1
    monkeypatch.setattr(session.labels, "judge", real)
    panel.pairs.failure.retry.click()
    assert panel.pairs.failure.isHidden() and not panel.pairs.bar.verdicts["right", 3].isChecked()
    assert current(panel) != first and standing(session)[first][1] == 3


def test_the_verdict_is_on_the_disk_before_the_next_pair_is_shown(
    panel: ComparePanel, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = panel.pairs.view.show_pair

    def look(pair: Any) -> None:
        other = Labels(session.root / "labels.db", write=False)
        seen.append(other.count("comparisons"))
        other.close()
        real(pair)

    monkeypatch.setattr(panel.pairs.view, "show_pair", look)
    for key in (Key.Key_1, Key.Key_2, Key.Key_3):
        qtbot.keyClick(panel, key)
    assert seen == [1, 2, 3]


def test_any_number_of_verdicts_can_be_undone_and_their_pairs_come_back_as_they_were(
    panel: ComparePanel, session: Any, qtbot: Any
) -> None:
    screens = []
    for key in (Key.Key_1, Key.Key_S, Key.Key_2, Key.Key_3, Key.Key_4):
        screens.append(on_screen(panel))
        qtbot.keyClick(panel, key)
    for number, screen in enumerate(reversed(screens)):
        key, modifier = ((Key.Key_Backspace, Qt.KeyboardModifier.NoModifier), (Key.Key_Z, CONTROL))[number % 2]
        qtbot.keyClick(panel, key, modifier)
        assert on_screen(panel) == screen
    assert standing(session) == {}
    assert panel.queue is not None and (panel.queue.tally.judged, panel.queue.tally.skipped) == (0, 0)
    qtbot.keyClick(panel, Key.Key_Backspace)  # nothing left to undo
    assert on_screen(panel) == screens[0]


def test_verdicts_of_an_earlier_sitting_can_be_undone_too(session: Any, pairs: list[str], qtbot: Any) -> None:
    panel = shown(session, qtbot)
    qtbot.keyClick(panel, Key.Key_1)
    screen = (session.labels.get("pairs", pairs[0])["prompt"], standing(session))
    later = shown(session, qtbot)
    assert current(later) == pairs[1]
    qtbot.keyClick(later, Key.Key_Backspace)
    assert (current(later), standing(session)) == (pairs[0], {}) and screen[0] == "Question 0"


def test_all_pairs_are_asked_once_and_then_it_says_so(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    asked = []
    for _ in range(8):
        asked.append(current(panel))
        qtbot.keyClick(panel, Key.Key_1)
    assert len(set(asked)) == 8
    assert "All 8 pairs are judged." in panel._stack.currentWidget().sentence.text()  # type: ignore[union-attr, attr-defined]
    qtbot.keyClick(panel, Key.Key_1)  # nothing more to judge
    assert len(standing(session)) == 8
    qtbot.keyClick(panel, Key.Key_Backspace)
    assert current(panel) == asked[-1] and panel._stack.currentWidget() is panel.pairs


def test_progress_counts_and_others_hear_of_it_in_one_go(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    heard: list[Any] = []
    session.labels_changed.connect(heard.append)
    for key in (Key.Key_1, Key.Key_2, Key.Key_S):
        qtbot.keyClick(panel, key)
    assert panel.sources.progress.text().startswith("2 of 8 judged · 1 skipped")
    qtbot.waitUntil(lambda: len(heard) == 1)
    qtbot.wait(50)
    assert len(heard) == 1


def test_pace_and_time_left_leave_out_that_somebody_was_away(session: Any, pairs: list[str]) -> None:
    now = [0.0]
    queue = PairQueue(session.labels, clock=lambda: now[0])
    queue.start()
    for seconds in (10, 20, 600):  # the last one counts as a minute: 90 s for three
        now[0] += seconds
        queue.judge("left", 2)
    assert queue.per_minute == pytest.approx(2.0)
    assert queue.seconds_left == pytest.approx(150.0)  # five left
    assert progress_line(queue) == "3 of 8 judged · 2.0 a minute · 2 min 30 s left"
    assert [row["seconds"] for row in session.labels.page("comparisons")] == [10, 20, 600]


# --- what is hidden and when it is told ---------------------------------------------------------------------------


def test_sources_are_told_only_after_judging(panel: ComparePanel, qtbot: Any) -> None:
    from studio.widgets import PlainLabel

    def words() -> str:
        return " ".join(label.text() for label in panel.findChildren(PlainLabel))

    assert "Tuned" not in words() and "Base" not in words()
    assert panel.queue is not None and panel.queue.current is not None
    left = panel.queue.current.left
    qtbot.keyClick(panel, Key.Key_1)
    names = ("Base", "Tuned") if left == "a" else ("Tuned", "Base")
    assert panel.pairs.last.text() == f"Answer 1 is better · 1: {names[0]}, 2: {names[1]}"


def test_pairs_a_rule_has_judged_can_be_judged_again_and_the_agreement_is_told(session: Any, qtbot: Any) -> None:
    rows = [{"prompt": f"Q{n}", "a": f"yes {n}", "b": f"no {n}", "winner": "a", "strength": 3} for n in range(3)]
    session.labels.add_many("comparisons", rows, source="rule")
    panel = shown(session, qtbot)
    assert "All 3 pairs are judged." in panel._stack.currentWidget().sentence.text()  # type: ignore[union-attr, attr-defined]
    panel.sources.again.setChecked(True)
    assert "rule" not in panel.pairs.last.text()
    for wanted in ("a", "b"):
        assert panel.queue is not None and panel.queue.current is not None
        side = Key.Key_1 if panel.queue.current.left == wanted else Key.Key_2
        qtbot.keyClick(panel, side)
    assert panel.pairs.last.text().endswith("The rule says otherwise (50% · 1/2)")
    said = session.labels.page("comparisons", limit=10)
    assert [(row["source"], row["winner"]) for row in said] == [("rule", "a"), ("human", "a"), ("human", "b")]
    assert session.labels.judged_by_people() == {"": 1, "a": 1, "b": 1, "tie": 0, "both_bad": 0, "skip": 0}
    qtbot.keyClick(panel, Key.Key_Backspace)
    qtbot.keyClick(panel, Key.Key_Backspace)
    assert [row["source"] for row in session.labels.page("comparisons", limit=10)] == ["rule"] * 3
    assert panel.queue is not None and panel.queue.agreement == (0, 0)


def test_differences_mark_words_and_leave_the_text_alone(session: Any, qtbot: Any) -> None:
    session.labels.add_pair("Q", "The 🦩 is in the small box.", "The 🦩 is in a very big box.")
    panel = shown(session, qtbot)
    before = on_screen(panel)
    qtbot.keyClick(panel, Key.Key_D)
    marked = {side.body.text(): side.marked() for side in panel.pairs.view.sides}
    assert marked["The 🦩 is in the small box."] == ["the small"]
    assert marked["The 🦩 is in a very big box."] == ["a very big"]
    assert on_screen(panel) == before
    assert [side.body.view.toPlainText() for side in panel.pairs.view.sides] == list(before[1:])
    qtbot.keyClick(panel, Key.Key_D)
    assert all(side.marked() == [] for side in panel.pairs.view.sides)


def test_differences_of_long_repetitive_texts_take_no_time() -> None:
    left, right = "the cat sat on the mat " * 120, "the dog sat on the mat " * 120
    begin = time.perf_counter()
    ours, theirs = differences(left, right)
    print(f"differences of 2 x 720 words: {1000 * (time.perf_counter() - begin):.1f} ms")  # noqa: T201
    assert {left[start:end] for start, end in ours} == {"cat"}
    assert {right[start:end] for start, end in theirs} == {"dog"}


def test_answers_are_scrolled_together(session: Any, qtbot: Any) -> None:
    session.labels.add_pair("Q", "long\n" * 300, "longer\n" * 400)
    panel = shown(session, qtbot)
    left, right = (side.body.view.verticalScrollBar() for side in panel.pairs.view.sides)
    left.setValue(50)
    assert right.value() == 50
    right.setValue(7)
    assert left.value() == 7


def test_text_of_an_answer_is_never_taken_for_markup(session: Any, qtbot: Any) -> None:
    session.labels.add_pair("<b>Q</b>", "<img src=file:///etc/passwd>", "&lt;i&gt;")
    panel = shown(session, qtbot)
    assert set(on_screen(panel)) == {"<b>Q</b>", "<img src=file:///etc/passwd>", "&lt;i&gt;"}
    shown_texts = {side.body.view.toPlainText() for side in panel.pairs.view.sides}
    assert shown_texts == {"<img src=file:///etc/passwd>", "&lt;i&gt;"}


# --- what else can be done with a pair ----------------------------------------------------------------------------


def test_a_flag_is_put_and_taken_away(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    pair = current(panel)
    qtbot.keyClick(panel, Key.Key_F)
    assert session.labels.get("pairs", pair)["flagged"] == 1 and not panel.pairs.view.flag.isHidden()
    qtbot.keyClick(panel, Key.Key_F)
    assert session.labels.get("pairs", pair)["flagged"] == 0 and panel.pairs.view.flag.isHidden()


def test_an_edited_answer_becomes_a_demonstration_and_the_pair_still_waits(
    panel: ComparePanel, session: Any, qtbot: Any
) -> None:
    pair = current(panel)
    qtbot.keyClick(panel, Key.Key_E)
    qtbot.keyClicks(panel.pairs.edit.box, " 1 2 better")
    qtbot.keyClick(panel.pairs.edit.box, Key.Key_Return, CONTROL)
    kept = session.labels.page("demonstrations")[0]
    assert (kept["prompt"], kept["completion"]) == ("Question 0", f"{on_screen(panel)[1]} 1 2 better")
    assert kept["source"] == "human"
    assert current(panel) == pair and panel.pairs.edit.isHidden() and standing(session) == {}


def test_esc_closes_the_editor_and_the_keys_judge_again(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    qtbot.keyClick(panel, Key.Key_E)
    assert panel.pairs.edit.isVisible() and panel.pairs.edit.box.hasFocus()
    qtbot.keyClick(panel.pairs.edit.box, Key.Key_Escape)
    assert panel.pairs.edit.isHidden()
    pair = current(panel)
    qtbot.keyClick(panel, Key.Key_3)
    assert standing(session) == {pair: ("tie", 1)}


def test_an_answer_that_is_being_written_survives_the_end_of_generating(panel: ComparePanel, qtbot: Any) -> None:
    panel.making.make(Wish("starter", "", PROJECT, 1, 1.0, 8, 0))
    panel.pairs.writing.open_edit()
    panel.pairs.edit.box.setPlainText("what I would rather read")
    panel.making._made(None)
    assert panel.pairs.edit.isVisible() and panel.pairs.edit.box.toPlainText() == "what I would rather read"


def test_guidelines_are_shown_as_text_beside_the_answers(panel: ComparePanel, qtbot: Any, session: Any) -> None:
    (session.root / "guidelines.md").write_text("# Prefer <b>kind</b> answers", encoding="utf-8")
    here = current(panel)
    qtbot.keyClick(panel, Key.Key_H)
    pane = panel.beside.guidelines.pane
    assert pane.isVisible() and pane.toPlainText() == "Prefer <b>kind</b> answers"
    qtbot.keyClick(panel, Key.Key_1)  # they are read while one judges
    assert pane.isVisible() and current(panel) != here
    qtbot.keyClick(panel, Key.Key_H)
    assert not pane.isVisible() and panel.column.isHidden()
    panel.toggle_column()
    for _ in range(2):
        qtbot.keyClick(panel, Key.Key_H)
    assert not pane.isVisible() and panel.column.isVisible()  # the column was there before


def test_guidelines_are_written_in_a_window_and_shown_over_the_answers_in_focus(
    panel: ComparePanel, qtbot: Any, session: Any
) -> None:
    qtbot.keyClick(panel, Key.Key_H)
    panel.beside.guidelines.edit.click()
    (dialog,) = panel.findChildren(Guidelines)
    dialog.editor.setPlainText("# Ours")
    dialog.keep()
    dialog.accept()
    assert panel.beside.guidelines.pane.toPlainText() == "Ours"
    panel.toggle_focus()
    panel.show_guidelines()
    shown = [found for found in panel.findChildren(Guidelines) if found.isVisible()]
    assert len(shown) == 1 and shown[0].pane.toPlainText() == "Ours"
    shown[0].accept()


def test_a_project_without_pairs_says_how_to_get_some(session: Any, qtbot: Any) -> None:
    panel = shown(session, qtbot)
    state: Any = panel._stack.currentWidget()
    assert "Nothing to judge yet" in state.sentence.text()
    with qtbot.waitSignal(session.panel_requested) as asked:
        state.secondary[0].click()
    assert asked.args == ["data", {"kind": "comparisons"}]
    session.announce(_add_pair(session))
    assert current(panel)


def _add_pair(session: Any) -> Any:
    session.labels.add_pair("New", "one", "two")
    return session.labels.last_change


def test_without_a_project_it_leads_to_home(empty_session: Any, qtbot: Any, tmp_path: Path) -> None:
    panel = ComparePanel(empty_session)
    qtbot.addWidget(panel)
    assert "Open a project" in panel._stack.currentWidget().sentence.text()  # type: ignore[union-attr, attr-defined]
    empty_session.create_project(tmp_path / "p")
    assert "Nothing to judge yet" in panel._stack.currentWidget().sentence.text()  # type: ignore[union-attr, attr-defined]


def test_pairs_added_elsewhere_join_the_queue_and_the_pair_on_screen_stays(
    panel: ComparePanel, session: Any, qtbot: Any
) -> None:
    qtbot.keyClick(panel, Key.Key_1)
    before = on_screen(panel)
    session.announce(_add_pair(session))
    assert on_screen(panel) == before
    assert panel.sources.progress.text().startswith("1 of 9 judged")


# --- making pairs -------------------------------------------------------------------------------------------------


WISH = Wish("starter", "", PROJECT, 3, 0.8, 32, 1)


def say_answers(session: Any, run: str, texts: dict[int, str]) -> None:
    for number, text in texts.items():
        session.quiet.say(run, Text(number, text[:2]))
        session.quiet.say(run, Text(number, text[2:], (), "eos"))


def test_generated_pairs_come_in_while_judging(session: Any, qtbot: Any) -> None:
    for n in range(3):
        session.labels.add_prompt(f"Prompt {n}")
    panel = shown(session, qtbot)
    panel.making.make(WISH)
    qtbot.waitUntil(lambda: bool(session.quiet.submitted))
    run, spec, _ = session.quiet.submitted[0]
    assert (spec.models, spec.samples, spec.temperature, spec.seed) == (("starter",), 2, 0.8, 1)
    assert sorted(spec.prompts) == ["Prompt 0", "Prompt 1", "Prompt 2"]
    session.quiet.say(run, RunStarted("generate", 6))
    session.quiet.say(run, Stage("Writing", 0, 6))
    say_answers(session, run, {0: "first", 1: "second", 2: "third"})
    qtbot.waitUntil(lambda: session.labels.count("pairs") == 1)
    assert set(on_screen(panel)) == {spec.prompts[0], "first", "second"}
    qtbot.keyClick(panel, Key.Key_1)
    say_answers(session, run, {3: "fourth", 4: "same", 5: "same "})
    with qtbot.waitSignal(session.toasted) as toast:
        session.quiet.say(run, RunFinished("completed"))
    assert toast.args[1] == "2 pairs to judge. 1 left out: the same answer twice."
    pair = session.labels.next_pairs(1)[0]
    assert (pair["prompt"], pair["a"], pair["b"], pair["source"]) == (spec.prompts[1], "third", "fourth", "model")
    assert json.loads(pair["meta"])["a"]["model"] == "starter"
    assert panel.making.bar.isHidden() and panel.making.maker is None


def test_two_models_answer_the_same_prompts(session: Any, qtbot: Any) -> None:
    for n in range(2):
        session.labels.add_prompt(f"Prompt {n}")
    panel = shown(session, qtbot)
    panel.making.make(Wish("starter", "owner/other", PROJECT, 2, 1.0, 32, 0))
    qtbot.waitUntil(lambda: bool(session.quiet.submitted))
    run, spec, _ = session.quiet.submitted[0]
    assert (spec.models, spec.samples) == (("starter", "owner/other"), 1)
    say_answers(session, run, {0: "A0", 1: "A1", 3: "B1", 2: "B0"})
    qtbot.waitUntil(lambda: session.labels.count("pairs") == 2)
    found = {row["prompt"]: (row["a"], row["b"]) for row in session.labels.next_pairs(5)}
    assert found == {spec.prompts[0]: ("A0", "B0"), spec.prompts[1]: ("A1", "B1")}
    session.quiet.say(run, RunFinished("completed"))
    qtbot.waitUntil(lambda: panel.making.maker is None)


def test_a_failing_generation_is_told_where_it_was_asked_for(session: Any, qtbot: Any) -> None:
    session.labels.add_prompt("Prompt")
    panel = shown(session, qtbot)
    panel.making.make(WISH)
    qtbot.waitUntil(lambda: bool(session.quiet.submitted))
    session.quiet.say(session.quiet.submitted[0][0], RunFinished("failed", "There is no folder x.", "Choose another."))
    qtbot.waitUntil(lambda: panel.making.form.problem.text() == "There is no folder x. Choose another.")
    assert not panel.making.form.isHidden()


def test_without_prompts_it_says_so(session: Any, qtbot: Any) -> None:
    panel = shown(session, qtbot)
    panel.making.make(WISH)
    qtbot.waitUntil(lambda: "There are no prompts to answer." in panel.making.form.problem.text())
    assert session.quiet.submitted == []


def test_temperature_zero_and_one_model_would_say_the_same_twice(session: Any, qtbot: Any) -> None:
    session.labels.add_prompt("Prompt")
    panel = shown(session, qtbot)
    panel.open_generate()
    panel.making.form._sampling.set_values({"temperature": 0.0})
    panel.making.form.go.click()
    assert "temperature 0" in panel.making.form.problem.text() and panel.making.maker is None


def test_a_pair_that_cannot_be_written_stops_the_making_with_a_sentence(
    session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.labels.add_prompt("Prompt")
    panel = shown(session, qtbot)
    panel.making.make(WISH)
    qtbot.waitUntil(lambda: bool(session.quiet.submitted))
    run = session.quiet.submitted[0][0]

    def refuse(*_: Any, **__: Any) -> str:
        raise StoreError("The disk is gone.")

    monkeypatch.setattr(session.labels, "add_pair", refuse)
    say_answers(session, run, {0: "first", 1: "second"})
    qtbot.waitUntil(lambda: "The disk is gone." in panel.making.form.problem.text())
    assert session.quiet.control(run).thrown == ["cancel"]


def test_how_long_a_key_takes_to_the_next_pair(
    studio_home: Path, empty_session: Any, tmp_path: Path, qtbot: Any
) -> None:
    empty_session.create_project(tmp_path / "p")
    text = "A word that is part of an answer of usual length. " * 30
    rows = [{"prompt": f"Question {n}", "a": f"{n} {text}", "b": f"{text} {n}"} for n in range(120)]
    empty_session.labels.add_many("pairs", rows)
    panel = shown(empty_session, qtbot)
    panel.pairs.toggle_differences()
    times = []
    for _ in range(100):
        begin = time.perf_counter()
        qtbot.keyClick(panel, Key.Key_1)
        panel.repaint()
        times.append(1000 * (time.perf_counter() - begin))
        QApplication.processEvents()
    times.sort()
    print(f"key to next pair: median {times[50]:.1f} ms, p95 {times[95]:.1f} ms, worst {times[-1]:.1f} ms")  # noqa: T201
    assert len(list(empty_session.labels.judgements())) == 100  # some of them came back


def test_the_words_of_a_verdict() -> None:
    from studio.panels.compare.queue import Said, Shown

    pair = {"id": "1", "a": "x", "b": "y", "meta": "{}", "said": "b", "said_source": "rule"}
    assert verdict_line(Said(Shown(pair, "b"), "b", 3, 1.0), (1, 1)) == (
        "Answer 1 is much better · The rule says the same (100% · 1/1)"
    )
    assert verdict_line(Said(Shown(pair, "b"), "skip", 2, 1.0), (1, 1)) == "Skipped"


@pytest.mark.skipif(not (starter.MODEL / "model.safetensors").is_file(), reason="the starter model is not built")
def test_the_starter_model_makes_pairs(studio_home: Path, tmp_path: Path, qtbot: Any) -> None:
    from rlhf_engine.launch.thread_engine import ThreadEngine
    from studio.session import Session
    from studio.settings import Settings

    session = Session(Settings(device="cpu"), lambda root, publish, _: ThreadEngine(root, publish))
    session.create_project(tmp_path / "p", "Real")
    for name in ("Mara", "Greta", "Nils"):
        session.labels.add_prompt(f"Where does {name} live?")
    panel = ComparePanel(session)
    qtbot.addWidget(panel)
    panel.making.make(Wish("starter", "", PROJECT, 3, 1.0, 16, 0))
    qtbot.waitUntil(lambda: panel.making.maker is None, timeout=120_000)
    assert session.labels.count("pairs") >= 1 and panel.making.form.problem.text() == ""
    session.close()
    session.deleteLater()
