"""Every number that a task plots can be explained to whoever looks at it."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import rlhf_engine.tasks
from rlhf_engine.help.made import metrics_of
from rlhf_engine.tasks import TASKS
from rlhf_engine.tasks.curve_help import CURVES
from rlhf_engine.tasks.metric_help import FACTS, METRICS, about_metric

ENGINE = Path(rlhf_engine.tasks.__file__).parents[1]
SHARED = ("rollouts", "preferences", "rewards", "models", "runtime")  # what is told there is told by whoever imports it
NAME = re.compile(
    r"(train|heldout|objective|policy|value|answers|reward|rewards|logps|groups|pairs|time|memory|chosen|rejected|judge|canary|revision)"
    r"/[a-z0-9_]+"
)


def told_by(task: str) -> set[Path]:
    """The files of a task, and the shared ones that they import, however indirectly."""
    found: set[Path] = set()
    waiting = list((ENGINE / "tasks" / task).glob("*.py"))
    while waiting:
        file = waiting.pop()
        if file in found or not file.is_file():
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                _, *parts = node.module.split(".")
                if parts[:1] and parts[0] in SHARED:
                    waiting.append(ENGINE.joinpath(*parts).with_suffix(".py"))
    return found


def emitted(task: str) -> set[str]:
    """Names in string literals, in keywords and strings with two underscores, and in clock("part")."""
    names: set[str] = set()
    for file in told_by(task):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value.replace("__", "/"))
            elif isinstance(node, ast.keyword) and node.arg:
                names.add(node.arg.replace("__", "/"))
            elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "clock":
                assert isinstance(node.args[0], ast.Constant)
                names.add(f"time/{node.args[0].value}")
    return {name for name in names if NAME.fullmatch(name)}


def test_every_metric_of_a_training_task_is_explained():
    for task in TASKS.values():
        if task.trains:
            found = emitted(task.key)
            assert len(found) > 5, task.key
            assert found - METRICS.keys() - CURVES.keys() == set(), task.key


def test_every_curve_is_explained():
    drawn = set()
    for file in ENGINE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Curve":
                drawn |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    assert "heldout/reliability" in drawn
    assert drawn - CURVES.keys() == set()


def test_the_help_of_a_task_has_the_metrics_that_it_measures_and_no_others():
    for task in TASKS.values():
        if task.trains:
            told = {name for name in metrics_of(task) if name in METRICS}
            measured = emitted(task.key) & METRICS.keys()
            if not any(f.name == "critic" for f in fields(task.spec)):  # its learner could measure a value model
                measured = {name for name in measured if not name.startswith("value/")}
            assert told == measured, f"{task.key}: its row of TASKS says which it measures (metrics=...)"


def test_every_metric_that_is_shown_first_is_measured():
    for task in TASKS.values():
        if task.trains:
            assert set(task.charts) <= emitted(task.key)


def test_nothing_is_explained_that_no_task_measures():
    measured = set().union(*(emitted(task.key) for task in TASKS.values() if task.trains or task.metrics))
    assert METRICS.keys() - measured == set()


def test_an_explanation_is_a_name_and_a_sentence():
    for name, about in {**METRICS, **FACTS}.items():
        assert about.label[0].isupper(), name
        assert about.measures.endswith("."), name
        assert not about.healthy or about.healthy.endswith("."), name
        assert not about.remedy or (about.remedy.endswith(".") and about.healthy), name


def test_what_a_run_shows_first_says_what_to_try():
    first = {name for task in TASKS.values() if task.trains for name in task.charts}
    constant = {"policy/loss", "heldout/token_accuracy", "groups/best", "pairs/accuracy"}  # nothing to mend by itself
    assert {name for name in first if name in METRICS and not METRICS[name].remedy} <= constant


def test_a_component_of_the_reward_is_called_by_its_own_name():
    assert about_metric("component/length_2").title == "Reward component: length 2"
    assert about_metric("component/length_2").measures


def test_an_unknown_metric_is_called_by_its_own_name():
    assert about_metric("mine/odd_number").title == "Odd number"
    assert about_metric("objective/kl_sequence").title == "Drift per answer (nats)"


def test_a_metric_of_one_dataset_is_called_by_its_name():
    about = about_metric("heldout/loss/task843_financial-2")
    assert about.title == "Held-out loss: task843 financial-2 (nats)" and about.better == "down"
    assert about_metric("heldout/loss").title == "Held-out loss (nats)"
