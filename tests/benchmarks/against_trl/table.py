"""From measurements to the table of targets. Pure: no clock, no process, no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.benchmarks.against_trl.works import Work

PHASES = {"rollout": "rollout", "score": "scoring", "update": "update"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One process: the seconds and the tokens of each measured step, the phases' seconds, and peak memory in bytes."""

    seconds: tuple[float, ...]
    tokens: tuple[int, ...]
    resident: int
    gpu: int = 0
    phases: dict[str, tuple[float, ...]] = field(default_factory=dict)
    threads: int = 0
    rows: int = 0

    @classmethod
    def from_json(cls, body: dict[str, Any], clock: str = "seconds") -> Measured:
        phases = {name: tuple(values) for name, values in body["phases"].items()}
        seconds, tokens = tuple(body[clock]), tuple(body["tokens"])
        return cls(seconds, tokens, body["resident"], body["gpu"], phases, body["threads"], body.get("rows", 0))

    @property
    def memory(self) -> int:
        return self.gpu or self.resident

    def rate(self, work: Work) -> float:
        """Units of the work per second over all measured steps."""
        done = sum(self.tokens) if work.unit == "tokens" else work.examples * len(self.seconds)
        return done / sum(self.seconds)


@dataclass(frozen=True, slots=True)
class Row:
    """What the pairs of one work say. A ratio is ours by theirs; `spread` holds the least and the greatest of all
    pairs. `same` is whether both sides went through as many tokens, to one in a hundred."""

    work: Work
    ours: float
    theirs: float
    faster: float
    faster_spread: tuple[float, float]
    our_memory: float
    their_memory: float
    smaller: float
    smaller_spread: tuple[float, float]
    same: bool
    our_tokens: float
    their_tokens: float
    phases: dict[str, float]

    @property
    def holds(self) -> bool:
        return self.faster >= self.work.faster and self.smaller <= self.work.smaller and self.same


def row_of(work: Work, ours: Sequence[Measured], theirs: Sequence[Measured]) -> Row:
    """Medians over the runs; ratios are the medians of the pairs' own, so that a slow minute strikes both sides."""
    faster = [a.rate(work) / b.rate(work) for a, b in zip(ours, theirs, strict=True)]
    smaller = [a.memory / b.memory for a, b in zip(ours, theirs, strict=True)]
    our_tokens, their_tokens = (median(sum(m.tokens) / len(m.tokens) for m in side) for side in (ours, theirs))
    return Row(
        work,
        median(m.rate(work) for m in ours),
        median(m.rate(work) for m in theirs),
        median(faster),
        (min(faster), max(faster)),
        median(m.memory for m in ours),
        median(m.memory for m in theirs),
        median(smaller),
        (min(smaller), max(smaller)),
        abs(our_tokens - their_tokens) <= 0.01 * their_tokens,
        our_tokens,
        their_tokens,
        shares(ours),
    )


def shares(runs: Sequence[Measured]) -> dict[str, float]:
    """The median share of each phase in the time of a step; nothing where a work has no phases."""
    named = [name for name in PHASES if all(name in run.phases for run in runs)]
    return {name: median(sum(run.phases[name]) / sum(run.seconds) for run in runs) for name in named}


def best(runs: Sequence[Measured], work: Work) -> Measured:
    """Of several ways to do the same, the fastest."""
    return max(runs, key=lambda run: run.rate(work))


def markdown(rows: Sequence[Row]) -> str:
    """The table of targets, a row for each work."""
    head = (
        "Work",
        "Format",
        "Ours",
        "TRL",
        "Faster",
        "Spread",
        "Target",
        "Memory",
        "TRL's",
        "Part",
        "Target",
        "Tokens",
    )
    lines = [head, ("---",) * len(head), *(_cells(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    low, high = row.faster_spread
    return (
        row.work.title,
        row.work.dtype,
        f"{number(row.ours)} {row.work.unit}/s",
        number(row.theirs),
        f"**{row.faster:.2f}x**",
        f"{low:.2f} to {high:.2f}",
        f"{row.work.faster:.1f}x {'met' if row.faster >= row.work.faster else 'missed'}",
        f"{row.our_memory / 1e9:.2f} GB",
        f"{row.their_memory / 1e9:.2f} GB",
        f"**{row.smaller:.2f}x**",
        f"{row.work.smaller:.1f}x {'met' if row.smaller <= row.work.smaller else 'missed'}",
        "same" if row.same else f"{row.our_tokens:,.0f} and {row.their_tokens:,.0f}",
    )


def number(value: float) -> str:
    """Three figures."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
