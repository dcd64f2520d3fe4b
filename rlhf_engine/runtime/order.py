"""In which order the examples come: endless shuffled batches whose place can be saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class Order:
    """Goes through `count` examples in a fresh random order each epoch, `size` at a time.

    What is left of an epoch that does not fill a batch is skipped; the next epoch's order is new, so no example is
    skipped for ever. Fewer examples than `size` make one smaller batch.
    """

    def __init__(self, count: int, size: int, generator: torch.Generator) -> None:
        self.count, self.size = count, min(size, count)
        self._rng = generator
        self._left = torch.empty(0, dtype=torch.int64)

    def next(self) -> list[int]:
        if len(self._left) < self.size:
            self._left = torch.randperm(self.count, generator=self._rng)
        batch, self._left = self._left[: self.size], self._left[self.size :]
        numbers: list[int] = batch.tolist()
        return numbers

    @property
    def batches_per_epoch(self) -> int:
        return max(1, self.count // self.size)

    def state_dict(self) -> dict[str, Any]:
        return {"left": self._left.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._left = torch.tensor(state["left"], dtype=torch.int64)


class Mixture:
    """Batches of `size` drawn from several sets of examples in proportion to `shares`, each in an order of its own.

    Examples are numbered through: those of the second set come after the first's. What rounding owes a set in one
    batch, the next ones give it, so that over a run the proportions are those of the shares. A set that is used up
    begins again in a new order, while the others go on. An epoch is as many examples as all sets hold.
    """

    def __init__(self, counts: Sequence[int], shares: Sequence[float], size: int, generator: torch.Generator) -> None:
        self.counts, self.size = list(counts), min(size, sum(counts))
        self._shares = [share / sum(shares) for share in shares]
        self._rng = generator
        self._left: list[list[int]] = [[] for _ in counts]
        self._owed = [0.0] * len(self.counts)
        self._drawn = [0] * len(self.counts)

    def next(self) -> list[int]:
        self._owed = [owed + self.size * share for owed, share in zip(self._owed, self._shares, strict=True)]
        return [self._draw(max(range(len(self.counts)), key=self._owed.__getitem__)) for _ in range(self.size)]

    def _draw(self, chosen: int) -> int:
        if not self._left[chosen]:
            self._left[chosen] = torch.randperm(self.counts[chosen], generator=self._rng).tolist()
        self._owed[chosen] -= 1
        self._drawn[chosen] += 1
        return sum(self.counts[:chosen]) + self._left[chosen].pop()

    @property
    def batches_per_epoch(self) -> int:
        return max(1, sum(self.counts) // self.size)

    @property
    def passes(self) -> list[float]:
        """How often each set has been gone through so far."""
        return [drawn / count for drawn, count in zip(self._drawn, self.counts, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return {"left": self._left, "owed": self._owed, "drawn": self._drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._left = [list(left) for left in state["left"]]
        self._owed, self._drawn = list(state["owed"]), list(state["drawn"])
