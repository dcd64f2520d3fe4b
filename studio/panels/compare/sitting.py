"""How a sitting goes: time spent, verdicts in a row, days in a row. No Qt in this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from studio.panels.compare.queue import IDLE, Said


def spent(said: Sequence[Said]) -> float:
    """Seconds of work, time away left out."""
    return sum(min(IDLE, verdict.seconds) for verdict in said)


def in_a_row(said: Sequence[Said]) -> int:
    """Verdicts since one was last away for longer than IDLE."""
    count = 0
    for verdict in reversed(said):
        count += 1
        if verdict.seconds > IDLE:
            break
    return count


def day_after(kept: Mapping[str, Any], today: date) -> dict[str, Any]:
    """The days in a row on which something was judged, after a verdict of today: {"day": ISO date, "days": number}."""
    days = kept.get("days")
    before = days if isinstance(days, int) and days > 0 else 0
    if kept.get("day") == today.isoformat():
        return {"day": today.isoformat(), "days": max(1, before)}
    yesterday = (today - timedelta(days=1)).isoformat()
    return {"day": today.isoformat(), "days": before + 1 if kept.get("day") == yesterday else 1}
