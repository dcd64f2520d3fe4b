"""What the steps of a revision are called, and what came of it, in words for a terminal."""

from __future__ import annotations

from typing import Any


def step_name(number: int) -> str:
    """Text 0 is the answer, then come criticism and revision of each round in turn."""
    if number == 0:
        return "First answer"
    return f"{'Criticism' if number % 2 else 'Revision'} {(number + 1) // 2}"


def outcome_words(facts: dict[str, Any]) -> str:
    """Which of the two texts the model prefers, and by what."""
    by = ", ".join(map(str, facts.get("principles", [])))
    if "winner" not in facts:
        return f"By {by}: the texts are the same, or too long to be compared."
    words = {
        "revision": "The model prefers the revision",
        "first": "The model prefers its first answer",
        "tie": "A tie: the two orders disagree",
    }
    shown = f"{facts['ab']:.2f} shown first, {facts['ba']:.2f} shown second"
    return f"{words[str(facts['winner'])]}, by {by}. Probability that the revision is better: {shown}."
