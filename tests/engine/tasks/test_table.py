"""The table says of every method what a window and a page of help need to know."""

from __future__ import annotations

from rlhf_engine.contract.fields import inputs
from rlhf_engine.tasks import FAMILIES, TASKS
from rlhf_engine.tasks.export.card import TITLES
from tests.engine.contract.test_fields import Room

TRAINING = [task for task in TASKS.values() if task.trains]


def test_every_training_task_has_a_family_charts_and_words():
    for task in TRAINING:
        assert task.family in FAMILIES, task.key
        assert task.charts, task.key
        assert task.summary.endswith("."), task.key
        assert all(task.beside), task.key
        assert len(task.name) <= len(task.title), task.key


def test_a_model_card_calls_every_method_as_the_table_does():
    assert {task.key: task.title for task in TRAINING} == TITLES


def test_every_family_has_a_method_and_a_sentence():
    assert {task.family for task in TRAINING} <= FAMILIES.keys()
    assert all(about.endswith(".") for about in FAMILIES.values())


def test_a_task_either_scores_answers_or_writes_them():
    assert TASKS["reward"].scores
    assert not TASKS["ppo"].scores and not TASKS["export"].scores


def test_inputs_are_found_in_fields_and_in_their_entries():
    assert [said.label for said in inputs(TASKS["sft"].spec)][:2] == ["Model", "Demonstrations"]
    assert [said.picks for said in inputs(Room)] == ["file"]
