"""What a model takes in memory, from its config.json and the headers of its weight files: nothing is loaded.

No torch in this file: the window reads it. The table `SAVED` says what one block of a decoder keeps of every token for
the backward pass. It was measured (torch's saved-tensor hooks) and a test measures it again: whoever changes the
forward pass changes the table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from rlhf_engine.models.folders import adapter_facts, read_json, tensors_of
from rlhf_engine.models.trainable import trainable

CHUNK, CACHED = 1 << 24, 1 << 19  # of `logprobs.py`: logits that are kept, and that are worked on at once
LAID_OUT = 1 << 30  # of `voices.py`: bytes of weights up to which they are copied for writing
_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "F8_E5M2": 1}


class Saved(NamedTuple):
    """What a block keeps: so many times a width, in the format of the base or in fp32."""

    what: str
    width: str
    times: float
    fp32: bool = False


_ATTENTION = (Saved("queries and the attention's output", "queries", 2), Saved("keys and values", "keys", 2))
_PLAIN = (
    Saved("inputs of the two norms", "hidden", 2),
    Saved("normed inputs of attention and MLP", "hidden", 2),
    *_ATTENTION,
    Saved("gate, up and their product", "inner", 3),
)
_ONE_STEP = (  # `block.py`: what else it needs, it makes again
    Saved("inputs of attention and MLP", "hidden", 2),
    *_ATTENTION,
    Saved("gate and up", "inner", 2),
    Saved("inside of each adapter", "rank", 1),
)
SAVED = {  # by what is trained, and whether the base is in half precision
    ("adapter in one step", False): _ONE_STEP,
    ("adapter in one step", True): _ONE_STEP,
    ("adapter", False): (*_PLAIN, Saved("inside of each adapter", "rank", 1)),
    ("adapter", True): (*_PLAIN, Saved("inside of each adapter", "rank", 1)),
    ("all-weights", False): _PLAIN,
    ("all-weights", True): (
        Saved("inputs of the two norms", "hidden", 2, fp32=True),
        Saved("normed inputs, rounded and scaled", "hidden", 5),
        *_ATTENTION,
        Saved("gate, up and their product", "inner", 3),
    ),
}
LLAMAS = {f"self_attn.{x}_proj" for x in "qkvo"} | {f"mlp.{x}_proj" for x in ("gate", "up", "down")}
LLAMAS |= {"input_layernorm", "post_attention_layernorm"}
DORA_OUTPUTS = 3.0  # times the widths of all adapted outputs, in fp32: a DoRA layer keeps them
AT_WORK = {"hidden": 6.0, "inner": 4.0}  # of one block while it is computed, or gone back through: what is not kept


@dataclass(frozen=True, slots=True)
class Footprint:
    """A decoder's sizes. Widths are numbers per token; `rank` is the sum over the adapters of a block."""

    parameters: int
    vocabulary: int
    layers: int
    hidden: int
    inner: int
    queries: int
    keys: int
    context: int
    outputs: int  # of all adapted matrices of a block, together
    stored: int  # bytes of a parameter on disk
    trained: int  # numbers of a new adapter, or of all weights
    rank: int
    adapter: int = 0  # numbers of the adapter that the model already carries
    head_dims: int = 0
    llamas: bool = False  # its blocks are of Llama's kind, without windows

    def weights(self, half: bool, four_bits: bool = False) -> int:
        """Bytes of the base in memory."""
        if four_bits:  # embeddings stay; 4 bits, and scales for blocks of 64
            embeddings = min(self.parameters, self.vocabulary * self.hidden)
            return embeddings * 2 + (self.parameters - embeddings) * 5 // 9
        return int(self.parameters * (2 if half else 4))

    def saved(self, half: bool, settings: Mapping[str, Any]) -> tuple[float, float]:
        """Bytes that the backward pass keeps of every token: over all blocks, and of those the ones kept at the end of
        the forward pass (fewer where activations are computed again)."""
        size, whole = (2 if half else 4), settings.get("trained") == "all-weights"
        table = SAVED["all-weights" if whole else f"adapter{' in one step' * self._in_one_step(settings)}", half]
        block = sum(row.times * getattr(self, row.width) * (4 if row.fp32 else size) for row in table)
        if settings.get("lora_variant") == "dora" and not whole:
            block += DORA_OUTPUTS * self.outputs * 4
        if settings.get("activation_checkpointing"):
            return block, float(self.layers * self.hidden * (4 if not half or not whole else size))
        return block, block * self.layers

    def _in_one_step(self, settings: Mapping[str, Any]) -> bool:
        """Whether `block.py` computes the blocks: on a processor, with ordinary adapters and without dropout."""
        usual = settings.get("lora_variant", "lora") in ("lora", "rslora") and not settings.get("lora_dropout")
        started = settings.get("lora_init", "default") == "default"
        return self.llamas and usual and started and settings.get("device") != "cuda"

    def activations(self, tokens: int, half: bool, settings: Mapping[str, Any]) -> int:
        """Bytes at the top of an update's pass over so many tokens."""
        block, kept = self.saved(half, settings)
        inside = block if settings.get("activation_checkpointing") else 0.0
        rounded = (
            2 * self.parameters if half and settings.get("trained") == "all-weights" else 0
        )  # weights, by autocast
        return round(tokens * (kept + inside)) + rounded + self.at_work(tokens, half)

    def at_work(self, tokens: int, half: bool) -> int:
        """Bytes that a block needs while it is computed, gradient or not."""
        width = AT_WORK["hidden"] * self.hidden + AT_WORK["inner"] * self.inner
        return round(tokens * width * (2 if half else 4))

    def cache(self, answers: int, tokens: int, half: bool) -> int:
        """Bytes of keys and values of so many answers of so many tokens, prompt and all."""
        return answers * tokens * self.layers * 2 * self.keys * (2 if half else 4)

    def laid_out(self, half: bool) -> int:
        """Bytes of the copies of weights that writing answers on a processor is faster with; while they are made from
        an adapter in fp32, there are two of each."""
        once = self.weights(half)
        return (once if half else 2 * once) if once <= LAID_OUT else 0

    def logits(self, tokens: int, on_gpu: bool, keeps: bool) -> int:
        """Bytes of the output layer on so many tokens: of the piece that is worked on, and of the log-probabilities
        that are kept for the backward pass while they are few."""
        size = tokens * self.vocabulary
        kept = size if keeps and size <= CHUNK else 0
        return 4 * (kept + 3 * min(size, CHUNK if on_gpu else CACHED))


