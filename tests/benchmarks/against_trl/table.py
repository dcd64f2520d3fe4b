"""From measurements to the table of targets. Pure: no clock, no process, no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.benchmarks.against_trl.bound import Shape, passes_of, seconds_at, work_in
from tests.benchmarks.against_trl.works import Size, Work

PHASES = {"rollout": "rollout", "score": "scoring", "update": "update"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One process: what each measured step took in seconds and went through in tokens, and peak memory in bytes.

    Of ours it is known how many of the tokens were answers', and what each phase took.
    """

    seconds: tuple[float, ...]
    tokens: tuple[int, ...]
    resident: int
    gpu: int = 0
    phases: dict[str, tuple[float, ...]] = field(default_factory=dict)
    answers: tuple[int, ...] = ()
    cpu: tuple[float, ...] = ()  # of processor time, where others use the machine too
    threads: int = 0
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Measured:
        lists = {name: tuple(body.get(name, ())) for name in ("seconds", "tokens", "answers", "cpu")}
        phases = {name: tuple(values) for name, values in body.get("phases", {}).items()}
        about = {name: body[name] for name in ("resident", "gpu", "threads", "versions")}
        return cls(phases=phases, **lists, **about)

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
    update: float  # seconds of a step's update phase, ours
    answers: float  # of our tokens, those of answers

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
        median(seconds_of_update(m) for m in ours),
        median(sum(m.answers) / max(1, len(m.answers)) for m in ours),
    )


def shares(runs: Sequence[Measured]) -> dict[str, float]:
    """The median share of each phase in the time of a step; nothing where a work has no phases."""
    named = [name for name in PHASES if all(name in run.phases for run in runs)]
    return {name: median(sum(run.phases[name]) / sum(run.seconds) for run in runs) for name in named}


def seconds_of_update(run: Measured) -> float:
    """Of a work without phases the whole step is the update."""
    return sum(run.phases.get("update", run.seconds)) / len(run.seconds)


def best(runs: Sequence[Measured], work: Work) -> Measured:
    """Of several ways to do the same, the fastest."""
    return max(runs, key=lambda run: run.rate(work))


def targets(rows: Sequence[Row]) -> str:
    """The table of targets, a row for each work."""
    head = ("Work", "Format", "Ours", "TRL", "Faster", "Spread", "Target", "Memory", "TRL's", "Part", "Target")
    return laid_out((*head, "Tokens"), [_targets(row) for row in rows])


def _targets(row: Row) -> tuple[str, ...]:
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


def phases(rows: Sequence[Row]) -> str:
    """Where the time of our steps goes."""
    named = [row for row in rows if row.phases]
    cells = [
        (row.work.title, row.work.dtype, *(f"{row.phases.get(name, 0.0):.0%}" for name in PHASES)) for row in named
    ]
    return laid_out(("Work", "Format", *(name.capitalize() for name in PHASES.values())), cells)


def against_matmul(rows: Sequence[Row], size: Size, rates: Mapping[str, Mapping[Shape, float]]) -> str:
    """The update phase against what matmul alone would allow. `rates` by number format, in operations per second."""
    cells = []
    for row in rows:
        if row.work.kind == "generate":
            continue
        done = work_in(size, passes_of(row.work, row.our_tokens, row.answers))
        alone = seconds_at(done, rates[row.work.dtype])
        took = f"{alone:.2f} s", f"{row.update:.2f} s", f"**{alone / row.update:.0%}**"
        cells.append((row.work.title, row.work.dtype, f"{sum(done.values()) / 1e12:.2f} TFLOP", *took))
    return laid_out(("Work", "Format", "Products", "Matmul alone", "Update", "Share"), cells)


def speeds(rates: Mapping[str, Mapping[Shape, float]]) -> str:
    """How fast matmul is at the shapes that the model has."""
    shapes = list(next(iter(rates.values())))
    cells = [(f"{a:,} to {b:,}", *(f"{rate[a, b] / 1e9:,.0f}" for rate in rates.values())) for a, b in shapes]
    return laid_out(("Layer", *(f"{name}, GFLOP/s" for name in rates)), cells)


def flat(seconds: Mapping[str, Mapping[int, float]]) -> str:
    """What a token costs by number format and by the number of examples in a batch, in seconds."""
    counts = list(next(iter(seconds.values())))
    cells = [(name, *(f"{1e6 * cost[count]:,.0f} µs" for count in counts)) for name, cost in seconds.items()]
    return laid_out(("Format", *(f"{count} at once" for count in counts)), cells)


def laid_out(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def number(value: float) -> str:
    """Three figures."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
