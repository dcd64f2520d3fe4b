"""Whether a model writes in `decoding`'s way what it would write in its own. Found out by trying, once."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.decoding import Flow, Unusual
from rlhf_engine.models.unpadded import all_windows

_PROMPTS, _WRITTEN = (7, 4), 3  # tokens of each, and how many follow
_IN_FP32, _IN_BF16 = 1e-4, 5e-2  # how far the states may be off, relative to their length
_SINCE_LENGTH = ("dynamic", "longrope")  # rotary embeddings that change with the longest text read at the same time
_FOUND: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


def cache_bytes(backbone: Backbone) -> int:
    """What a token takes in the cache of all layers, or 0 where the model has to be read in its own way."""
    model = backbone.base.model
    if model not in _FOUND:
        _FOUND[model] = _tried(backbone)
    return _FOUND[model]


@torch.no_grad()
def _tried(backbone: Backbone) -> int:
    config = backbone.base.model.config
    if any(name in str(getattr(config, "rope_parameters", "")) for name in _SINCE_LENGTH):
        return 0
    count = sum(_PROMPTS) + len(_PROMPTS) * _WRITTEN
    ids = ((torch.arange(count) * 7919 + 3) % int(config.vocab_size)).tolist()
    texts, start = [], 0
    for length in _PROMPTS:
        texts.append(ids[start : start + length + _WRITTEN])
        start += length + _WRITTEN
    try:
        states, flow = _written(backbone, texts)
    except torch.OutOfMemoryError:
        raise
    except (Unusual, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError):
        return 0  # whatever it is, it does not go this way: its own one is tried next, and speaks for itself
    if not flow.layers or not all_windows(config, flow.windows):
        return 0
    allowed = _IN_FP32 if backbone.base.model.dtype == torch.float32 else _IN_BF16
    for text, length, found in zip(texts, _PROMPTS, states, strict=True):
        whole = torch.tensor([text], device=backbone.device)
        with backbone.acting_as(PLAIN):
            wanted = backbone.hidden(whole, torch.ones_like(whole)).float()[0, length - 1 : -1]
        if not bool((found.float() - wanted).norm() <= allowed * wanted.norm()):
            return 0
    tensors = [kept for layer in flow.layers.values() for memory in layer for kept in (memory.keys, memory.values)]
    return sum(t[0, :, 0].numel() * t.element_size() for t in tensors) // len(next(iter(flow.layers.values())))


def _written(backbone: Backbone, texts: list[list[int]]) -> tuple[list[Tensor], Flow]:
    """The states from which each token after the prompts follows, with the given texts told instead of drawn."""

    def voice() -> AbstractContextManager[Any]:
        return backbone.acting_as(PLAIN)

    prompts = [text[:length] for text, length in zip(texts, _PROMPTS, strict=True)]
    flow = Flow(backbone, voice, prompts, [_WRITTEN] * len(texts), len(texts), 1 << 20)
    states: list[list[Tensor]] = [[] for _ in texts]
    for step in range(_WRITTEN):
        numbers, hidden = flow.advance()
        for number, state in zip(numbers, hidden, strict=True):
            states[number].append(state)
        flow.take({n: texts[n][_PROMPTS[n] + step] for n in numbers}, set(numbers) if step < _WRITTEN - 1 else set())
    return [torch.stack(of_text) for of_text in states], flow
