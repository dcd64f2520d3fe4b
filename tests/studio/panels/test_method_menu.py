"""Choosing among many methods: grouped, each with what it does, by mouse and by keys."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from rlhf_engine.tasks import FAMILIES, TASKS
from studio.panels.train.method_menu import MethodMenu, _halves
from studio.panels.train.methods import METHODS, by_family, fitting
from studio.panels.train.panel import TrainPanel


@pytest.fixture
def menu(qtbot, qapp):
    made = MethodMenu()
    qtbot.addWidget(made)
    made.show_task("sft")
    made.show()
    yield made
    made.sheet.close()


def test_every_method_is_offered_under_its_family_with_what_it_does(menu):
    shown = {label.text() for label in menu.sheet.findChildren(QLabel)}
    for key in METHODS:
        assert {TASKS[key].full_title, TASKS[key].summary, TASKS[key].family} <= shown
    assert [key for keys in by_family().values() for key in keys] == sorted(METHODS, key=_place)
    assert [row.task for row in menu.sheet.rows()] == sorted(METHODS, key=_place)


def test_a_click_opens_the_sheet_and_a_click_chooses(menu, qtbot):
    chosen = []
    menu.chosen.connect(chosen.append)
    menu.button.click()
    assert menu.sheet.isVisible()
    assert [row.task for row in menu.sheet.rows() if row.isChecked()] == ["sft"]
    next(row for row in menu.sheet.rows() if row.task == "ppo").click()
    assert chosen == ["ppo"] and not menu.sheet.isVisible()


def test_the_keys_reach_every_method(menu, qtbot, monkeypatch):
    chosen, at = [], []
    menu.chosen.connect(chosen.append)
    for row in menu.sheet.rows():  # no window system gives the focus here
        monkeypatch.setattr(row, "setFocus", lambda row=row: at.append(row.task), raising=False)
    qtbot.keyClick(menu.button, Qt.Key.Key_Down)
    assert menu.sheet.isVisible() and at == ["sft"]
    rows = {row.task: row for row in menu.sheet.rows()}
    reached, here = set(), "sft"
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Right):
        for _ in METHODS:
            qtbot.keyClick(rows[here], key)
            reached.add(here := at[-1])
        if key == Qt.Key.Key_Right:
            for _ in METHODS:
                qtbot.keyClick(rows[here], Qt.Key.Key_Up)
                reached.add(here := at[-1])
    for column in menu.sheet.columns:
        assert reached & {row.task for row in column}
    qtbot.keyClick(rows["sft"], "r")
    assert TASKS[at[-1]].title.startswith("R")
    qtbot.keyClick(rows["ppo"], Qt.Key.Key_Return)
    assert chosen == ["ppo"] and not menu.sheet.isVisible()


def test_the_last_method_is_there_again(session, qtbot):
    panel = TrainPanel(session)
    qtbot.addWidget(panel)
    panel.setup.methods.chosen.emit("ppo")
    assert panel.setup.methods.button.text() == "PPO"
    again = TrainPanel(session)
    qtbot.addWidget(again)
    assert (again.setup.task, again.setup.methods.button.text()) == ("ppo", "PPO")


def test_what_one_comes_with_finds_a_method_and_keeps_the_one_that_fits():
    assert fitting("sft", kind="comparisons") == "reward"
    assert fitting("ppo", kind="prompts") == "ppo" and fitting("grpo", kind="prompts") == "grpo"
    assert fitting("sft", picks="reward_model") == "ppo"
    assert fitting("ppo", family="Reward model") == "reward"
    assert fitting("sft", kind="songs") == ""


def test_columns_are_about_equally_long():
    assert _halves({"a": 1, "b": 1, "c": 4, "d": 6}) == (["a", "b", "c"], ["d"])
    assert _halves({"a": 3}) == (["a"], [])


def _place(key: str) -> tuple[int, int]:
    return list(FAMILIES).index(TASKS[key].family), METHODS.index(key)
