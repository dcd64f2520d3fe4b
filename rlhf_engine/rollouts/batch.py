"""Prompts and answers as one rectangle, and the rows of it that go through the model together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_engine.data.batches import left_pad, right_pad
from rlhf_engine.models.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts on the left, answers on the right, each (B, P + R). `mask` is True on answer tokens with their end."""

    ids: Tensor
    attention: Tensor
    mask: Tensor
    prompt_width: int

    def rows(self, index: Tensor | slice) -> Batch:
        return Batch(self.ids[index], self.attention[index], self.mask[index], self.prompt_width)

    @property
    def answer_mask(self) -> Tensor:
        """(B, R)"""
        return self.mask[:, self.prompt_width :]

    @property
    def states(self) -> Tensor:
        """Where hidden states are read: from each prompt's last token to the end of its answer. (B, P + R) bool."""
        return self.attention.bool() & (
            torch.arange(self.ids.shape[1], device=self.ids.device) >= self.prompt_width - 1
        )

    @property
    def answer_ids(self) -> Tensor:
        return self.ids[:, self.prompt_width :]

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        prompts: list[list[int]],
        answers: list[list[int]],
        prompt_width: int = 0,
        width: int = 0,
    ) -> Batch:
        """One rectangle of at least this size, so that every process of a run can have the same."""
        pad, device = backbone.base.pad_id, backbone.device
        left, left_mask = left_pad(prompts, pad, prompt_width)
        right, right_mask = right_pad(answers, pad, width)
        attention = torch.cat([left_mask, right_mask], 1).long()
        mask = torch.cat([torch.zeros_like(left_mask), right_mask], 1)
        ids = torch.cat([left, right], 1)
        return cls(ids.to(device), attention.to(device), mask.to(device), left.shape[1])


def micro_batches(count: int, minibatch_size: int, micro_batch_size: int) -> list[slice]:
    """The rows of each forward pass: never across two minibatches, so the first epoch repeats them exactly.

    The same rows in the same rectangle give the same bits: that is why the first probability ratio is 1, and not
    merely close to it.
    """
    return [
        slice(start, min(start + micro_batch_size, mini + minibatch_size, count))
        for mini in range(0, count, minibatch_size)
        for start in range(mini, min(mini + minibatch_size, count), micro_batch_size)
    ]
