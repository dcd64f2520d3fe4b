"""Which pair comes next, worked out on another thread from the texts and the newest scores. No Qt in this file."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_engine.choosing.orders import COVERAGE, DISAGREE, OLDEST, SCORED
from rlhf_engine.choosing.scores import FILE, PairScore, read_scores
from rlhf_engine.choosing.strategies import Candidate, Turn, arrange
from rlhf_engine.contract.errors import SpecError

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels

MOST = 3000  # pairs that are put in order; those behind them follow by age


@dataclass(frozen=True, slots=True)
class Scores:
    """The newest scores: of which model, and each pair's."""

    model: str = ""
    run: str = ""
    of: dict[str, PairScore] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Pairs in the order in which they are to be asked. `unscored` of the `total` have no score.

    `judge` is the newest reward model, "" where there is none. `made` is when the pairs were read, by time.monotonic.
    """

    strategy: str
    turns: dict[str, Turn]
    scores: Scores
    unscored: int = 0
    total: int = 0
    judge: str = ""
    made: float = -math.inf

    @property
    def ids(self) -> list[str]:
        return list(self.turns)


def newest_scores(root: Path) -> tuple[Scores, str]:
    """The scores of the last run that completed scoring, and the newest reward model; empty where there is none.

    Raises:
        DataError: the file of the scores is gone or damaged.
    """
    from rlhf_engine.store.runs import RunsReader
    from rlhf_engine.tasks import spec_from_json

    runs = RunsReader(root)
    try:
        rows = runs.runs()
    finally:
        runs.close()
    judge = next(
        (f"run:{r.id}" for r in rows if r.task == "reward" and (root / "runs" / r.id / "adapter").is_dir()), ""
    )
    last = next((row for row in rows if row.task == "score" and row.state == "completed"), None)
    if last is None:
        return Scores(), judge
    try:
        model = str(spec_from_json(last.spec_json).reward_model)
    except SpecError:  # written by another version
        model = ""
    return Scores(model, last.id, read_scores(root / "runs" / last.id / FILE)), judge


def read_plan(root: Path, strategy: str, seed: int = 0, no_person_yet: bool = False) -> Plan:
    """Put the pairs that wait in order; of DISAGREE, those that a person has judged.

    Raises:
        DataError, StoreError: scores or labels cannot be read.
    """
    from rlhf_engine.store.labels import Labels

    made = time.monotonic()
    scores, judge = newest_scores(root)  # also where they are not needed: whoever judges is told what the model says
    labels = Labels(root / "labels.db", write=False)
    try:
        if strategy == DISAGREE:
            pairs = _judged(labels, scores)
        elif strategy == OLDEST:
            pairs = []
        else:
            found = labels.next_pairs(MOST, no_person_yet=no_person_yet)
            pairs = [_candidate(row, str(row["id"]), scores) for row in found]
        before = _prompts_judged(labels) if strategy == COVERAGE else []
    finally:
        labels.close()
    turns = arrange(pairs, strategy, seed, before)
    unscored = sum(pair.score is None for pair in pairs) if strategy in SCORED else 0
    return Plan(strategy, {turn.id: turn for turn in turns}, scores, unscored, len(pairs), judge, made)


def _candidate(row: dict[str, Any], id: str, scores: Scores, winner: str = "") -> Candidate:
    return Candidate(id, str(row["prompt"]), str(row["a"]), str(row["b"]), scores.of.get(id), winner)


def _judged(labels: Labels, scores: Scores) -> list[Candidate]:
    """The latest pairs that people have judged."""
    people = (row for row in labels.standing_comparisons() if row["source"] == "human")
    return [_candidate(row, str(row["pair_id"]), scores, str(row["winner"])) for row in deque(people, maxlen=MOST)]


def _prompts_judged(labels: Labels) -> list[str]:
    people = (str(row["prompt"]) for row in labels.standing_comparisons() if row["source"] == "human")
    return list(islice(people, MOST))
