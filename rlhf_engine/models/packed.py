"""Whether a model keeps examples apart that share a row. Found out by trying, before anything is learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.data.packing import lay
from rlhf_engine.models.backbone import Backbone

_LENGTHS = (7, 5, 9)
# How far the states may move, relative to their length: by the neighbours alone, and by rows of another shape, which
# also change the order in which sums are taken.
_IN_FP32, _IN_BF16 = (1e-4, 1e-4), (1e-2, 5e-2)


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
    one = torch.tensor([middle], device=backbone.device)
    alone = backbone.hidden(one, torch.ones_like(one)).float()[0]
    touched, moved = _difference(others, among), _difference(alone, among)
    most_touched, most_moved = _IN_FP32 if backbone.base.model.dtype == torch.float32 else _IN_BF16
    if touched <= most_touched and moved <= most_moved:
        return
    raise ModelError(
        f"{type(backbone.base.model).__name__} does not keep examples apart that share a row: what it makes of one "
        f"changes by {max(touched, moved):.2%} with its neighbours.",
        "Switch packing off for this model.",
    )


def _middle(backbone: Backbone, examples: Sequence[list[int]]) -> Tensor:
    laid = lay([[0, 1, 2], [0, 1, 2, 0]], examples, backbone.base.pad_id)  # the first row is filled up with padding
    segments, start = laid.segments.to(backbone.device), len(examples[0])
    states = backbone.hidden(laid.ids.to(backbone.device), (segments > 0).long(), segments).float()
    return states[0, start : start + len(examples[1])]


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())
