"""The learning curve of a project's reward model: which runs belong to it, and which are missing.

The runs are ordinary reward runs that differ in nothing but how many comparisons they use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rlhf_engine.choosing.learning_curve import Fit, Point, fit
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.tasks import spec_from_json
from rlhf_engine.tasks.reward.spec import RewardSpec

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
FEWEST = 16  # comparisons that are worth a run
HALTED = ("cancelled", "suspended", "interrupted")  # one that failed would fail again


@dataclass(frozen=True, slots=True)
class Growth:
    """`settings` are those of the newest reward model, with all comparisons; None where there is no reward model.

    `labels` is how many comparisons it was trained on, 0 where its run did not say. `halted` are runs of such settings
    that were stopped before their end, by how many labels they use (0 is all): they can be gone on with.
    """

    settings: RewardSpec | None
    labels: int
    points: tuple[Point, ...]
    halted: Mapping[int, str] = field(default_factory=dict)

    def fit(self) -> Fit | None:
        return fit(self.points)

    def missing(self) -> list[RewardSpec]:
        """The runs that make the curve whole: an eighth, a quarter, half and all of the comparisons."""
        if self.settings is None:
            return []
        there = {point.labels for point in self.points}
        if not self.labels:
            return [self.settings]  # all of them first: it says how many there are
        sizes = sorted({round(share * self.labels) for share in SHARES})
        return [
            replace(self.settings, labels=0 if size == self.labels else size)
            for size in sizes
            if size >= FEWEST and size not in there
        ]


def growth_of(root: Path) -> Growth:
    """What the completed reward runs of a project say, of those with the settings of the newest one."""
    from rlhf_engine.store.runs import RunsReader

    runs = RunsReader(root)
    try:
        rows = [(row, spec) for row in runs.runs() if row.task == "reward" and (spec := _spec(row.spec_json))]
        found = [(spec, _facts(runs.produced(row.id))) for row, spec in rows if row.state == "completed"]
    finally:
        runs.close()
    if not found:
        return Growth(None, 0, ())
    settings = replace(found[0][0], labels=0)
    alike = [(spec.labels, facts) for spec, facts in found if replace(spec, labels=0) == settings]
    points: dict[int, Point] = {}
    for _, facts in alike:  # the newest of each size
        if point := _point(facts):
            points.setdefault(point.labels, point)
    whole = next((int(facts["labels"]) for used, facts in alike if not used and facts.get("labels")), 0)
    halted: dict[int, str] = {}
    for row, spec in rows:
        if row.state in HALTED and replace(spec, labels=0) == settings:
            halted.setdefault(spec.labels, row.id)
    return Growth(settings, whole, tuple(sorted(points.values(), key=lambda point: point.labels)), halted)


def _spec(text: str) -> RewardSpec | None:
    try:
        spec = spec_from_json(text)
    except SpecError:  # written by another version
        return None
    return spec if isinstance(spec, RewardSpec) else None


def _facts(made: Sequence[Any]) -> dict[str, Any]:
    return next((one.facts for one in reversed(made) if one.what == "reward_model"), {})


def _point(facts: dict[str, Any]) -> Point | None:
    labels, accuracy, of = (facts.get(name) for name in ("labels", "heldout/accuracy", "heldout_pairs"))
    if not labels or not of or accuracy is None:
        return None
    return Point(int(labels), float(accuracy), int(of))
