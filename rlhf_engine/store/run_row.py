"""One line of the runs list: what a run's events add up to, and how that is written into its table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from rlhf_engine.contract.events import Envelope, Metrics, RunFinished, RunPaused, RunResumed, RunStarted

GOING = ("running", "paused")


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in the list. `state` is running, paused, completed, cancelled, suspended, failed or interrupted.

    `created` and `ended` are seconds since 1970; `metrics` holds the last value of each.
    """

    id: str
    task: str
    name: str
    spec_json: str
    state: str
    created: float
    ended: float | None = None
    step: int = 0
    total: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    message: str = ""
    hint: str = ""
    note: str = ""

    @property
    def alive(self) -> bool:
        return self.state in GOING

    @property
    def spec_values(self) -> dict[str, Any]:
        """The settings it was started with; empty where they cannot be read."""
        try:
            body = json.loads(self.spec_json)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    @property
    def resumable(self) -> bool:
        return self.state in ("cancelled", "suspended", "failed", "interrupted")

    def after(self, envelope: Envelope) -> RunRow:
        """The row once `envelope` has been said."""
        match envelope.event:
            case RunStarted(total_steps=total, from_step=step):
                return replace(self, state="running", ended=None, step=step, total=total, message="", hint="")
            case Metrics(step=step, values=values):
                return replace(self, step=step, metrics={**self.metrics, **values})
            case RunPaused():
                return replace(self, state="paused")
            case RunResumed():
                return replace(self, state="running")
            case RunFinished(outcome=outcome, message=message, hint=hint):
                return replace(self, state=outcome, ended=envelope.time, message=message, hint=hint)
        return self


def storable(text: str) -> str:
    """Half a surrogate pair, which JSON and Qt let through, has no UTF-8: it becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def changing_columns(row: RunRow) -> dict[str, Any]:
    # A Metrics event knows how to write NaN and infinities, which SQLite and JSON do not.
    metrics = json.loads(Envelope(row.id, 0, 0.0, Metrics(row.step, row.metrics)).to_json())["values"]
    return {
        "id": row.id,
        "state": row.state,
        "ended": row.ended,
        "step": row.step,
        "total": row.total,
        "metrics": json.dumps(metrics),
        "message": storable(row.message),
        "hint": storable(row.hint),
    }


def all_columns(row: RunRow) -> dict[str, Any]:
    words = {"task": row.task, "name": storable(row.name), "note": storable(row.note), "spec": storable(row.spec_json)}
    return {**changing_columns(row), **words, "created": row.created}


def row_of(body: dict[str, Any]) -> RunRow:
    metrics = json.loads(body["metrics"])
    values = {name: float(value["float"]) if isinstance(value, dict) else value for name, value in metrics.items()}
    return RunRow(
        body["id"],
        body["task"],
        body["name"],
        body["spec"],
        body["state"],
        body["created"],
        body["ended"],
        body["step"],
        body["total"],
        values,
        body["message"] or "",
        body["hint"] or "",
        body["note"],
    )
