"""Writing answers with the cache that transformers has, for models whose attention does not let itself be replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from rlhf_engine.data.batches import left_pad
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.tensors import position_ids


class Batches:
    """As `decoding.Flow`, but the next prompts enter when all texts of a batch are finished, padded to one length."""

    def __init__(
        self, backbone: Backbone, voice: Any, prompts: Sequence[Sequence[int]], rooms: Sequence[int], slots: int
    ) -> None:
        self._backbone, self._voice, self._prompts, self._slots = backbone, voice, prompts, slots
        asked = [number for number, room in enumerate(rooms) if room > 0]
        # The longest last in the list, so first in a batch, beside others of about their length.
        self._waiting = sorted(asked, key=lambda number: len(prompts[number]))
        self._rows: list[int] = []
        self._cache: Any = None

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._rows)

    def advance(self) -> tuple[list[int], Tensor]:
        device, base = self._backbone.device, self._backbone.base
        if not self._rows:
            self._rows, self._waiting = sorted(self._waiting[-self._slots :]), self._waiting[: -self._slots]
            ids, real = left_pad([list(self._prompts[number]) for number in self._rows], base.pad_id)
            self._ids, self._mask = ids.to(device), real.long().to(device)
            self._positions = position_ids(self._mask)
            self._cache = DynamicCache(config=base.model.config)
        with self._voice():
            hidden, self._cache = self._backbone.decode(self._ids, self._mask, self._positions, self._cache)
        return self._rows, hidden[:, -1]

    def take(self, drawn: dict[int, int], going: set[int]) -> None:
        kept = [row for row, number in enumerate(self._rows) if number in going]
        left = torch.tensor(kept, dtype=torch.int64, device=self._backbone.device)
        if kept and len(kept) < len(self._rows):
            self._cache.batch_select_indices(left)
        self._rows = [self._rows[row] for row in kept]
        self._ids = left.new_tensor([[drawn[number]] for number in self._rows])
        self._positions = self._positions[left, -1:] + 1
        self._mask = torch.cat([self._mask[left], self._mask.new_ones(len(kept), 1)], 1)
