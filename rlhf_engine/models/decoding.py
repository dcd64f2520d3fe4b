"""Writing many answers at once without a token of padding: one row of tokens per step, and a cache that stays in place.

A step reads one flat row: the newest token of every text that is being written, then whole prompts that enter. Every
layer's attention is told apart by text here, through the interface that transformers has for it; the rest of a layer
treats each token by itself and does not notice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.slots import Shelf, shelves

ATTENTION = "rlhf_slots"
_PROMPT_TOKENS = 2048  # read in one step, so that their activations stay small; a longer prompt goes by itself
_INSIGNIFICANT = {"dropout", "position_ids", "use_cache", "past_key_values", "cache_position", "position_embeddings"}
_INSIGNIFICANT |= {"output_attentions", "output_hidden_states", "is_causal", "layer_idx"}


class Unusual(Exception):
    """A model asks something of attention that is not known here."""


@dataclass(slots=True, eq=False)
class Memory:
    """One layer's keys and values of one shelf, (slots, heads, width, dim) each."""

    keys: Tensor
    values: Tensor


@dataclass(slots=True)
class Entering:
    """A prompt that is read in this step, from `start` to `stop` of the row, and the slots of those who asked it."""

    start: int
    stop: int
    places: list[tuple[int, int]]  # shelf, slot


@dataclass(slots=True)
class Turn:
    """What one step reads, for the attention of all layers."""

    shelves: Sequence[Shelf]
    going: list[int]  # by shelf: how many of its texts read one token, in the order of their slots
    lengths: list[Tensor]  # by shelf: (going,) tokens that each text has in the cache before this step
    entering: list[Entering]
    layers: dict[nn.Module, list[Memory]]  # by shelf; filled when a layer is first heard of
    windows: dict[nn.Module, int | None]
    masks: dict[Any, Tensor | None] = field(default_factory=dict)  # what layers share in this step


_TURN: ContextVar[Turn] = ContextVar("turn")


@contextmanager
def _attending(backbone: Backbone, turn: Turn) -> Iterator[None]:
    """Let the model's layers attend as `turn` says until the block ends."""
    config = backbone.base.model.config
    before, token = config._attn_implementation, _TURN.set(turn)
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before
        _TURN.reset(token)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer. (1, heads, row, dim) -> (1, row, heads, dim).

    Raises:
        Unusual: the layer wants something that is not done here, such as a bias by position.
    """
    if attention_mask is not None or any(v is not None for k, v in more.items() if k not in _INSIGNIFICANT):
        raise Unusual(", ".join(sorted(more.keys() - _INSIGNIFICANT)))
    turn = _TURN.get()
    heads = key.shape[1]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    how = (scale, softcap, None if s_aux is None else s_aux.view(heads, -1, 1))
    if module not in turn.layers:
        turn.windows[module] = sliding_window
        turn.layers[module] = [
            Memory(
                _zeros(key, shelf.slots, heads, shelf.width, key.shape[-1]),
                _zeros(value, shelf.slots, heads, shelf.width, value.shape[-1]),
            )
            for shelf in turn.shelves
        ]
    memories = turn.layers[module]
    parts, start = [], 0
    for number, (memory, going) in enumerate(zip(memories, turn.going, strict=True)):
        if going:
            row = slice(start, start + going)
            part = (query[0, :, row], key[0, :, row], value[0, :, row])
            parts.append(_one_token_each(turn, number, memory, *part, sliding_window, how))
            start += going
    for prompt in turn.entering:
        row = slice(prompt.start, prompt.stop)
        k, v = key[:, :, row], value[:, :, row]
        for shelf, slot in prompt.places:
            memories[shelf].keys[slot, :, : k.shape[2]] = k[0]
            memories[shelf].values[slot, :, : v.shape[2]] = v[0]
        parts.append(_prompt(turn, query[:, :, row], k, v, sliding_window, how))
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).unsqueeze(0), None


def _zeros(like: Tensor, *shape: int) -> Tensor:
    """Zeros, since what is masked out is still multiplied by 0. On a CPU, pages that nobody writes to take no memory,
    which torch's own zeros do."""
    if like.device.type != "cpu":
        return like.new_zeros(shape)
    pages = mmap(-1, math.prod(shape) * like.element_size())
    return torch.frombuffer(pages, dtype=like.dtype).view(shape)


