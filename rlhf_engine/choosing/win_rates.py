"""How often a policy on its way beats the model it began with, by people who did not know which answer is whose.

A pair made from a run says so in its meta: {"from": "run", "run": <id>, "step": <n>, "policy": "a" or "b"}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rlhf_engine.judging.intervals import wilson

FROM_RUN = "run"


@dataclass(frozen=True, slots=True)
class WinRate:
    """At one step: `share` is wins and half the ties, of `count` verdicts; `low` and `high` are its 95 % interval."""

    step: int
    share: float
    low: float
    high: float
    count: int


def meta_of_run(run: str, step: int, policy: str = "a") -> dict[str, Any]:
    """What the meta of a pair says of the run that its answer `policy` is from."""
    return {"from": FROM_RUN, "run": run, "step": step, "policy": policy}


def is_of_run(meta: Any) -> bool:
    """Whether a pair (by its meta, as JSON text) sets a run's answer beside that of the model it began with."""
    return _meta(meta).get("from") == FROM_RUN


def win_rates(judged: Iterable[Mapping[str, Any]], run: str) -> list[WinRate]:
    """The win rates of a run, by step.

    Args:
        judged: rows with `meta` (the pair's, as JSON text), `winner` ("a", "b" or "tie"; others are passed over) and
            `source`, of which only "human" counts.
    """
    said: dict[int, list[float]] = {}
    for row in judged:
        if row["source"] != "human" or row["winner"] not in ("a", "b", "tie"):
            continue
        meta = _meta(row["meta"])
        if meta.get("from") == FROM_RUN and meta.get("run") == run and isinstance(meta.get("step"), int):
            value = 0.5 if row["winner"] == "tie" else float(row["winner"] == meta.get("policy"))
            said.setdefault(meta["step"], []).append(value)
    found = []
    for step, values in sorted(said.items()):
        share = sum(values) / len(values)
        found.append(WinRate(step, share, *wilson(share, len(values)), len(values)))
    return found


def _meta(text: Any) -> dict[str, Any]:
    try:
        told = json.loads(text or "{}")
    except (ValueError, TypeError):
        return {}
    return told if isinstance(told, dict) else {}
