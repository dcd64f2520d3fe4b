"""Keys of judging: each does one thing, all can be changed, what collides is told, and what is chosen is kept."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut

from studio.main_window import MainWindow
from studio.panels.compare import ComparePanel
from studio.panels.compare.keys import ACTIONS, MEMORY, PRESETS, RESERVED, VERDICTS, Bindings
from studio.panels.compare.keys_card import KeysCard
from studio.settings import Settings

Key = Qt.Key
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.mark.parametrize("preset", PRESETS)
def test_no_key_does_two_things_and_none_is_the_windows(preset: str) -> None:
    bindings = Bindings()
    bindings.use(preset)
    taken: dict[str, list[str]] = {}
    for name, action in ACTIONS.items():
        assert bindings.keys(name), f"{name} has no key"
        for key in {*bindings.sequences(name), *bindings.tied(name)}:
            assert key not in RESERVED, f"{key} of {name} is the window's"
            assert not [other for other in taken.get(key, []) if action.meets(ACTIONS[other])], f"{key}: {name}"
            taken.setdefault(key, []).append(name)
            assert QKeySequence(key).toString() == key
    assert bindings.preset == preset
    assert set(VERDICTS) <= set(ACTIONS)


def test_the_keys_of_the_window_are_reserved(session: Any, qtbot: Any) -> None:
    window = MainWindow(session)
    qtbot.addWidget(window)
    own = {made.key().toString() for made in window.findChildren(QShortcut) if made.parent() is window}
    assert own and own <= RESERVED
    window.close()


def test_a_key_of_ones_own_takes_the_place_of_the_old_one_and_odd_memory_is_passed_over() -> None:
    bindings = Bindings({"skip": ["K", "Ctrl+S"], "nothing": ["Y"], "flag": "F", "note": [3]})
    assert bindings.keys("skip") == ("K", "Ctrl+S") and bindings.keys("flag") == ("F",)
    assert bindings.own == {"skip": ["K", "Ctrl+S"]} and bindings.preset == ""
    assert bindings.holder("S") == "" and bindings.holder("K") == "skip" and bindings.holder("K", "skip") == ""
    assert bindings.holder("!") == "left_much"  # what a US keyboard sends for Shift+1
    assert bindings.holder("Ctrl+K") == "window"
    bindings.take("K")
    assert bindings.keys("skip") == ("Ctrl+S",)
    bindings.bind("skip", ["S"])
    assert bindings.own == {}
    assert bindings.shown("left") == "1  ←" and bindings.shown("left_much") == "⇧1"
    assert Bindings(["no", "mapping"]).own == {}  # type: ignore[arg-type]


def test_a_key_may_do_one_thing_where_pairs_are_judged_and_another_where_answers_are_ranked() -> None:
    bindings = Bindings()
    assert bindings.holder("W", "save_order") == "" and bindings.holder("W", "right") == "right_slightly"
    assert bindings.holder("Shift+3", "save_order") == "rank_3"  # it ties answer 3
    assert bindings.holder("1", "undo") == "left" and bindings.holder("Z", "rank_4") == "undo"
    bindings.take("1", "undo")  # undo is heard everywhere
    assert bindings.keys("left") == ("Left",) and bindings.keys("rank_1") == () == bindings.keys("rate_1")
    bindings.take("Shift+3", "save_order")
    assert bindings.keys("rank_3") == () and bindings.keys("tie") == ("3", "Down")


def pressed(qtbot: Any, card: KeysCard, name: str, place: int, key: Any, modifier: Any = None) -> None:
    field = card.fields[name, place]
    qtbot.mouseClick(field, Qt.MouseButton.LeftButton)
    assert field.listening
    qtbot.keyClick(field, key, modifier or Qt.KeyboardModifier.NoModifier)


@pytest.fixture
def card(session: Any, qtbot: Any) -> KeysCard:
    made = KeysCard(session)
    qtbot.addWidget(made)
    with qtbot.waitActive(made):
        made.show()
    return made


def test_a_field_listens_for_a_key_and_it_is_kept_over_a_restart(card: KeysCard, session: Any, qtbot: Any) -> None:
    pressed(qtbot, card, "skip", 0, Key.Key_K)
    assert card.bindings.keys("skip") == ("K",) and card.fields["skip", 0].text() == "K"
    pressed(qtbot, card, "skip", 1, Key.Key_Exclam, SHIFT)
    assert Settings.load().memory[MEMORY] == {"skip": ["K"]}
    assert "Answer 1 is much better" in card.problem.text()  # "!" is Shift+1
    pressed(qtbot, card, "skip", 1, Key.Key_Tab)
    assert "fixed meaning" in card.problem.text() and not card.take.isVisible()
    pressed(qtbot, card, "skip", 0, Key.Key_Escape)
    assert card.bindings.keys("skip") == ("K",)
    pressed(qtbot, card, "skip", 0, Key.Key_Delete)
    assert card.bindings.keys("skip") == ()


def test_a_key_that_is_taken_is_told_and_can_be_taken_over(card: KeysCard, qtbot: Any) -> None:
    pressed(qtbot, card, "skip", 0, Key.Key_F)
    assert card.problem.text() == "F is taken: Flag for a second look."
    assert card.bindings.keys("skip") == ("S",)
    card.take.click()
    assert card.bindings.keys("skip") == ("F",) and card.bindings.keys("flag") == ()
    assert card.problem.text() == "" and card.preset.currentData() == ""
    card.preset.setCurrentIndex(card.preset.findData("one row"))
    card.preset.activated.emit(card.preset.currentIndex())
    assert card.fields["right_much", 0].text() == "7" and card.bindings.keys("flag") == ("F",)


def test_changed_keys_judge_once_compare_is_shown_again(session: Any, qtbot: Any) -> None:
    for number in range(9):
        session.labels.add_pair(f"Question {number}", "good", "bad")
    panel = ComparePanel(session)
    qtbot.addWidget(panel)
    with qtbot.waitActive(panel):
        panel.show()
    panel.on_shown()
    bindings = Bindings()
    bindings.use("one row")
    session.remember(MEMORY, bindings.own)
    panel.on_hidden()
    panel.on_shown()
    assert panel.pairs.bar.verdicts["right", 3].keys == "7" and panel.pairs.bar.verdicts["both_bad", 2].keys == "8"
    for key in (Key.Key_1, Key.Key_2, Key.Key_3, Key.Key_4, Key.Key_5, Key.Key_6, Key.Key_7, Key.Key_8):
        qtbot.keyClick(panel, key)
    said = [(row["winner"] if row["winner"] not in "ab" else row["left_side"] == row["winner"], row["strength"])
            for row in session.labels.page("comparisons")]  # fmt: skip
    assert said == [(True, 3), (True, 2), (True, 1), ("tie", 1), (False, 1), (False, 2), (False, 3), ("both_bad", 2)]
    qtbot.keyClick(panel, Key.Key_W)  # no key any more
    assert session.labels.count("comparisons") == 8
