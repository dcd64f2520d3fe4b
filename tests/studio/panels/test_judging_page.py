"""What surrounds the verdicts: layouts, drafts, the queue, going on where one stopped, and how a sitting goes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from studio.panels.compare import ComparePanel
from studio.panels.compare.key_button import KeyButton
from studio.panels.compare.pair_view import role_spans
from studio.panels.compare.queue import PairQueue, Said, Shown
from studio.panels.compare.sitting import day_after, in_a_row, spent
from studio.panels.compare.telling import sitting_lines, verdict_line
from studio.theme import theme
from studio.theme.tokens import S6

Key = Qt.Key
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
META = {"a": {"model": "base", "title": "Base"}, "b": {"model": "tuned", "title": "Tuned"}}
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where?\n\nUser: not a turn"},
    {"role": "assistant", "content": "There."},
    {"role": "user", "content": "Why?"},
]


@pytest.fixture
def pairs(session: Any) -> list[str]:
    return [session.labels.add_pair(f"Question {n}", f"good {n}", f"bad {n}", META) for n in range(6)]


def shown(session: Any, qtbot: Any) -> ComparePanel:
    made = ComparePanel(session)
    qtbot.addWidget(made)
    made.resize(1100, 760)
    with qtbot.waitActive(made):
        made.show()
    made.on_shown()
    return made


@pytest.fixture
def panel(session: Any, pairs: list[str], qtbot: Any) -> ComparePanel:
    return shown(session, qtbot)


def current(panel: ComparePanel) -> str:
    assert panel.queue is not None and panel.queue.current is not None
    return panel.queue.current.id


# --- layouts ------------------------------------------------------------------------------------------------------


def test_answers_stand_side_by_side_stacked_or_after_their_conversation(
    panel: ComparePanel, session: Any, qtbot: Any
) -> None:
    def places() -> tuple[bool, bool]:
        """Whether answer 2 is right of answer 1, and whether the prompt is left of both."""
        qtbot.wait(20)
        left, right = (side.mapTo(panel, side.rect().topLeft()) for side in panel.pairs.view.sides)
        top = panel.pairs.view.top.mapTo(panel, panel.pairs.view.top.rect().topLeft())
        return right.x() > left.x(), top.x() < left.x()

    assert places() == (True, False)
    qtbot.keyClick(panel, Key.Key_X)
    assert places() == (False, False) and panel.tools.entries["stacked"].isChecked()
    qtbot.keyClick(panel, Key.Key_X)
    assert places() == (False, True)
    qtbot.keyClick(panel, Key.Key_X)
    assert places() == (True, False)
    assert panel.pairs.view.prompt.view.height() < 100  # the prompt is as high as its text again
    qtbot.keyClick(panel, Key.Key_X)
    assert shown(session, qtbot).pairs.view.layout_name == "stacked"  # remembered


def test_turns_are_told_apart_by_their_roles_and_what_a_turn_says_is_not_one(session: Any, qtbot: Any) -> None:
    session.labels.add_pair(TURNS, "x", "y")
    panel = shown(session, qtbot)
    pair = session.labels.next_pairs(1)[0]
    assert [pair["prompt"][a:b] for a, b in role_spans(pair["turns"])] == ["System:", "User:", "Assistant:", "User:"]
    assert panel.pairs.view.top.turns.text() == "4 turns"
    assert panel.pairs.view.prompt.text() == pair["prompt"]
    marked = [found.cursor.selectedText() for found in panel.pairs.view.prompt.view.extraSelections()]
    assert marked == ["System:", "User:", "Assistant:", "User:"]
    assert role_spans("") == role_spans("no json") == role_spans('[{"role": 1}]') == []


def test_a_short_answer_does_not_hold_a_long_one_back(session: Any, qtbot: Any) -> None:
    session.labels.add_pair("Q", "long\n" * 400, "short\n" * 60)
    panel = shown(session, qtbot)
    bars = sorted(
        (side.body.view.verticalScrollBar() for side in panel.pairs.view.sides), key=lambda bar: bar.maximum()
    )
    short, long = bars
    long.setValue(300)
    assert (long.value(), short.value()) == (300, short.maximum())
    short.setValue(3)
    assert long.value() == 3
    qtbot.keyClick(panel, Key.Key_B)
    assert long.value() > 10
    qtbot.keyClick(panel, Key.Key_PageUp)
    assert long.value() == 0 or long.value() < 10


def test_focus_leaves_nothing_but_the_answers_and_esc_ends_it(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(session.focus_asked) as asked:
        qtbot.keyClick(panel, Key.Key_T)
    assert asked.args == [True]
    assert panel.head.isHidden() and panel.head.order.isHidden() and panel.pairs.bar.more.isHidden()
    first = current(panel)
    qtbot.keyClick(panel, Key.Key_1)
    assert current(panel) != first
    with qtbot.waitSignal(session.focus_asked) as asked:
        qtbot.keyClick(panel, Key.Key_Escape)
    assert asked.args == [False] and panel.head.isVisible() and panel.pairs.bar.more.isVisible()
    panel.toggle_focus()
    panel.on_hidden()
    assert panel.head.isVisible()


def test_blanks_are_shown_on_request_and_the_text_stays(session: Any, qtbot: Any) -> None:
    session.labels.add_pair("Q\u200b", "a\u3000b", "a b\t")
    panel = shown(session, qtbot)
    qtbot.keyClick(panel, Key.Key_V)
    assert panel.pairs.view.prompt.view.toPlainText() == "Q⟨ZWSP⟩"
    assert {side.body.view.toPlainText() for side in panel.pairs.view.sides} == {"a⟨IDSP⟩b", "a b\t"}
    assert {side.body.text() for side in panel.pairs.view.sides} == {"a\u3000b", "a b\t"}
    qtbot.keyClick(panel, Key.Key_V)
    assert panel.pairs.view.prompt.view.toPlainText() == "Q\u200b"
    qtbot.keyClick(panel, Key.Key_V)
    assert shown(session, qtbot).pairs.bar.others["marks"].isChecked()


# --- verdicts -----------------------------------------------------------------------------------------------------


def test_a_slight_preference_has_its_own_key_and_words(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    qtbot.keyClick(panel, Key.Key_Q)
    assert panel.pairs.last.text().startswith("Answer 1 is slightly better")
    qtbot.keyClick(panel, Key.Key_W)
    rows = session.labels.page("comparisons")
    assert [(row["winner"] == row["left_side"], row["strength"]) for row in rows] == [(True, 1), (False, 1)]


def test_every_verdict_can_be_clicked(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    for name in ("left_much", "left_slightly", "tie", "right", "both_bad", "skip"):
        made = panel.findChild(type(panel.pairs.bar.verdicts["tie", 1]), f"verdict_{name}")
        assert made is not None and made.height() >= 44 and made.keys
        qtbot.mouseClick(made, Qt.MouseButton.LeftButton)
    assert session.labels.count("comparisons") == 6


def test_sources_are_told_after_a_verdict_or_not_at_all(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    qtbot.keyClick(panel, Key.Key_1)
    assert "Base" in panel.pairs.last.text()
    qtbot.keyClick(panel, Key.Key_R)
    assert "Base" not in panel.pairs.last.text() and not panel.pairs.bar.others["reveal"].isChecked()
    qtbot.keyClick(panel, Key.Key_1)
    assert "Base" not in panel.pairs.last.text()
    qtbot.keyClick(panel, Key.Key_R)
    assert "Base" in panel.pairs.last.text()
    qtbot.keyClick(panel, Key.Key_R)
    assert not shown(session, qtbot).pairs.bar.others["reveal"].isChecked()


def test_the_winner_of_the_last_verdict_is_edited_into_a_demonstration(
    panel: ComparePanel, session: Any, qtbot: Any
) -> None:
    qtbot.keyClick(panel, Key.Key_E, SHIFT)
    assert panel.pairs.edit.isHidden()  # nothing was judged yet
    winner = panel.pairs.view.sides[1].body.text()
    qtbot.keyClick(panel, Key.Key_2)
    qtbot.keyClick(panel, Key.Key_S)
    here = current(panel)
    qtbot.keyClick(panel, Key.Key_E, SHIFT)
    assert panel.pairs.edit.box.toPlainText() == winner
    qtbot.keyClicks(panel.pairs.edit.box, "!")
    qtbot.keyClick(panel.pairs.edit.box, Key.Key_Return, CONTROL)
    kept = session.labels.page("demonstrations")[0]
    assert (kept["prompt"], kept["completion"]) == ("Question 0", winner + "!")
    assert current(panel) == here and panel.pairs.edit.isHidden()


# --- drafts -------------------------------------------------------------------------------------------------------


def test_what_was_begun_is_there_again_after_closing(session: Any, pairs: list[str], qtbot: Any) -> None:
    panel = shown(session, qtbot)
    qtbot.keyClick(panel, Key.Key_N)
    qtbot.keyClicks(panel.pairs.note.field, "hm")
    qtbot.keyClick(panel.pairs.note.field, Key.Key_Return)
    qtbot.keyClick(panel, Key.Key_E)
    qtbot.keyClicks(panel.pairs.edit.box, " and more")
    written = panel.pairs.edit.box.toPlainText()
    panel.on_hidden()
    later = shown(session, qtbot)
    assert later.pairs.note.text() == "hm" and "hm" in later.pairs.note.shown.text()
    qtbot.keyClick(later, Key.Key_E)
    assert later.pairs.edit.box.toPlainText() == written
    assert session.labels.queue_counts(later.queue.author)["drafts"] == 1  # type: ignore[union-attr]
    qtbot.keyClick(later.pairs.edit.box, Key.Key_Return, CONTROL)
    qtbot.keyClick(later, Key.Key_1)
    assert session.labels.page("comparisons")[0]["comment"] == "hm"
    assert session.labels.queue_counts(later.queue.author)["drafts"] == 0  # type: ignore[union-attr]
    assert later.pairs.note.text() == ""


def test_a_draft_is_written_half_a_second_after_the_last_key(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    author = panel.queue.author  # type: ignore[union-attr]
    qtbot.keyClick(panel, Key.Key_N)
    qtbot.keyClicks(panel.pairs.note.field, "so")
    qtbot.waitUntil(lambda: session.labels.draft(current(panel), author) == {"note": "so"}, timeout=3000)


def test_the_editor_that_was_only_opened_leaves_no_draft(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    qtbot.keyClick(panel, Key.Key_E)
    panel.pairs.edit.begin_with(1)
    qtbot.keyClick(panel.pairs.edit.box, Key.Key_Escape)
    assert session.labels.queue_counts(panel.queue.author)["drafts"] == 0  # type: ignore[union-attr]


def test_a_note_stays_with_its_pair_when_another_is_opened(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    qtbot.keyClick(panel, Key.Key_N)
    qtbot.keyClicks(panel.pairs.note.field, "of the first")
    panel.open_pair(pairs[3])
    assert panel.pairs.note.text() == ""
    qtbot.keyClick(panel, Key.Key_1)
    assert session.labels.page("comparisons")[0]["comment"] == ""
    assert current(panel) == pairs[0] and panel.pairs.note.text() == "of the first"


# --- room and help ---------------------------------------------------------------------------------------------------


@pytest.fixture
def dressed(qapp: Any) -> Iterator[None]:
    """As the program looks: sizes come from its style sheet."""
    theme().apply("light", 1.0)
    yield
    qapp.setStyleSheet("")


@pytest.mark.parametrize("layout", ["side", "ranking", "rating"])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("size", [(856, 620), (1112, 720)])  # what a window of 1024 x 700 and of 1280 x 800 leaves
def test_no_button_is_cut_off_and_fingers_find_them(
    dressed: None, session: Any, pairs: list[str], qtbot: Any, size: tuple[int, int], columns: bool, layout: str
) -> None:
    panel = shown(session, qtbot)
    panel.beside.who.call("Ann")
    if columns:
        panel.toggle_column()
        panel.beside.rubric.asked.setChecked(True)
    panel.arrange(layout)
    panel.resize(*size)
    qtbot.wait(20)
    assert panel.size().toTuple() == size  # nothing asks for more room than there is
    for made in panel.findChildren(QPushButton):
        if made.isVisible():
            words = [made.short, made.keys] if isinstance(made, KeyButton) else [made.text()]
            needed = max(made.fontMetrics().horizontalAdvance(text) for text in words)
            assert made.width() >= needed, f"{words} has {made.width()} of {needed}"
            assert 0 < made.mapTo(panel, made.rect().center()).x() < panel.width(), words
    for made in (*panel.page.findChildren(KeyButton), *panel.page.more.findChildren(QPushButton)):
        assert not made.isVisible() or made.height() >= 44
    above = panel.page.mapTo(panel, panel.page.rect().topLeft()).y()
    assert above <= 130  # the head is calm: two rows


def test_the_form_for_new_pairs_has_the_room_to_itself(dressed: None, panel: ComparePanel, qtbot: Any) -> None:
    panel.resize(856, 620)
    qtbot.wait(20)
    assert panel.pairs.width() == 856 - 2 * S6  # all of the page, while there is no form
    panel.open_generate()
    qtbot.wait(20)
    form = panel.making.form
    assert form.height() >= form.sizeHint().height() and not panel.pairs.isVisible()
    qtbot.keyClick(form.second, Key.Key_Escape)
    assert panel.pairs.isVisible()


def test_f1_opens_the_page_about_judging(panel: ComparePanel) -> None:
    from rlhf_engine.help.pages import PAGES

    assert panel.help_topic() in PAGES


# --- the queue ----------------------------------------------------------------------------------------------------


def listed(panel: ComparePanel) -> list[str]:
    return [panel.queue_list.rows.item(n).text() for n in range(panel.queue_list.rows.count())]


def test_the_queue_lists_what_waits_and_what_was_said_and_opens_it(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    qtbot.keyClick(panel, Key.Key_A)
    qtbot.waitUntil(lambda: listed(panel) == [f"Question {n}" for n in range(6)])
    qtbot.keyClick(panel, Key.Key_1, SHIFT)
    qtbot.keyClick(panel, Key.Key_S)
    panel.queue_list.show_view("judged")
    qtbot.waitUntil(lambda: len(listed(panel)) == 1 and "Question 0" in listed(panel)[0])
    assert panel.queue_list.which.itemText(2) == "Judged  1" and panel.queue_list.which.itemText(3) == "Skipped  1"
    qtbot.mouseClick(
        panel.queue_list.rows.viewport(),
        Qt.MouseButton.LeftButton,
        pos=panel.queue_list.rows.visualItemRect(panel.queue_list.rows.item(0)).center(),
    )
    assert current(panel) == pairs[0] and panel.pairs.bar.verdicts["left", 3].isChecked()
    assert panel.queue is not None and panel.queue.tally.judged == 1
    qtbot.keyClick(panel, Key.Key_3)
    assert panel.queue.tally.judged == 1 and session.labels.tally()["tie"] == 1
    assert not panel.pairs.bar.verdicts["left", 3].isChecked()
    qtbot.keyClick(panel, Key.Key_Z)  # the second verdict is taken back, the first stands
    qtbot.keyClick(panel, Key.Key_Z)
    assert session.labels.tally()["tie"] == 0


def test_skipped_pairs_are_gone_through_one_after_the_other(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    for _ in range(3):
        qtbot.keyClick(panel, Key.Key_S)
    qtbot.keyClick(panel, Key.Key_A)
    panel.queue_list.show_view("skipped")
    qtbot.waitUntil(lambda: listed(panel) == ["»  Question 2", "»  Question 1", "»  Question 0"])
    panel.open_pair(pairs[2])  # the latest is listed first
    seen = []
    for _ in range(3):
        seen.append(current(panel))
        qtbot.keyClick(panel, Key.Key_2)
    assert seen == [pairs[2], pairs[1], pairs[0]]
    assert current(panel) == pairs[3] and session.labels.tally()["skip"] == 0
    qtbot.waitUntil(lambda: panel.queue_list.told.text() == "No pair here.")


def test_the_queue_is_searched_and_filtered_away_from_the_windows_thread(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    session.labels.judge(pairs[0], "a", source="rule")
    session.labels.judge(pairs[1], "b", comment="remarkable", author=panel.queue.author)  # type: ignore[union-attr]
    qtbot.keyClick(panel, Key.Key_A)
    panel.queue_list.search.setText("good 4")
    qtbot.waitUntil(lambda: listed(panel) == ["Question 4"])
    panel.queue_list.search.setText("nothing like it")
    qtbot.waitUntil(lambda: panel.queue_list.told.text() == "No pair is found.")
    panel.queue_list.show_view("judged")
    panel.queue_list.search.setText("remarkable")
    qtbot.waitUntil(lambda: listed(panel) == ["B  Question 1"])
    panel.queue_list.search.clear()
    panel.queue_list.source.setCurrentIndex(panel.queue_list.source.findData("rule"))
    qtbot.waitUntil(lambda: listed(panel) == ["Question 0"])  # what the rule said is told after one's own verdict


def test_what_another_annotator_said_is_seen_nowhere_before_ones_own_verdict(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    session.labels.judge(pairs[0], "a", 3, comment="remarkable", author="Zoe", seconds=2.0)
    session.labels.judge(pairs[1], "skip", author="Zoe", seconds=2.0)
    panel.asked.refresh()
    qtbot.keyClick(panel, Key.Key_A)
    rows = panel.queue_list
    rows.show_view("judged")
    qtbot.waitUntil(lambda: listed(panel) == ["Question 0"])
    rows.search.setText("remarkable")
    qtbot.waitUntil(lambda: rows.told.text() == "No pair is found.")
    rows.search.clear()
    for winner, found in (("a", []), ("b", []), ("", ["Question 0"])):
        rows.winner.setCurrentIndex(rows.winner.findData(winner))
        qtbot.waitUntil(lambda found=found: listed(panel) == found)
    panel.open_pair(pairs[0])
    assert panel.queue is not None and panel.queue.current is not None and panel.queue.current.standing is None
    assert not any(made.isChecked() for made in panel.pairs.bar.verdicts.values())
    judged = panel.queue.tally.judged
    qtbot.keyClick(panel, Key.Key_3)
    assert panel.queue.tally.judged == judged  # it had been judged, if by somebody else
    assert "Zoe" not in panel.pairs.last.text()
    qtbot.waitUntil(lambda: listed(panel) == ["≠  Question 0"])  # now one may know that both differ
    panel.open_pair(pairs[1])
    assert panel.queue.current.standing is None


def test_letters_typed_into_the_search_judge_nothing(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    qtbot.keyClick(panel, Key.Key_A)
    panel.queue_list.search.setFocus()
    qtbot.keyClicks(panel.queue_list.search, "12 sad zebras")
    assert panel.queue_list.search.text() == "12 sad zebras" and session.labels.count("comparisons") == 0


def test_one_goes_on_where_one_stopped(session: Any, pairs: list[str], qtbot: Any) -> None:
    panel = shown(session, qtbot)
    panel.open_pair(pairs[4])
    panel.on_hidden()
    later = shown(session, qtbot)
    assert current(later) == pairs[4]
    qtbot.keyClick(later, Key.Key_1)
    assert current(later) == pairs[0]


# --- how it goes --------------------------------------------------------------------------------------------------


def said(seconds: float) -> Said:
    return Said(Shown({"id": "1", "a": "x", "b": "y", "meta": "{}"}, "a"), "a", 1, seconds)


def test_time_spent_and_verdicts_in_a_row_leave_pauses_out() -> None:
    sitting = [said(10), said(600), said(5), said(5)]
    assert spent(sitting) == 10 + 60 + 5 + 5
    assert in_a_row(sitting) == 3 and in_a_row(sitting[:1]) == 1 and in_a_row([]) == 0
    assert verdict_line(sitting[0], (0, 0)) == "Answer 1 is slightly better"


def test_days_in_a_row_are_counted_once_a_day_and_begin_anew_after_a_gap() -> None:
    kept = day_after({}, date(2026, 3, 1))
    assert kept == {"day": "2026-03-01", "days": 1} == day_after(kept, date(2026, 3, 1))
    kept = day_after(kept, date(2026, 3, 2))
    assert kept == {"day": "2026-03-02", "days": 2}
    assert day_after(kept, date(2026, 3, 4)) == {"day": "2026-03-04", "days": 1}
    assert day_after({"day": "2026-03-02", "days": "odd"}, date(2026, 3, 3))["days"] == 1


def test_the_ring_fills_and_the_sitting_is_told(panel: ComparePanel, session: Any, qtbot: Any) -> None:
    for _ in range(3):
        qtbot.keyClick(panel, Key.Key_1)
    assert (panel.sources.ring.done, panel.sources.ring.total) == (3, 6)
    assert panel.queue is not None
    assert sitting_lines(panel.queue, 2).splitlines()[0].startswith("This sitting: 3 verdicts in ")
    assert sitting_lines(panel.queue, 2).splitlines()[-1] == "2 days in a row"
    assert session.recall("compare")["streak"]["days"] == 1


def test_opening_a_pair_twice_asks_it_once(session: Any, pairs: list[str]) -> None:
    queue = PairQueue(session.labels, "me", draw=lambda: 0.1)
    queue.start()
    for pair in (pairs[2], pairs[2], pairs[4]):
        told = session.labels.pair_as_judged(pair)
        assert told is not None
        queue.open(told)
    asked = []
    while queue.current is not None:
        asked.append(queue.current.id)
        queue.judge("left", 2)
    assert asked == [pairs[4], pairs[2], pairs[0], pairs[1], pairs[3], pairs[5]]
