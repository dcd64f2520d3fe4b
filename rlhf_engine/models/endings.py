"""Which token ends an answer. The tokenizer's own comes first, unless the model could never learn to write it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

ALIKE = 1e-3  # rows of the output layer this close, relative to their length, give the same probability to both tokens
ROWS = 8192  # compared at once


@dataclass(frozen=True, slots=True)
class Endings:
    """`ids` end an answer; the first one is what training appends. `note` and `hint` say why, where it is not plain."""

    ids: tuple[int, ...]
    note: str = ""
    hint: str = ""


def endings_of(model: PreTrainedModel, tokenizer: Any) -> Endings:
    """The end tokens of tokenizer and generation settings, in the order in which they should be used.

    A vocabulary often has tokens that pre-training never met. Their rows in the output layer are still copies of each
    other, and no adapter can tell copies apart: a model trained to end with one of them would never end. Then another
    end token of the model is taken, and the tokenizer in memory follows.
    """
    listed = getattr(model.generation_config, "eos_token_id", None) if model.generation_config else None
    found = [tokenizer.eos_token_id, *(listed if isinstance(listed, list | tuple) else [listed])]
    ids = tuple(dict.fromkeys(int(i) for i in found if i is not None))
    head = model.get_output_embeddings()
    if not ids or head is None:
        return Endings(ids)
    copies = twins(head.weight, ids[0])
    if not copies:
        return Endings(ids)
    own = tokenizer.convert_ids_to_tokens(ids[0])
    never = f"The end token {own!r} was never trained: the model cannot tell it from {copies:,} other tokens."
    better = next((i for i in ids[1:] if not twins(head.weight, i)), None)
    if better is None:
        return Endings(ids, f"{never} Answers may never learn to end.", "Choose a model whose end token was trained.")
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(better)
    ordered = (better, *(i for i in ids if i != better))
    return Endings(ordered, f"{never} Answers end with {tokenizer.eos_token!r} instead, its other end token.")


@torch.no_grad()
def twins(weight: Tensor, token: int) -> int:
    """How many other rows of the output layer (V, D) are the same as this token's."""
    if token >= len(weight):
        return 0
    row = weight[token].float()
    near = sum(int(((part.float() - row).norm(dim=1) <= ALIKE * row.norm()).sum()) for part in weight.split(ROWS))
    return near - 1
