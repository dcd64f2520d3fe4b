"""Several answers to one prompt that were scored or ranked, as comparisons: UltraFeedback, HelpSteer, Nectar.

Where each answer has a row of its own, rows that stand together under one prompt are taken together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rlhf_engine.data.cells import Fault, text_in
from rlhf_engine.data.lines import Rejected

BEST_AND_WORST, ALL = "best and worst", "all"
PAIRS = (BEST_AND_WORST, ALL)  # which of several answers are compared
_MOST = 1000  # rows that are taken together: a file that repeats one prompt for ever must not fill the memory
_TEXTS = ("response", "answer", "completion", "text", "content", "output")
Named = tuple[int, dict[str, Any]]


class Scored(NamedTuple):
    """An answer and how good it is; higher is better."""

    text: str
    score: float


def together(rows: Iterator[Named | Rejected], key: str) -> Iterator[Named | Rejected]:
    """Rows that follow each other with the same `key`, as one under "rows" with the first one's line and fields."""
    group: list[Named] = []
    for found in rows:
        if isinstance(found, Rejected):
            yield found
            continue
        if group and (len(group) == _MOST or group[-1][1].get(key) != found[1].get(key)):
            yield _as_one(group)
            group = []
        group.append(found)
    if group:
        yield _as_one(group)


def _as_one(group: list[Named]) -> Named:
    line, first = group[0]
    return line, {**first, "rows": [row for _, row in group]}


def pairs_of(answers: list[Scored], which: str, field: str) -> list[tuple[str, str]]:
    """(better, worse) answers: the best against the worst, or all that differ in score. Equal scores prefer nothing.

    Raises:
        Fault: there are not two answers, or all have the same score.
    """
    if len(answers) < 2:
        raise Fault(field, "has only one answer with a score" if answers else "has no answer with a score")
    ranked = sorted(answers, key=lambda answer: -answer.score)
    if ranked[0].score == ranked[-1].score:
        raise Fault(field, f"gives all {len(ranked)} answers the same score")
    if which == BEST_AND_WORST:
        return [(ranked[0].text, ranked[-1].text)]
    return [(a.text, b.text) for a, b in itertools.combinations(ranked, 2) if a.score > b.score]


def answers_in(row: Mapping[str, Any]) -> list[Scored]:
    """The scored answers of a row: a list of objects, two lists side by side, or the rows taken together.

    Raises:
        Fault: what is there is no list of answers, or a score is no number.
    """
    if "rows" in row:
        return [
            Scored(text_in(r.get("completion"), "completion"), _number(r.get("score"), "score")) for r in row["rows"]
        ]
    given = row.get("completions")
    if not isinstance(given, list):
        raise Fault("completions", "is missing" if given is None else "is not a list of answers")
    scores = row.get("answer_scores")
    if given and all(isinstance(one, str) for one in given):
        if not isinstance(scores, list) or len(scores) != len(given):
            raise Fault("answer_scores", f"is not a list of {len(given)} scores, one per answer")
        return [Scored(text, _number(score, "answer_scores")) for text, score in zip(given, scores, strict=True)]
    return [_scored(one, number) for number, one in enumerate(given, 1)]


def _scored(one: Any, number: int) -> Scored:
    if not isinstance(one, dict):
        raise Fault("completions", f"has an answer {number} that is no object")
    text = next((one[name] for name in _TEXTS if isinstance(one.get(name), str)), None)
    if text is None:
        raise Fault("completions", f"has an answer {number} without text")
    return Scored(text, _score_of(one, number))


def _score_of(one: Mapping[str, Any], number: int) -> float:
    """The mean over the aspects that were rated, where there are any: UltraFeedback's `overall_score` is known to be
    ten times too high in places, its aspects are not."""
    rated = one.get("annotations")
    if isinstance(rated, dict):
        aspects = [_rating(part) for part in rated.values()]
        numbers = [aspect for aspect in aspects if aspect is not None]
        if numbers:
            return sum(numbers) / len(numbers)
    for name in ("fine-grained_score", "overall_score", "score", "rating", "reward"):
        if one.get(name) not in (None, ""):
            return _number(one[name], "completions", f" of answer {number}")
    if one.get("rank") is not None:
        return -_number(one["rank"], "completions", f" of answer {number}")
    raise Fault("completions", f"has an answer {number} without a score")


def _rating(part: Any) -> float | None:
    if isinstance(part, list):
        part = part[0] if part else None
    value = part.get("Rating") if isinstance(part, dict) else None
    try:
        return float(value) if value is not None else None
    except (TypeError, ValueError):
        return None  # "N/A": this aspect was not rated


def _number(value: Any, field: str, of: str = "") -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError) as error:
        said = "is missing" if value is None else f"{str(value)[:40]!r} is no number"
        raise Fault(field, f"has a score{of} that {said}" if value is None else f"has a score{of}: {said}") from error
    if number != number:
        raise Fault(field, f"has a score{of} that is no number")
    return number
