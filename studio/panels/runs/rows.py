"""Runs as rows of a table, and which of them a filter such as `method=ppo score>0.4 heron` lets through. No Qt here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.changes import written
from rlhf_engine.tasks import TASKS
from rlhf_engine.tasks.metric_help import about_metric
from studio.panels.run_view.naming import method_of, model_of, short, state_word, title_of, values_of

if TYPE_CHECKING:
    from rlhf_engine.store.runs import RunRow

Row = dict[str, Any]
_TERM = re.compile(r"([\w/.\-]+)(<=|>=|!=|=|<|>)(.+)")
_ALIASES = {
    "task": "method",
    "dataset": "data",
    "lr": "learning_rate",
    "kl": "objective/kl_sequence",
    "accuracy": "heldout/accuracy",
}


def row_of(run: RunRow, known: dict[str, str], now: float) -> Row:
    """What the table shows of a run, and under "run" the run itself. `known` are the titles of models and datasets."""
    values = values_of(run.spec_json)
    return {
        "id": run.id,
        "state": state_word(run.state),
        "name": title_of(run),
        "method": method_of(run.task),
        "model": short(model_of(values), known),
        "data": short(str(values.get("dataset") or ""), known),
        "step": run.step,
        "metrics": key_metrics(run),
        "took": max(0.0, (run.ended or now) - run.created),
        "started": run.created,
        "note": run.note,
        "run": run,
        "values": values,
    }


def key_metrics(run: RunRow) -> str:
    """The last values of the first two metrics that the run's task shows, or why there are none."""
    charts = TASKS[run.task].charts if run.task in TASKS else ()
    told = [f"{about_metric(name).label} {run.metrics[name]:.3g}" for name in charts if name in run.metrics][:2]
    return "  ·  ".join(told) or run.message


def filtered(rows: Sequence[Row], text: str) -> list[Row]:
    """The rows that meet every word of a filter.

    A word with =, !=, <, >, <= or >= compares a column (method, state, model, data, name, note, step), a setting
    (kl_coef, lr) or the last value of a metric (score, objective/score); any other word is looked for in the row.
    """
    words = text.split()
    return [row for row in rows if all(_meets(row, word) for word in words)]


def _meets(row: Row, word: str) -> bool:
    term = _TERM.fullmatch(word)
    if term is None:
        shown = (row[key] for key in ("id", "state", "name", "method", "model", "data", "metrics", "note"))
        return word.casefold() in " ".join(map(str, shown)).casefold()
    key, relation, wanted = term.groups()
    found = _values(row, _ALIASES.get(key, key))
    meets = [_compare(value, relation, wanted) for value in found]
    return bool(meets) and all(meets) if relation == "!=" else any(meets)


def _values(row: Row, key: str) -> list[Any]:
    """What a name may stand for in this row; a metric is found by its whole name or by the end of it."""
    run = row["run"]
    match key:
        case "method":
            return [run.task, row["method"]]
        case "state":
            return [run.state, row["state"]]
        case "model" | "data" | "name" | "note" | "step":
            return [row[key]]
    if key in row["values"]:
        return [row["values"][key]]
    return [value for name, value in run.metrics.items() if name == key or name.endswith("/" + key)]


def _compare(value: Any, relation: str, wanted: str) -> bool:
    number = _number(value)
    limit = _number(wanted)
    if number is not None and limit is not None:
        match relation:
            case "=":
                return number == limit
            case "!=":
                return number != limit
            case "<":
                return number < limit
            case ">":
                return number > limit
            case "<=":
                return number <= limit
        return number >= limit
    inside = wanted.casefold() in written(value).casefold()
    return inside if relation == "=" else not inside if relation == "!=" else False


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def ordered(rows: list[Row], key: str, descending: bool) -> list[Row]:
    """Sorted by a column; text without regard to case."""
    if not key:
        return rows
    texts = any(isinstance(row[key], str) for row in rows)
    return sorted(rows, key=lambda row: str(row[key]).casefold() if texts else row[key], reverse=descending)
