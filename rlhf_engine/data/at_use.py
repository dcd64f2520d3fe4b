"""Rows of a large dataset as examples, each made when it is used: a run over a million of them begins at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert

T = TypeVar("T")
LOOKED_AT = 256  # rows that are made beforehand, to say how many are too long


class AtUse(Sequence[T], Generic[T]):
    """`count` examples of `make`. In the place of one that is too long stands the next that fits; always the same one.

    How many rows are too long is not known before all were used, so it is estimated from rows at even distances.

    Args:
        length: tokens of an example.
        limit: the longest that fits.
        what: what they are called, as in "comparisons (train)".
    Raises:
        DataError: none of the rows that were looked at fits; when one is made, none at all.
    """

    def __init__(
        self, count: int, make: Callable[[int], T], length: Callable[[T], int], limit: int, what: str, remedy: str
    ) -> None:
        self._count, self._make, self._length, self._limit = count, make, length, limit
        step = max(1, count // LOOKED_AT)
        lengths = [length(make(number)) for number in range(0, count, step)]
        long = sum(n > limit for n in lengths)
        if count and long == len(lengths):
            raise DataError(
                f"All of {len(lengths):,} {what} looked at are longer than {limit} tokens; the shortest has "
                f"{min(lengths):,}.",
                remedy,
            )
        self.left_out: Alert | None = None
        if long:
            share = f"About {100 * long / len(lengths):.2g} % of {count:,} {what}"
            text = f"{share} are longer than {limit} tokens (up to {max(lengths):,} in a sample of {len(lengths):,}). "
            self.left_out = Alert("warning", text + "Where one would come, the next one that fits is taken.", remedy)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(self._count))]
        if not -self._count <= number < self._count:
            raise IndexError(number)
        for further in range(self._count):
            made = self._make((number + further) % self._count)
            if self._length(made) <= self._limit:
                return made
        raise DataError(f"All {self._count:,} rows are longer than {self._limit} tokens.")

    def __iter__(self) -> Iterator[T]:
        return (self[number] for number in range(self._count))


class Each(Sequence[T], Generic[T]):
    """What `make` makes of each of `rows`, when it is used."""

    def __init__(self, rows: Sequence[Any], make: Callable[[Any], T]) -> None:
        self._rows, self._make = rows, make

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self._make(row) for row in self._rows[number]]
        return self._make(self._rows[number])


class Joined(Sequence[T], Generic[T]):
    """Several sequences behind one another, none of them copied."""

    def __init__(self, parts: Sequence[Sequence[T]]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        for part in self._parts:
            if number < len(part):
                return part[number]
            number -= len(part)
        raise IndexError(number)