def footprint(folder: Path, settings: Mapping[str, Any], adapter: Path | None = None) -> Footprint | None:
    """The sizes of the base in `folder` under these settings (of `TrainingFields`), with the adapter it goes on with.

    None where the files do not say: no weights, or an architecture whose config has other words for it.
    """
    config, tensors = read_json(folder / "config.json"), tensors_of(folder)
    inner = config.get("text_config")
    config = inner if isinstance(inner, dict) else config
    found = trainable(folder, settings)

    def number(*names: str) -> int:
        return next((int(config[n]) for n in names if isinstance(config.get(n), int) and config[n] > 0), 0)

    hidden, layers = number("hidden_size", "n_embd", "d_model"), number("num_hidden_layers", "n_layer")
    heads, vocabulary = number("num_attention_heads", "n_head"), number("vocab_size")
    if not tensors or not (hidden and layers and heads and vocabulary) or found is None:
        return None
    head = number("head_dim") or hidden // heads
    kept = adapter_facts(adapter) if adapter is not None else None
    rank = (kept.rank if kept and kept.rank else int(settings.get("lora_rank", 16))) * len(found.layers)
    bytes_of = sum(_BYTES.get(kind, 4) * prod(shape) for kind, shape in tensors.values())
    keys = head * (number("num_key_value_heads") or heads)
    wide = number("intermediate_size", "n_inner", "ffn_dim") or 4 * hidden
    return Footprint(
        parameters=found.total,
        vocabulary=vocabulary,
        layers=layers,
        hidden=hidden,
        inner=wide,
        queries=head * heads,
        keys=keys,
        context=number("max_position_embeddings", "n_positions", "n_ctx") or 1_000_000,
        outputs=head * heads + 2 * keys + 2 * hidden + 2 * wide,
        stored=max(1, round(bytes_of / max(1, sum(prod(shape) for _, shape in tensors.values())))),
        trained=found.trained,
        rank=rank,
        adapter=kept.parameters if kept else 0,
        llamas=_of_llamas_kind(tensors, config),
    )


def _of_llamas_kind(tensors: Collection[str], config: Mapping[str, Any]) -> bool:
    """Whether the weights of every block are those that `block.py` knows."""
    inside = {name.split(".layers.")[1].split(".", 1)[1] for name in tensors if ".layers." in name}
    weights = {name.removesuffix(".weight").removesuffix(".bias") for name in inside}
    windows = config.get("sliding_window") and config.get("use_sliding_window", True)
    return weights == LLAMAS and not windows
