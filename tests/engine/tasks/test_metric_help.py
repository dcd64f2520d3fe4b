"""Every number that a task plots can be explained to whoever looks at it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import rlhf_engine.tasks
from rlhf_engine.tasks import TASKS
from rlhf_engine.tasks.metric_help import FACTS, METRICS, about_metric

FOLDER = Path(rlhf_engine.tasks.__file__).parent
NAME = re.compile(r"(train|heldout|objective|policy|value|answers|reward|time|memory|chosen|rejected)/[a-z0-9_]+")


def emitted(task: str) -> set[str]:
    """Names in string literals, in keywords and strings with two underscores, and in clock("part")."""
    names: set[str] = set()
    for file in (FOLDER / task).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value.replace("__", "/"))
            elif isinstance(node, ast.keyword) and node.arg:
                names.add(node.arg.replace("__", "/"))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "clock":
                assert isinstance(node.args[0], ast.Constant)
                names.add(f"time/{node.args[0].value}")
    return {name for name in names if NAME.fullmatch(name)}


def test_every_metric_of_a_training_task_is_explained():
    for task in TASKS.values():
        if task.trains:
            found = emitted(task.key)
            assert len(found) > 5, task.key
            assert found - METRICS.keys() == set(), task.key


def test_every_metric_that_is_shown_first_is_measured():
    for task in TASKS.values():
        if task.trains:
            assert set(task.charts) <= emitted(task.key)


def test_nothing_is_explained_that_no_task_measures():
    measured = set().union(*(emitted(task.key) for task in TASKS.values() if task.trains))
    assert METRICS.keys() - measured == set()


def test_an_explanation_is_a_name_and_a_sentence():
    for name, about in {**METRICS, **FACTS}.items():
        assert about.label[0].isupper(), name
        assert about.measures.endswith("."), name
        assert not about.healthy or about.healthy.endswith("."), name


def test_an_unknown_metric_is_called_by_its_own_name():
    assert about_metric("mine/odd_number").title == "Odd number"
    assert about_metric("objective/kl_sequence").title == "Drift per answer (nats)"
