"""Which rows fit into the model's context. Nothing is ever cut: what does not fit is left out, counted and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rlhf_engine.contract.errors import DataError

T = TypeVar("T")


def within(
    rows: Sequence[T], length: Callable[[T], int], limit: int, what: str, needed: bool = True
) -> tuple[list[T], str]:
    """The rows of at most `limit` tokens, and a sentence about the others ("" when there are none).

    Raises:
        DataError: nothing is left, and it is `needed`.
    """
    kept = [row for row in rows if length(row) <= limit]
    left_out = len(rows) - len(kept)
    if rows and not kept and needed:
        shortest = min(length(row) for row in rows)
        raise DataError(
            f"All {len(rows)} {what} are longer than {limit} tokens; the shortest has {shortest}.",
            "Raise the longest example, or use a model with a longer context.",
        )
    longest = max((length(row) for row in rows), default=0)
    sentence = f"{left_out} of {len(rows)} {what} are longer than {limit} tokens (up to {longest}) and were left out."
    return kept, sentence if left_out else ""
