"""In which order the examples come: endless shuffled batches whose place can be saved."""

from __future__ import annotations

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
        self._left: list[int] = []

    def next(self) -> list[int]:
        if len(self._left) < self.size:
            self._left = torch.randperm(self.count, generator=self._rng).tolist()
        batch, self._left = self._left[: self.size], self._left[self.size :]
        return batch

    @property
    def batches_per_epoch(self) -> int:
        return max(1, self.count // self.size)

    def state_dict(self) -> dict[str, Any]:
        return {"left": self._left}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._left = list(state["left"])