def _one_token_each(
    turn: Turn,
    number: int,
    memory: Memory,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    window: int | None,
    how: tuple[float, float | None, Tensor | None],
) -> Tensor:
    """Cache the newest token of each text of a shelf, and attend from it. (heads, N, dim) -> (N, heads, dim)."""
    heads, going, _ = key.shape
    lengths = turn.lengths[number]
    slots, _, width, _ = memory.keys.shape
    where = turn.masks.get(("where", number, heads))
    if where is None:
        first = torch.arange(going * heads, device=key.device).view(going, heads) * width
        where = turn.masks["where", number, heads] = (first + lengths.unsqueeze(1)).view(-1)
    memory.keys.view(slots * heads * width, -1).index_copy_(0, where, key.transpose(0, 1).flatten(0, 1))
    memory.values.view(slots * heads * width, -1).index_copy_(0, where, value.transpose(0, 1).flatten(0, 1))

    most = max(turn.shelves[number].lengths[:going]) + 1
    window = window if window is not None and window < most else None
    if ("mask", number, window) not in turn.masks:
        place, own = torch.arange(most, device=key.device), lengths.unsqueeze(1)
        seen = place <= own if window is None else (place <= own) & (place > own - window)
        hidden = torch.zeros(seen.shape, device=key.device).masked_fill_(~seen, -torch.inf)
        turn.masks["mask", number, window] = None if bool(seen.all()) else hidden[:, None, None]
    queries = query.transpose(0, 1).reshape(going, heads, -1, query.shape[-1])  # those that share keys, together
    keys, values = memory.keys[:going, :, :most], memory.values[:going, :, :most]
    out = _weigh(queries, keys, values, turn.masks["mask", number, window], how)
    return out.flatten(1, 2)


def _prompt(
    turn: Turn,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    window: int | None,
    how: tuple[float, float | None, Tensor | None],
) -> Tensor:
    """Each token of a prompt attends to those before it. (1, heads, T, dim) -> (T, heads, dim)."""
    scale, softcap, sink = how
    groups, time = query.shape[1] // key.shape[1], key.shape[2]
    window = window if window is not None and window < time else None
    if window is None and softcap is None and sink is None:
        many = groups > 1
        out = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=many)
        return out[0].transpose(0, 1)
    if ("prompt", time, window) not in turn.masks:
        seen = torch.ones(time, time, dtype=torch.bool, device=key.device).tril()
        seen = seen if window is None else seen.triu(1 - window)
        turn.masks["prompt", time, window] = torch.zeros(seen.shape, device=key.device).masked_fill_(~seen, -torch.inf)
    mask = turn.masks["prompt", time, window]
    assert mask is not None
    mask = mask.repeat(groups, 1)
    sink = None if sink is None else sink.repeat_interleave(time, 1)
    queries = query.reshape(1, key.shape[1], groups * time, -1)
    out = _weigh(queries, key, value, mask, (scale, softcap, sink))
    return out.view(query.shape[1], time, -1).transpose(0, 1)


def _weigh(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    how: tuple[float, float | None, Tensor | None],
) -> Tensor:
    """Attention with everything written out: (N, heads, queries, dim) on (N, heads, T, dim), the softmax in fp32.

    One query on many keys is two products of a matrix and a vector: no fused kernel is faster on a CPU, and in bf16
    torch's takes twice as long.
    """
    scale, softcap, sink = how
    scores = torch.matmul(query * scale, key.transpose(2, 3)).float()
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores + mask
    if sink is not None:  # one more place to look at, where there is nothing to see
        scores = torch.cat([scores, sink.float().expand(*scores.shape[:-1], 1)], -1)
    weights = scores.softmax(-1)
    weights = weights if sink is None else weights[..., :-1]
    return torch.matmul(weights.to(value.dtype), value)


AttentionInterface.register(ATTENTION, _attention)


