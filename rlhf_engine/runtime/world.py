"""The processes of one run. One process is a world of size 1, so no loop ever asks whether it is distributed.

Reads RANK, LOCAL_RANK and WORLD_SIZE, which torchrun sets.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # a run may be paused for a weekend while the others wait for the leader


@dataclass(frozen=True, slots=True)
class World:
    rank: int
    size: int
    device: torch.device

    @classmethod
    def join(cls, device: torch.device) -> World:
        """The world that torchrun set up, or a world of one on `device`."""
        rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
            torch.cuda.set_device(device)
        if size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        return cls(rank, size, device)

    @property
    def leads(self) -> bool:
        """True on the one process that records, prints and saves."""
        return self.rank == 0

    def sum_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in one message. LoRA gradients are a few megabytes."""
        found = list(tensors)
        if self.size == 1 or not found:
            return
        flat = torch.cat([t.flatten() for t in found])
        dist.all_reduce(flat)
        for t, part in zip(found, flat.split([t.numel() for t in found]), strict=True):
            t.copy_(part.view_as(t))

    def share(self, rows: Sequence[T]) -> list[T]:
        """This process's part of the rows of a step: a contiguous block, so that `gather` puts them back in order."""
        each = -(-len(rows) // self.size)
        return list(rows[self.rank * each : (self.rank + 1) * each])

    def gather(self, part: Tensor) -> Tensor:
        """The parts of all processes along the first dimension. Every part must have the same shape."""
        if self.size == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.size)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    def largest(self, number: int) -> int:
        """The largest of the processes' numbers."""
        if self.size == 1:
            return number
        word = torch.tensor([number], device=self.device)
        dist.all_reduce(word, op=dist.ReduceOp.MAX)
        return int(word.item())

    def leaders(self, number: float) -> float:
        """The leader's number, on every process."""
        if self.size == 1:
            return number
        word = torch.tensor([number], device=self.device, dtype=torch.float64)
        dist.broadcast(word, src=0)
        return float(word.item())

    def agree(self, flag: bool) -> bool:
        """True on every process if it is True on the leader, so that all stop at the same step."""
        if self.size == 1:
            return flag
        word = torch.tensor([flag], device=self.device, dtype=torch.int32)
        dist.broadcast(word, src=0)
        return bool(word.item())
