"""What a reward model says of pairs, as the task `score` writes it: one line of JSON for each pair."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rlhf_engine.contract.errors import DataError

FILE = "scores.jsonl"  # in the run's folder


@dataclass(frozen=True, slots=True)
class PairScore:
    """Scores of the two answers in nats, before normalising, so that their difference is a log-odds. `spread` is the
    deviation of the margins of an ensemble's heads, 0 for a single one."""

    pair: str
    a: float
    b: float
    spread: float = 0.0

    @property
    def margin(self) -> float:
        return self.a - self.b

    @property
    def probability(self) -> float:
        """That answer A is better, by Bradley and Terry: 1 / (1 + exp(b - a))."""
        return probability(self.margin)


def probability(margin: float) -> float:
    """1 / (1 + exp(-margin)), without overflow."""
    return 1 / (1 + math.exp(-margin)) if margin >= 0 else math.exp(margin) / (1 + math.exp(margin))


def write_scores(path: Path, scores: Iterable[PairScore]) -> int:
    """Write the file whole or not at all; how many lines it has."""
    lines = [json.dumps(asdict(score)) + "\n" for score in scores]
    draft = path.with_suffix(".tmp")
    draft.write_text("".join(lines), encoding="utf-8")
    draft.replace(path)
    return len(lines)


def read_scores(path: Path) -> dict[str, PairScore]:
    """The scores by the pair's id.

    Raises:
        DataError: no such file, or a line that is no score; the message gives its number.
    """
    found: dict[str, PairScore] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                score = _score(line, path, number)
                found[score.pair] = score
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.", "Score the pairs again.") from error
    return found


def _score(line: str, path: Path, number: int) -> PairScore:
    try:
        row = json.loads(line)
        made = PairScore(str(row["pair"]), float(row["a"]), float(row["b"]), float(row["spread"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"Line {number} of {path} is no score.", "Score the pairs again.") from error
    if not all(map(math.isfinite, (made.a, made.b, made.spread))):
        raise DataError(f"Line {number} of {path} has a score that is not a finite number.", "Score the pairs again.")
    return made
