"""Whether a model keeps examples apart that share a row. Found out by trying, before anything is learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.data.packing import lay
from rlhf_engine.models.backbone import Backbone

_LENGTHS = (7, 5, 9)
_TOUCHED = {torch.float32: 1e-4}  # how much may change, relative to the states, because of the neighbours alone
_MOVED = {torch.float32: 1e-4}  # and because the rows are cut otherwise, which also changes the order of the sums
_TOUCHED_LOW, _MOVED_LOW = 1e-2, 5e-2  # in bf16


@torch.no_grad()
def require_separate(backbone: Backbone) -> None:
    """Lay three short examples in one row: the middle one must be what it is beside others, and by itself.

    Raises:
        ModelError: it is not. A model with recurrent state, for one, reads on over the end of an example.
    """
    vocabulary = int(backbone.base.model.config.vocab_size)
    ids = (torch.arange(sum(_LENGTHS)) * 7919 + 3) % vocabulary
    before, middle, after = (part.tolist() for part in ids.split(list(_LENGTHS)))
    among = _middle(backbone, [before, middle, after])
    others = _middle(backbone, [[(i + 1) % vocabulary for i in before], middle, [(i + 1) % vocabulary for i in after]])
    alone = _states(backbone, [middle], [[0]])[0]
    dtype = backbone.base.model.dtype
    touched, moved = _difference(others, among), _difference(alone, among)
    if touched <= _TOUCHED.get(dtype, _TOUCHED_LOW) and moved <= _MOVED.get(dtype, _MOVED_LOW):
        return
    raise ModelError(
        f"{type(backbone.base.model).__name__} does not keep examples apart that share a row: what it makes of one "
        f"changes by {max(touched, moved):.2%} with its neighbours.",
        "Switch packing off for this model.",
    )


def _middle(backbone: Backbone, examples: Sequence[list[int]]) -> Tensor:
    start = len(examples[0])
    wider = [[0, 1, 2], [0, 1, 2, 0]]  # the first row is filled up with padding
    return _states(backbone, examples, wider)[0, start : start + len(examples[1])]


def _states(backbone: Backbone, examples: Sequence[list[int]], rows: list[list[int]]) -> Tensor:
    laid = lay(rows, examples, backbone.base.pad_id)
    segments = laid.segments.to(backbone.device)
    return backbone.hidden(laid.ids.to(backbone.device), (segments > 0).long(), segments).float()


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())
