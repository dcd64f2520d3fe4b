"""The trunk run on real tokens only: sequences end to end in one row, and an attention that keeps them apart.

No product is ever taken over padding, neither in the linear layers nor in attention. transformers hands queries, keys
and values to a function of ours (its `AttentionInterface`), which knows where each sequence begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from rlhf_engine.models.attention import Attention, blockwise
from rlhf_engine.models.layout import Layout

NAME = "unpadded"
LONG = 512  # tokens of a sequence above which the blockwise kernel wins in every format

_layout: Layout | None = None
_heard: dict[Any, int | None] | None = None  # the window that each layer asked for, while somebody listens


@contextmanager
def laid_out(model: PreTrainedModel, layout: Layout | None) -> Iterator[None]:
    """Until the block ends, `model`'s attention keeps the sequences of `layout` apart; nothing for None."""
    global _layout
    if layout is None:
        yield
        return
    before, _layout = _layout, layout
    usual, model.config._attn_implementation = model.config._attn_implementation, NAME
    try:
        yield
    finally:
        _layout, model.config._attn_implementation = before, usual


@contextmanager
def hearing_windows() -> Iterator[dict[Any, int | None]]:
    """The window of every layer whose attention is asked for until the block ends, None for a layer without."""
    global _heard
    _heard = {}
    try:
        yield _heard
    finally:
        _heard = None


def all_windows(config: Any, heard: dict[Any, int | None]) -> bool:
    """Every window that the configuration names has reached its layer. A text that is tried is too short to show one,
    and a model may keep it in the mask, which nothing here looks at."""
    kinds = getattr(config, "layer_types", None)
    told = [window for window in heard.values() if window is not None]
    if kinds is None:
        return not getattr(config, "sliding_window", None) or len(told) == len(heard)
    return set(kinds) <= {"full_attention", "sliding_attention"} and len(told) >= kinds.count("sliding_attention")


def now() -> Layout | None:
    """The layout in force."""
    return _layout


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each sequence of the layout. A key or value may be shared by a group of heads.

    (1, heads, N, D), (1, groups, N, D) twice -> (1, N, heads, D).

    Raises:
        NotImplementedError: the layer wants something that is not computed here; the model is then run with padding.
    """
    if _layout is None or softcap is not None or s_aux is not None or not getattr(module, "is_causal", True):
        raise NotImplementedError("this attention is causal, without soft caps and sinks")
    if _heard is not None:
        _heard[module] = sliding_window
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    v = value[0]
    q, k = query[0].to(v.dtype), key[0].to(v.dtype)  # rotary embeddings may have left them in fp32
    window = sliding_window or q.shape[1]
    if plain_wins(_layout, v):
        out = Attention.apply(q, k, v, _layout.pieces, scale, window)
    else:
        out = blockwise(q, k, v, _layout, scale, window)
    return out.unsqueeze(0), None


AttentionInterface.register(NAME, attend)


def plain_wins(layout: Layout, values: Tensor) -> bool:
    """Whether plain products, sequence by sequence, are the attention here: on a processor, unless sequences are long.

    In fp32 the blockwise kernel would be faster by a fifth, a few per cent of a whole step, but only where sequences
    are of one length; and what is learned would then depend, in its last bits, on how a batch is cut. Measured by
    tests/benchmarks/bench_attention.py. Only plain products know shared beginnings.
    """
    shares = any(piece.shared_length for piece in layout.pieces)
    return shares or (values.device.type == "cpu" and layout.longest <= LONG)
