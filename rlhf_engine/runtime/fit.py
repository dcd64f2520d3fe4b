"""Will it fit? What a run holds in memory in each of its phases, part by part, and what would lower the most of it.

Only numbers here, in bytes: where they come from is `models/footprint.py`, which run makes which of them is
`launch/forecast.py`. No torch in this file: the window reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

PHASES = ("load", "rollout", "scoring", "update")
PARTS = {  # in the order of a table
    "process": "Process itself",
    "kernels": "Kernels and their scratch",
    "weights": "Base weights",
    "others": "Other bases",
    "adapters": "Adapters, copies",
    "optimizer": "Optimiser",
    "gradients": "Gradients",
    "activations": "Activations",
    "cache": "Key-value cache",
    "laid_out": "Weights laid out for writing",
    "logits": "Logits",
}
NEWEST = 9  # past runs that a correction is made of: older ones were of another version


@dataclass(frozen=True, slots=True)
class Correction:
    """What past runs took, over what had been foreseen for them, both without the process itself. 1 with no run."""

    factor: float = 1.0
    runs: int = 0
    process: int = 0  # bytes that the process held before them; 0 where no run says

    @classmethod
    def of(cls, past: Sequence[tuple[float, float, float]]) -> Correction:
        """From (start, peak, predicted) of past runs, the newest first. One that ran beside other work, or was stopped
        early, moves a median little."""
        told = [row for row in past if row[2] > 0 and row[1] > row[0]][:NEWEST]
        if not told:
            return cls()
        factor = median((peak - start) / predicted for start, peak, predicted in told)
        return cls(min(4.0, max(0.25, factor)), len(told), round(median(start for start, _, _ in told)))


@dataclass(frozen=True, slots=True)
class Fit:
    """`phases` are bytes by part, by phase; `correction` has been multiplied into them."""

    phases: dict[str, dict[str, int]]
    correction: Correction = field(default_factory=Correction)

    @property
    def totals(self) -> dict[str, int]:
        return {phase: sum(parts.values()) for phase, parts in self.phases.items()}

    @property
    def largest(self) -> str:
        """The phase that takes the most."""
        return max(self.totals, key=self.totals.__getitem__)

    @property
    def peak(self) -> int:
        return max(self.totals.values())

    @property
    def own(self) -> int:
        """The peak without what the process holds before it loads anything: what a run adds, and what must be free."""
        return max(sum(size for part, size in parts.items() if part != "process") for parts in self.phases.values())

    @property
    def main_part(self) -> str:
        """What takes the most in the largest phase, the process itself left aside."""
        parts = {part: size for part, size in self.phases[self.largest].items() if part != "process"}
        return max(parts, key=parts.__getitem__)

    def corrected(self, correction: Correction) -> Fit:
        """What is known from past runs multiplied into every part but the process, which takes what it took there."""

        def scaled(parts: Mapping[str, int]) -> dict[str, int]:
            found = {part: round(size * correction.factor) for part, size in parts.items() if part != "process"}
            process = parts.get("process", 0)
            return {"process": correction.process or process, **found} if process else found

        return replace(
            self, phases={phase: scaled(parts) for phase, parts in self.phases.items()}, correction=correction
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `rlhf fit --json`."""
        return {
            "peak": self.peak,
            "own": self.own,
            "largest": self.largest,
            "main_part": self.main_part,
            "phases": self.phases,
            "runs": self.correction.runs,
            "factor": self.correction.factor,
        }


@dataclass(frozen=True, slots=True)
class Advice:
    """A change of settings that lowers the peak to `peak` and what must be free to `own`."""

    changes: dict[str, Any]
    text: str
    peak: int
    own: int
