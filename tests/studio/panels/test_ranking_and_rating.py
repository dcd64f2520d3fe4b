"""Several answers are ranked by keys or by dragging, single ones rated by a key; nothing moves on before it is kept."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from PySide6.QtCore import Qt

from rlhf_engine.contract.errors import DiskFull
from rlhf_engine.judging.report import fairness_of
from rlhf_engine.store.judging_settings import JudgingSettings
from studio.panels.compare import ComparePanel
from studio.panels.compare.keys import MEMORY
from studio.panels.compare.mixing import Mixing
from studio.panels.compare.rank_list import places_of
from studio.panels.compare.ranking_queue import Group, RankingQueue
from studio.panels.compare.rating_queue import RatingQueue

Key = Qt.Key
SHIFT, ALT = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier


def shown(session: Any, qtbot: Any, layout: str) -> ComparePanel:
    made = ComparePanel(session)
    qtbot.addWidget(made)
    made.resize(1100, 760)
    with qtbot.waitActive(made):
        made.show()
    made.on_shown()
    made.arrange(layout)
    return made


@pytest.fixture
def several(session: Any) -> None:
    """Three answers to one prompt in two pairs, and a pair of another prompt."""
    source = {side: {"model": side} for side in "ab"}
    session.labels.add_pair("Which?", "one", "two", source)
    session.labels.add_pair("Which?", "two", "three", source)
    session.labels.add_pair("What?", "this", "that", source)


def standing(session: Any) -> set[tuple[str, str]]:
    """(better, worse) of all pairs, ties left out."""
    rows = session.labels.page("comparisons", limit=99)
    return {(row[row["winner"]], row["b" if row["winner"] == "a" else "a"]) for row in rows if row["winner"] in "ab"}


def order(panel: ComparePanel) -> list[str]:
    return [card.body.text() for card in panel.ranking.cards if not card.isHidden()]


# --- ranking ------------------------------------------------------------------------------------------------------


def test_number_keys_rank_from_best_to_worst_and_every_pair_follows(several: None, session: Any, qtbot: Any) -> None:
    panel = shown(session, qtbot, "ranking")
    answers = order(panel)
    assert sorted(answers) == ["one", "three", "two"]
    qtbot.keyClick(panel.ranking, Key.Key_3)
    assert not panel.ranking.save_button.isEnabled()
    qtbot.keyClick(panel.ranking, Key.Key_Return)
    assert standing(session) == set()  # two have no place yet
    assert "Give every answer a place first." in panel.ranking.problem.text()
    qtbot.keyClick(panel.ranking, Key.Key_1)
    assert panel.ranking.cards[2].name.text() == "Answer 3: 1"
    qtbot.keyClick(panel.ranking, Key.Key_Return)
    best, middle, worst = answers[2], answers[0], answers[1]
    assert standing(session) == {(best, middle), (best, worst), (middle, worst)}
    assert session.labels.count("pairs") == 4
    rows = session.labels.page("comparisons", limit=9)
    assert {json.loads(row["judgement_meta"])["layout"] for row in rows} == {"ranking"}
    assert sorted(order(panel)) == ["that", "this"]


def test_answers_tie_lose_their_place_again_and_a_ranking_is_undone_as_one(
    several: None, session: Any, qtbot: Any
) -> None:
    panel = shown(session, qtbot, "ranking")
    for key, modifier in ((Key.Key_2, None), (Key.Key_1, SHIFT), (Key.Key_2, None), (Key.Key_Backspace, None)):
        qtbot.keyClick(panel.ranking, key, modifier or Qt.KeyboardModifier.NoModifier)
    group = panel.ranking.queue.current  # type: ignore[union-attr]
    assert group is not None and group.ranked == []
    qtbot.keyClick(panel.ranking, Key.Key_1)
    qtbot.keyClick(panel.ranking, Key.Key_2, SHIFT)
    assert group.ranked == [[0, 1]]
    answers = order(panel)
    qtbot.keyClick(panel.ranking, Key.Key_Return)
    assert standing(session) == {(answers[0], answers[2]), (answers[1], answers[2])}
    assert session.labels.tally()["tie"] == 1
    qtbot.keyClick(panel.ranking, Key.Key_Z)
    assert standing(session) == set() and sorted(order(panel)) == ["one", "three", "two"]
    qtbot.keyClick(panel.ranking, Key.Key_Z)  # nothing left
    assert session.labels.tally()["tie"] == 0


def test_the_list_is_dragged_into_order(several: None, session: Any, qtbot: Any) -> None:
    panel = shown(session, qtbot, "ranking")
    answers = order(panel)
    rows = panel.ranking.list
    rows.insertItem(0, rows.takeItem(2))  # what a drop does
    rows.say_order()
    group = panel.ranking.queue.current  # type: ignore[union-attr]
    assert group is not None and group.ranked == [[2], [0], [1]]
    qtbot.keyClick(panel.ranking, Key.Key_Enter)
    assert standing(session) == {(answers[2], answers[0]), (answers[2], answers[1]), (answers[0], answers[1])}


def test_a_ranking_that_cannot_be_written_stays(
    several: None, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = shown(session, qtbot, "ranking")
    answers = order(panel)

    def full(*_: Any, **__: Any) -> str:
        raise DiskFull("The disk is full.")

    monkeypatch.setattr(session.labels, "rank", full)
    for key in (Key.Key_1, Key.Key_2, Key.Key_Return):
        qtbot.keyClick(panel.ranking, key)
    assert order(panel) == answers and "The disk is full." in panel.ranking.failure.cause.text()
    assert panel.ranking.queue.current.ranked == [[0], [1]]  # type: ignore[union-attr]


def test_a_skipped_group_waits_and_the_next_comes(several: None, session: Any, qtbot: Any) -> None:
    panel = shown(session, qtbot, "ranking")
    qtbot.keyClick(panel.ranking, Key.Key_S)
    assert sorted(order(panel)) == ["that", "this"]
    qtbot.keyClick(panel.ranking, Key.Key_S)
    assert panel.ranking._stack.currentWidget() is panel.ranking.nothing
    assert session.labels.tally()[""] == 3


def test_places_are_worked_out_from_what_was_picked() -> None:
    group = Group({}, ["p", "q", "r", "s"], {}, [])
    assert group.places() is None and not group.take_back()
    for number, tie in ((2, False), (0, False), (3, True)):
        group.pick(number, tie)
    assert group.ranked == [[2], [0, 3]] and group.left == [1]
    assert group.places() == [2, 3, 1, 2]  # the one left alone is the last
    group.pick(0)
    assert group.ranked == [[2], [3]] and group.places() is None


def test_places_are_told_as_in_sports() -> None:
    group = Group({}, ["p", "q", "r", "s"], {}, [])
    for number, tie in ((3, False), (0, False), (2, True), (1, False)):
        group.pick(number, tie)
    assert places_of(group) == {3: "1", 0: "2=", 2: "2=", 1: "4"}


def test_at_most_nine_answers_are_asked_at_once_and_the_same_answer_once(session: Any) -> None:
    for number in range(12):
        session.labels.add_pair("Q", f"answer {number}", f"answer {number + 1} ")
    queue = RankingQueue(session.labels, "me", shuffle=lambda _: None)
    queue.start()
    assert queue.current is not None and len(queue.current.answers) == 9 and len(queue.current.known) == 8
    queue.current.order(list(range(9)))
    queue.save()
    assert queue.current is not None and len(queue.current.answers) == 5
    assert session.labels.check().healthy


# --- rating -------------------------------------------------------------------------------------------------------


def rated(session: Any) -> list[tuple[str, bool, int]]:
    rows = session.labels.page("ratings", limit=99)
    return [(row["completion"], bool(row["liked"]), json.loads(row["meta"]).get("score", 0)) for row in rows]


def test_thumbs_rate_one_answer_at_a_time_each_once(several: None, session: Any, qtbot: Any) -> None:
    panel = shown(session, qtbot, "rating")
    seen = []
    for key in (Key.Key_2, Key.Key_1, Key.Key_Right, Key.Key_Left, Key.Key_5, Key.Key_S):
        seen.append(panel.rating.answer.body.text())
        qtbot.keyClick(panel.rating, key)
    assert rated(session) == [(seen[0], True, 0), (seen[1], False, 0), (seen[2], True, 0), (seen[3], False, 0)]
    assert seen[4] == seen[5]  # 5 is no thumb
    qtbot.keyClick(panel.rating, Key.Key_2)
    assert panel.rating._stack.currentWidget() is panel.rating.nothing
    assert session.labels.count("comparisons") == 0
    again = shown(session, qtbot, "rating")  # what was skipped comes again
    assert again.rating.answer.body.text() == seen[5]


def test_scores_of_one_to_five_are_kept_with_the_side_they_count_for(several: None, session: Any, qtbot: Any) -> None:
    panel = shown(session, qtbot, "rating")
    panel.rating.scale.setCurrentIndex(1)
    for key in (Key.Key_1, Key.Key_3, Key.Key_4, Key.Key_5):
        qtbot.keyClick(panel.rating, key)
    assert [(liked, score) for _, liked, score in rated(session)] == [(False, 1), (False, 3), (True, 4), (True, 5)]
    assert "4 and 5 count as liked" in panel.rating.told.text()
    assert shown(session, qtbot, "rating").rating.scale.currentData() == "five"


def test_ratings_are_taken_back_one_after_the_other(several: None, session: Any, qtbot: Any) -> None:
    panel = shown(session, qtbot, "rating")
    seen = []
    for _ in range(3):
        seen.append(panel.rating.answer.body.text())
        qtbot.keyClick(panel.rating, Key.Key_2)
    for text in reversed(seen):
        qtbot.keyClick(panel.rating, Key.Key_Backspace)
        assert panel.rating.answer.body.text() == text
    assert rated(session) == []
    qtbot.keyClick(panel.rating, Key.Key_Backspace)
    assert panel.rating.answer.body.text() == seen[0]


def test_a_rating_that_cannot_be_written_stays_with_its_answer(
    several: None, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = shown(session, qtbot, "rating")

    def full(*_: Any, **__: Any) -> str:
        raise DiskFull("The disk is full.")

    before = panel.rating.answer.body.text()
    monkeypatch.setattr(session.labels, "add_rating", full)
    qtbot.mouseClick(panel.rating.thumbs[True], Qt.MouseButton.LeftButton)
    assert panel.rating.answer.body.text() == before and "The disk is full." in panel.rating.failure.cause.text()


def test_ratings_go_with_the_turns_of_their_conversation(session: Any) -> None:
    turns: Any = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    session.labels.add_pair(turns, "x", "y")
    queue = RatingQueue(session.labels, "me", draw=lambda: 0.9)
    queue.start()
    queue.rate(True)
    assert [(said.prompt, said.completion) for said in session.labels.records("ratings")] == [(turns, "x")]


def bound(panel: ComparePanel, session: Any, **own: list[str]) -> None:
    session.remember(MEMORY, own)
    panel.on_hidden()
    panel.on_shown()


def test_keys_of_ones_own_rank_and_rate_and_stand_on_the_buttons(several: None, session: Any, qtbot: Any) -> None:
    panel = shown(session, qtbot, "ranking")
    bound(panel, session, rank_2=["J"], save_order=["K"], thumb_up=["L"], skip=["Y"])
    assert (panel.ranking.picks[1].keys, panel.ranking.save_button.keys) == ("J", "Enter  K")
    answers = order(panel)
    qtbot.keyClick(panel.ranking, Key.Key_2)
    assert panel.ranking.queue.current.ranked == []
    for key, modifier in ((Key.Key_J, None), (Key.Key_1, None), (Key.Key_3, SHIFT), (Key.Key_K, None)):
        qtbot.keyClick(panel.ranking, key, modifier or Qt.KeyboardModifier.NoModifier)
    assert standing(session) == {(answers[1], answers[0]), (answers[1], answers[2])}
    panel.arrange("rating")
    assert (panel.rating.thumbs[True].keys, panel.rating.skip_button.keys) == ("L", "Y")
    seen = panel.rating.answer.body.text()
    qtbot.keyClick(panel.rating, Key.Key_2)
    qtbot.keyClick(panel.rating, Key.Key_L)
    assert rated(session) == [(seen, True, 0)]


def test_long_answers_are_scrolled_by_the_same_keys(session: Any, qtbot: Any) -> None:
    for n in range(3):
        session.labels.add_pair("Q", f"long {n}\n" * 400, f"longer {n}\n" * 500)
    for layout in ("ranking", "rating"):
        panel = shown(session, qtbot, layout)
        panel.resize(700, 600)
        qtbot.wait(20)
        bar = panel.page._bar()  # type: ignore[union-attr]
        qtbot.keyClick(panel.page, Key.Key_B)
        assert bar.value() > 0
        qtbot.keyClick(panel.page, Key.Key_PageUp)
        assert bar.value() == 0


def test_a_ranking_counts_as_judged_and_new_pairs_end_the_rest(several: None, session: Any, qtbot: Any) -> None:
    panel = shown(session, qtbot, "ranking")
    for key in (Key.Key_1, Key.Key_2, Key.Key_Return, Key.Key_1, Key.Key_Return):
        qtbot.keyClick(panel.ranking, key)
    assert panel.sources.progress.text().startswith("4 of 4 judged")
    assert panel.ranking._stack.currentWidget() is panel.ranking.nothing
    session.labels.add_pair("And?", "this one", "that one")
    session.announce(session.labels.last_change)
    assert sorted(order(panel)) == ["that one", "this one"]


def test_answers_are_ranked_by_pressing_too(several: None, session: Any, qtbot: Any) -> None:
    panel = shown(session, qtbot, "ranking")
    answers = order(panel)
    for number in (2, 0):
        assert panel.ranking.picks[number].height() >= 44
        qtbot.mouseClick(panel.ranking.picks[number], Qt.MouseButton.LeftButton)
    qtbot.mouseClick(panel.ranking.save_button, Qt.MouseButton.LeftButton)
    assert standing(session) == {(answers[2], answers[0]), (answers[2], answers[1]), (answers[0], answers[1])}


@pytest.mark.parametrize("layout", ["ranking", "rating"])
def test_notes_flags_and_the_rubric_go_with_rankings_and_ratings(
    several: None, session: Any, qtbot: Any, layout: str
) -> None:
    panel = shown(session, qtbot, "side")
    panel.beside.rubric.asked.setChecked(True)
    random.seed(1)
    panel.arrange(layout)
    page: Any = panel.page
    qtbot.keyClick(page, Key.Key_1, ALT)
    qtbot.keyClick(page, Key.Key_N)
    qtbot.keyClicks(page.note.field, "1 is sad")
    page.leave()
    random.seed(1)  # the sides are drawn anew
    page.start(page.queue.author)
    assert page.note.text() == "1 is sad"  # a draft until it is said
    qtbot.keyClick(page, Key.Key_N)
    qtbot.keyClick(page.note.field, Key.Key_Return)
    qtbot.keyClick(page, Key.Key_1, ALT)
    qtbot.keyClick(page, Key.Key_F)
    assert page.prompt.flag.isVisible() and page.others["flag"].isChecked()
    assert [row["id"] for row in session.labels.queue("flagged")] == [page.queue.current.pair["id"]]
    if layout == "ranking":
        first = page.queue.current.answers[0]
        for key in (Key.Key_1, Key.Key_2, Key.Key_Return):
            qtbot.keyClick(page, key)
        rows = session.labels.page("comparisons")
        assert {row["comment"] for row in rows} == {"1 is sad"}
        for row in rows:
            side = {row["a"]: "a", row["b"]: "b"}.get(first)
            told = json.loads(row["judgement_meta"])
            assert told.get("attributes", {}) == ({"helpful": side} if side else {}) and told["session"]
    else:
        qtbot.keyClick(page, Key.Key_2)
        told = json.loads(session.labels.page("ratings")[0]["meta"])
        assert (told["comment"], told["attributes"], told["layout"]) == ("1 is sad", {"helpful": "yes"}, "rating")
        assert told["session"] and told["seconds"] >= 0
    assert page.note.text() == "" and panel.beside.rubric.said == {}
    assert session.labels.queue_counts(page.queue.author)["drafts"] == 0


def test_rankings_and_ratings_come_back_unannounced_and_never_stand(session: Any) -> None:
    for number in range(12):
        session.labels.add_pair(f"Q{number}", "x", "y")
        session.labels.add_pair(f"Q{number}", "y", "z")
    settings = JudgingSettings(repeats=0.25, apart=1)
    mixing = Mixing(session.labels, settings, "me", draw=random.Random(1).random, clock=lambda: 1000.0)
    ranking = RankingQueue(session.labels, "me", shuffle=random.Random(2).shuffle, mixing=mixing)
    ranking.start()
    repeats = 0
    while ranking.current is not None:
        repeats += bool(ranking.current.repeats)
        ranking.current.order([0, 1, 2])
        before = session.labels.tally()
        ranking.to_write()()
        assert (session.labels.tally() == before) == bool(ranking.current.repeats)
        ranking.accept()
    assert 1 < repeats < 9 and sum(session.labels.tally().values()) == 36
    found = fairness_of(session.labels)
    assert found.people[0].consistency.repeats == 3 * repeats
    rating = RatingQueue(session.labels, "me", draw=random.Random(3).random, mixing=mixing)
    rating.start()
    back = 0
    while rating.current is not None:
        back += bool(rating.current.repeat_of)
        here = rating.current
        rating.rate(True)
        if rating.done == 20:
            assert rating.undo() and rating.current is not None
            assert (rating.current.name, rating.current.repeat_of) == (here.name, here.repeat_of)
            rating.rate(True)
    assert back > 3 and session.labels.count("ratings") == rating.done - back
    (rater,) = fairness_of(session.labels).raters
    assert (rater.consistency.repeats, rater.consistency.same) == (back, back)
    assert session.labels.check().healthy


def test_an_undone_ranking_that_had_come_back_comes_back_as_one(session: Any) -> None:
    for number in range(3):
        session.labels.add_pair(f"Q{number}", "x", "y")
    mixing = Mixing(session.labels, JudgingSettings(repeats=0.25, apart=1), "me", draw=lambda: 0.0)
    queue = RankingQueue(session.labels, "me", mixing=mixing)
    queue.start()
    for _ in range(2):
        queue.current.order([0, 1])  # type: ignore[union-attr]
        queue.save()
    back = queue.current
    assert back is not None and back.repeats
    back.order([1, 0])
    queue.save()
    assert queue.undo() and queue.current is back and back.ranked == []


def test_the_keys_of_pairs_are_silent_while_one_ranks_or_rates_and_come_back(
    several: None, session: Any, qtbot: Any
) -> None:
    panel = shown(session, qtbot, "rating")
    qtbot.keyClick(panel.rating, Key.Key_3)
    qtbot.keyClick(panel.rating, Key.Key_Q)
    assert session.labels.count("comparisons") == 0
    panel.tools.entries["side"].trigger()
    qtbot.keyClick(panel, Key.Key_3)
    assert session.labels.tally()["tie"] == 1
