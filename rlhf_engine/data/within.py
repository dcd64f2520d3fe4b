"""Which rows fit into the model's context. Nothing is ever cut: what does not fit is left out, counted and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert
from rlhf_engine.data.at_use import AtUse
from rlhf_engine.data.indexed import FROM

T = TypeVar("T")


def few_or_at_use(
    count: int,
    make: Callable[[int], T],
    length: Callable[[T], int],
    longest: int,
    context: int,
    what: str,
    needed: bool = True,
    at_once: bool = False,
) -> tuple[Sequence[T], Alert | None]:
    """`within` for the examples that `make` gives: of a large dataset each is made when it is used (see `AtUse`).

    `at_once` makes all of them now, however many there are.
    """
    if at_once or count <= FROM:
        return within([make(number) for number in range(count)], length, longest, context, what, needed)
    rows = AtUse(count, make, length, min(longest, context), what, remedy(longest, context, 0))
    return rows, rows.left_out


def within(
    rows: Sequence[T],
    length: Callable[[T], int],
    longest: int,
    context: int,
    what: str,
    needed: bool = True,
    answer: int = 0,
) -> tuple[list[T], Alert | None]:
    """The rows that fit, and a warning about the others (None when all fit).

    Args:
        longest: tokens that the person allows ("Longest example").
        context: tokens that the model can read.
        answer: tokens to leave free for an answer.
    Raises:
        DataError: nothing is left, and it is `needed`.
    """
    limit = min(longest, context) - answer
    kept = [row for row in rows if length(row) <= limit]
    if len(kept) == len(rows):
        return kept, None
    hint = remedy(longest, context, answer)
    lengths = [length(row) for row in rows]
    if not kept and needed:
        raise DataError(
            f"All {len(rows):,} {what} are longer than {limit} tokens; the shortest has {min(lengths):,}.", hint
        )
    left_out = f"{len(rows) - len(kept):,} of {len(rows):,} {what}"
    return kept, Alert(
        "warning", f"{left_out} are longer than {limit} tokens (up to {max(lengths):,}) and were left out.", hint
    )


def remedy(longest: int, context: int, answer: int) -> str:
    """What can be done about rows that are too long."""
    if longest < context:
        first = f"Raise the longest example ({longest} tokens; the model reads up to {context})"
    else:
        first = f"The model reads no more than {context} tokens: use one with a longer context"
    return first + (f", or lower the response length ({answer})." if answer else ".")
