"""Rules: pure functions from an answer to a number. What they are rewarded with is decided elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import regex

from rlhf_engine.contract.errors import SpecError

PATIENCE = 1.0  # seconds for one pattern on one answer: a careless pattern can take for ever
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?|[-+]?\.\d+")


def length_reward(length: int, target: int, wanted: str) -> float:
    """Between 0 and 1: how near to `target`, how much of it (longer), or how far below it (shorter)."""
    match wanted:
        case "longer":
            return min(length / target, 1.0)
        case "shorter":
            return max(0.0, 1 - length / target)
        case _:
            return max(0.0, 1 - abs(length - target) / target)


def length_of(text: str, tokens: int, unit: str) -> int:
    """An answer's length in tokens (the end token is none), words or characters."""
    return {"words": len(text.split()), "characters": len(text)}.get(unit, tokens)


def format_reward(text: str, pattern: str, whole: bool) -> float:
    """1 where the pattern fits, else 0.

    Raises:
        SpecError: the pattern takes longer than a second on one answer.
    """
    try:
        found = (
            regex.fullmatch(pattern, text, timeout=PATIENCE) if whole else regex.search(pattern, text, timeout=PATIENCE)
        )
    except TimeoutError as error:
        raise SpecError(
            "rewards",
            f"The pattern {pattern!r} took longer than {PATIENCE:g} s on an answer of {len(text):,} characters.",
            "Avoid repetitions inside repetitions, such as (a+)+.",
        ) from error
    return float(found is not None)


def repeated_share(tokens: Sequence[int], n: int) -> float:
    """Share of n-grams that have been seen before in the same answer, 0..1."""
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def final_answer(text: str, mark: str) -> str | None:
    """What stands after the last `mark`, up to the end of its line; None where there is no mark."""
    if not mark:
        return text.strip()
    before, found, after = text.rpartition(mark)
    return (after.strip().splitlines() or [""])[0].strip() if found or before else None


def same_answer(text: str, reference: str, mark: str, numbers: bool) -> float:
    """1 where the final answers agree, else 0; an answer without the mark is wrong.

    As numbers: the last number of each final answer, compared exactly, with or without commas. As text: without case
    and without differences of spacing.
    """
    mine, theirs = final_answer(text, mark), final_answer(reference, mark)
    if mine is None or theirs is None:
        return 0.0
    if numbers:
        a, b = _number(mine), _number(theirs)
        return float(a is not None and a == b)
    return float(" ".join(mine.casefold().split()) == " ".join(theirs.casefold().split()))


def word_balance(text: str, good: frozenset[str], bad: frozenset[str]) -> float:
    """(good - bad) / (good + bad) over the words of a text, -1..1; 0 where there are none. Sets are casefolded."""
    words = regex.findall(r"[\p{L}\p{M}\p{N}'-]+", text.casefold())
    liked, disliked = sum(word in good for word in words), sum(word in bad for word in words)
    return (liked - disliked) / (liked + disliked) if liked + disliked else 0.0


def _number(text: str) -> Decimal | None:
    found = _NUMBER.findall(text)
    if not found:
        return None
    try:
        return Decimal(found[-1].replace(",", ""))
    except InvalidOperation:
        return None
