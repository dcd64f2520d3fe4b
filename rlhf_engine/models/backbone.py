"""One frozen base in memory, many adapters on it: policy, reference, reward and value take turns.

with backbone.acting_as("reference"):
    hidden = backbone.hidden(ids, attention_mask)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.data.batches import right_pad
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.load import LoadedBase
from rlhf_engine.tensors import last_index, position_ids, segment_position_ids

PLAIN = ""  # the role of the base without any adapter


class Backbone:
    """A base with named adapters and scalar heads. Only names given as trainable ever require gradients.

    PEFT's own `set_adapter` makes whatever it activates trainable; here activation and training are separate things.
    """

    def __init__(self, base: LoadedBase) -> None:
        self.base = base
        self.heads = nn.ModuleDict()
        self._peft: PeftModel | None = None
        self._configs: dict[str, LoraConfig] = {}
        self._layers: list[BaseTunerLayer] = []
        self._lora: list[tuple[nn.Parameter, bool]] = []  # every adapter's weights, and whether they are trained
        self._trainable: set[str] = set()
        self._acting = PLAIN
        self._refuse_unusual_output()

    @property
    def device(self) -> torch.device:
        return self.base.model.device

    @property
    def hidden_size(self) -> int:
        return int(self.base.model.get_output_embeddings().weight.shape[1])

    # Adapters -----------------------------------------------------------------------------------------------------

    def add(self, name: str, config: LoraConfig, trainable: bool = False) -> None:
        """A new adapter: its B matrices are zero, so at first it changes nothing.

        Raises:
            ModelError: the config names layers that this model does not have.
        """
        try:
            if self._peft is None:
                self._peft = get_peft_model(self.base.model, config, adapter_name=name)
            else:
                self._peft.add_adapter(name, config)
        except ValueError as error:
            raise ModelError(
                f"The adapter's target layers ({config.target_modules}) are not in this model.",
                "Choose all-linear, or names such as q_proj,v_proj.",
            ) from error
        self._peft.eval()
        self._configs[name] = config
        self._layers = [m for m in self._peft.modules() if isinstance(m, BaseTunerLayer)]
        if trainable:
            self._trainable.add(name)
        named = [(key, p) for key, p in self._peft.named_parameters() if ".lora_" in key]
        self._lora = [(p, any(f".{kept}." in key for kept in self._trainable)) for key, p in named]
        self._activate(self._acting if self._acting in self._configs else PLAIN)

    def copy(self, source: str, target: str, trainable: bool = False) -> None:
        """A new adapter with the weights of another."""
        self.add(target, self._configs[source], trainable)
        self.load_state(target, self.state(source))

    def config(self, name: str) -> LoraConfig:
        return self._configs[name]

    def has(self, name: str) -> bool:
        return name in self._configs

    def parameters_of(self, name: str) -> list[nn.Parameter]:
        """The adapter's own parameters, then those of the head of the same name if there is one."""
        own = [p for _, p in sorted(self._named(name).items())]
        return own + (list(self.heads[name].parameters()) if name in self.heads else [])

    def b_matrices_of(self, name: str) -> list[nn.Parameter]:
        """The second factor of each of the adapter's products, which starts at zero and learns faster in LoRA+."""
        return [p for key, p in sorted(self._named(name).items()) if ".lora_B." in key]

    def state(self, name: str) -> dict[str, Tensor]:
        """The adapter's weights under PEFT's file names."""
        return {key: p.detach().clone() for key, p in self._named(name).items()}

    def load_state(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Put weights into an adapter. Raises ModelError unless names and shapes are exactly the adapter's."""
        mine = self._named(name)
        wrong = sorted(mine.keys() ^ tensors.keys()) or [k for k in mine if mine[k].shape != tensors[k].shape]
        if wrong:
            raise ModelError(
                f"The adapter does not fit this base: {len(wrong)} of {len(mine)} tensors differ, first {wrong[0]}.",
                "Load it on the base it was trained on.",
            )
        with torch.no_grad():
            for key, parameter in mine.items():
                parameter.copy_(tensors[key])

    def _named(self, name: str) -> dict[str, nn.Parameter]:
        if self._peft is None or name not in self._configs:
            raise KeyError(name)
        marker, magnitude = f".{name}.", f".lora_magnitude_vector.{name}.weight"
        return {
            (key.removesuffix(f".{name}.weight") if key.endswith(magnitude) else key.replace(marker, ".")): p
            for key, p in self._peft.named_parameters()
            if marker in key and ".lora_" in key
        }

    # Roles --------------------------------------------------------------------------------------------------------

    @contextmanager
    def acting_as(self, name: str) -> Iterator[Backbone]:
        """Answer as this adapter (or as the plain base) until the block ends."""
        before = self._acting
        self._activate(name)
        try:
            yield self
        finally:
            self._activate(before)

    def _activate(self, name: str) -> None:
        if name != PLAIN and name not in self._configs:
            raise KeyError(name)
        self._acting = name
        for layer in self._layers:
            layer.enable_adapters(name != PLAIN)
            if name != PLAIN:
                layer.set_adapter([name], inference_mode=True)
        for parameter, trained in self._lora:
            parameter.requires_grad_(trained)

    def train(self, training: bool) -> None:
        """Switch LoRA dropout on or off. The base has no say: it is frozen."""
        for layer in self._layers:
            cast(nn.Module, layer).train(training)

    # Forward ------------------------------------------------------------------------------------------------------

    def hidden(self, ids: Tensor, attention_mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """Last hidden states of the active role. Shapes: (B, T), (B, T), (B, T) -> (B, T, H).

        `segments` says which examples share a row (`data.packing.lay`); none attends to another. Ask
        `models.packed.require_separate` once whether this model can do that.
        """
        if segments is None:
            positions, attends = position_ids(attention_mask), attention_mask
        else:
            # Without a mask, transformers reads from positions that begin again where one example ends, and joins that
            # to the causal and the sliding windows; a 4-D mask of our own would take the place of the windows.
            positions, attends = segment_position_ids(segments), None
        out = self._trunk()(input_ids=ids, attention_mask=attends, position_ids=positions, use_cache=False)
        states: Tensor = out.last_hidden_state
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits in fp32. (..., H) -> (..., V)."""
        return self._finish(self.base.model.get_output_embeddings()(hidden)).float()

    def decode(self, ids: Tensor, attention_mask: Tensor, positions: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """One step of generation with a key-value cache: hidden states (B, T, H) of the new tokens, and the cache."""
        out = self._trunk()(
            input_ids=ids, attention_mask=attention_mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        return out.last_hidden_state, out.past_key_values

    def _trunk(self) -> nn.Module:
        """The model below its output layer. LoRA layers are put inside it in place, so it is always the adapted one."""
        trunk: nn.Module = self.base.model.base_model
        return trunk

    def _finish(self, logits: Tensor) -> Tensor:
        """What some architectures do to logits after the output layer."""
        config = self.base.model.config
        if (scale := getattr(config, "logits_scaling", None)) is not None:
            logits = logits / scale
        if (scale := getattr(config, "logit_scale", None)) is not None:
            logits = logits * scale
        if (cap := getattr(config, "final_logit_softcapping", None)) is not None:
            logits = torch.tanh(logits / cap) * cap
        return logits

    @torch.no_grad()
    def _refuse_unusual_output(self) -> None:
        """Refuse an architecture whose logits are not what `logits(hidden)` computes: losses would be wrong."""
        ids = torch.tensor([[0, 1, 2]], device=self.device) % self.base.model.config.vocab_size
        mask = torch.ones_like(ids, dtype=torch.bool)
        whole = self.base.model(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits.float()
        if not torch.allclose(whole, self.logits(self.hidden(ids, mask.long())), atol=1e-2, rtol=1e-2):
            raise ModelError(
                f"{type(self.base.model).__name__} treats its output in a way that is not supported here.",
                "Choose a Llama, Qwen, Mistral, Gemma, GPT-2, Pythia or similar model.",
            )

    # Heads --------------------------------------------------------------------------------------------------------

    def add_head(self, name: str, zero: bool = False, like: str = "", trainable: bool = False) -> ScalarHead:
        """A scalar head for an adapter, optionally starting as a copy of another's (of an ensemble: as its mean)."""
        head = ScalarHead(self.hidden_size, zero)
        if like:
            head.mean_of(cast(ScalarHead, self.heads[like]))
        return self.put_head(name, head, trainable)

    def put_head(self, name: str, head: ScalarHead, trainable: bool = False) -> ScalarHead:
        """Give an adapter this head: one that was loaded, or an ensemble."""
        self.heads[name] = head.to(self.device).requires_grad_(trainable)
        return head

    def score(self, name: str, sequences: Sequence[list[int]], micro_batch: int = 64) -> Tensor:
        """The head's number at the last token of each sequence. (N,) fp32; gradients flow if the role is trainable.

        This one function scores in reward training, PPO, evaluation and the playground: right-padded, read by length.

        Raises:
            ModelError: a sequence is longer than what the base can read.
        """
        return cast(ScalarHead, self.heads[name]).combine(self.each_score(name, sequences, micro_batch))

    def each_score(self, name: str, sequences: Sequence[list[int]], micro_batch: int = 64) -> Tensor:
        """What each of the role's heads says of each sequence, as learned: before ensemble and normalising. (N, K)."""
        head = cast(ScalarHead, self.heads[name])
        if (longest := max(map(len, sequences), default=0)) > self.base.context:
            raise ModelError(
                f"A text to be scored has {longest} tokens with its end, but {self.base.ref} reads up to "
                f"{self.base.context}.",
                "Lower the longest example or the response length, or use a model with a longer context.",
            )
        parts = []
        with self.acting_as(name):
            for start in range(0, len(sequences), micro_batch):
                ids, mask = right_pad(sequences[start : start + micro_batch], self.base.pad_id)
                ids, mask = ids.to(self.device), mask.to(self.device)
                rows = torch.arange(len(ids), device=self.device)
                parts.append(head.each(self.hidden(ids, mask.long())[rows, last_index(mask)]))
        return torch.cat(parts)


def lora(rank: int, alpha: float, dropout: float, targets: str, variant: str = "lora") -> LoraConfig:
    """A LoRA configuration from a spec's settings of those names; `variant` is lora, rslora or dora."""
    modules: str | list[str] = (
        targets if targets == "all-linear" else [t.strip() for t in targets.split(",") if t.strip()]
    )
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # PEFT divides by the rank: a fraction is as good
        lora_dropout=dropout,
        target_modules=modules,
        use_rslora=variant == "rslora",
        use_dora=variant == "dora",
        task_type="CAUSAL_LM",
    )


def open_folder(path: Path) -> LoraConfig:
    """The LoRA configuration of a saved adapter. Raises ModelError when it is missing or damaged."""
    try:
        config = LoraConfig.from_pretrained(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is not an adapter: adapter_config.json cannot be read.") from error
    if not isinstance(config, LoraConfig):
        raise ModelError(f"{path} holds a {config.peft_type} adapter; only LoRA is supported.")
    config.inference_mode = False
    return config
