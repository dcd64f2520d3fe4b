"""Given answers and how likely a model finds them as a whole, their end token included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rlhf_engine.data.batches import right_pad
from rlhf_engine.data.chat import Rendered
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.logprobs import token_logprobs


@dataclass(slots=True)
class GivenAnswer:
    """A prompt with an answer. `mask` is True on the answer and its end token; `reference` is the answer's summed
    log-probability under the reference once that has been measured for good (`reference.py`)."""

    ids: list[int]
    mask: list[bool]
    reference: float | None = None

    @classmethod
    def of(cls, rendered: Rendered) -> GivenAnswer:
        return cls(rendered.ids, rendered.completion_mask)

    @property
    def tokens(self) -> int:
        """How many tokens the answer has, with its end."""
        return sum(self.mask)


class AnswerLogprobs(NamedTuple):
    """fp32, (N,) each."""

    total: Tensor  # log-probability of the whole answer, nats
    tokens: Tensor  # its number of tokens

    @property
    def mean(self) -> Tensor:
        """Nats per token."""
        return self.total / self.tokens

    def split(self, first: int) -> tuple[AnswerLogprobs, AnswerLogprobs]:
        """The first so many answers and the others."""
        return (
            AnswerLogprobs(self.total[:first], self.tokens[:first]),
            AnswerLogprobs(self.total[first:], self.tokens[first:]),
        )


def answer_logprobs(backbone: Backbone, role: str, answers: Sequence[GivenAnswer], width: int = 0) -> AnswerLogprobs:
    """How likely a role finds the answers, by one forward pass over one rectangle padded on the right.

    `width` pads further than the longest answer needs. Temperature is 1: preferences are about the model itself.
    """
    logp, mask = logprobs_by_token(backbone, role, answers, width)
    return AnswerLogprobs(logp.sum(1), mask.sum(1).float())


def logprobs_by_token(
    backbone: Backbone, role: str, answers: Sequence[GivenAnswer], width: int = 0
) -> tuple[Tensor, Tensor]:
    """Of the answers' tokens in their rectangle: log-probabilities, 0 elsewhere, and the mask of the answers. (N, T)"""
    ids, attention = right_pad([answer.ids for answer in answers], backbone.base.pad_id, width)
    mask = torch.zeros_like(attention)
    for i, answer in enumerate(answers):
        mask[i, : len(answer.ids)] = torch.tensor(answer.mask)
    device = backbone.device
    ids, attention, mask = ids.to(device), attention.long().to(device), mask.to(device)
    with backbone.acting_as(role):
        return token_logprobs(backbone, ids, attention, mask).logp, mask