class Flow:
    """Prompts waiting, texts being written, and the cache. `advance` reads; `take` says what was drawn and who goes on.

    Args:
        voice: makes the model answer as the wanted role while a `with` block lasts.
        prompts: token ids.
        rooms: by prompt, how many tokens its answer may have; none enters for 0.
        slots, tokens: how many texts are written at once, and how many tokens they may hold together.
    """

    def __init__(
        self,
        backbone: Backbone,
        voice: Any,
        prompts: Sequence[Sequence[int]],
        rooms: Sequence[int],
        slots: int,
        tokens: int,
    ) -> None:
        self._backbone, self._voice, self._prompts = backbone, voice, prompts
        self._needs = [len(prompt) + room for prompt, room in zip(prompts, rooms, strict=True)]
        asked = [number for number, room in enumerate(rooms) if room > 0]
        # The longest first: what is written last is short, and few slots stand empty at the end.
        self._waiting = sorted(asked, key=lambda number: self._needs[number])
        self._shelves = shelves([self._needs[number] for number in asked], slots, tokens)
        self.layers: dict[nn.Module, list[Memory]] = {}
        self.windows: dict[nn.Module, int | None] = {}

    @property
    def busy(self) -> bool:
        return bool(self._waiting) or any(shelf.answers for shelf in self._shelves)

    def advance(self) -> tuple[list[int], Tensor]:
        """Read the last tokens and the prompts that enter. Returns the answers' numbers and the hidden states (N, H)
        from which the next token of each follows, in the same order."""
        device = self._backbone.device
        going = [len(shelf.answers) for shelf in self._shelves]
        ids = [token for shelf in self._shelves for token in shelf.last]
        positions = [length for shelf in self._shelves for length in shelf.lengths]
        ends = list(range(len(ids)))
        numbers = [answer for shelf in self._shelves for answer in shelf.answers]
        lengths = [torch.tensor(shelf.lengths, dtype=torch.int64, device=device) for shelf in self._shelves]
        entering: dict[tuple[int, ...], Entering] = {}
        for number, place, slot in self._enter():
            prompt = tuple(self._prompts[number])
            if prompt not in entering:  # several answers to one prompt: it is read once
                entering[prompt] = Entering(len(ids), len(ids) + len(prompt), [])
                ids += prompt
                positions += range(len(prompt))
            entering[prompt].places.append((place, slot))
            ends.append(entering[prompt].stop - 1)
            numbers.append(number)
        turn = Turn(self._shelves, going, lengths, list(entering.values()), self.layers, self.windows)
        with self._voice(), _attending(self._backbone, turn):
            row = torch.tensor([ids, positions], device=device)
            hidden = self._backbone.read(row[:1], row[1:])[0]
        for shelf, count in zip(self._shelves, going, strict=True):
            for slot in range(count):
                shelf.lengths[slot] += 1
        return numbers, hidden if len(ends) == len(ids) else hidden[torch.tensor(ends, device=device)]

    def take(self, drawn: dict[int, int], going: set[int]) -> None:
        """By answer the token that follows, and which of the answers go on."""
        for number, shelf in enumerate(self._shelves):
            shelf.last = [drawn[answer] for answer in shelf.answers]
            gone = [slot for slot, answer in enumerate(shelf.answers) if answer not in going]
            for source, target, length in shelf.leave(gone):
                for memories in self.layers.values():
                    for kept in (memories[number].keys, memories[number].values):
                        kept[target, :, :length] = kept[source, :, :length]

    def _enter(self) -> list[tuple[int, int, int]]:
        """Who of the waiting enters now: answer, shelf and slot, in order of the answers."""
        chosen: list[tuple[int, int]] = []
        budget, free = _PROMPT_TOKENS, [shelf.free for shelf in self._shelves]
        if not any(free):
            return []
        read: set[tuple[int, ...]] = set()
        for number in reversed(self._waiting):
            need, prompt = self._needs[number], self._prompts[number]
            fits = (i for i, shelf in enumerate(self._shelves) if free[i] and shelf.width >= need)
            shelf = next(fits, None)
            if shelf is None:
                continue
            if tuple(prompt) not in read:
                if read and len(prompt) > budget:
                    break
                budget -= len(prompt)
                read.add(tuple(prompt))
            free[shelf] -= 1
            chosen.append((number, shelf))
            if not any(free):
                break
        taken = {number for number, _ in chosen}
        self._waiting = [number for number in self._waiting if number not in taken]
        return [
            (number, shelf, self._shelves[shelf].enter(number, len(self._prompts[number])))
            for number, shelf in sorted(chosen)
        ]
