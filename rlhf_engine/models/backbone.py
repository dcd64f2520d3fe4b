"""One frozen base in memory, many adapters on it: policy, reference, reward and value take turns.

with backbone.acting_as("reference"):
    hidden = backbone.hidden(ids, attention_mask)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, cast

import torch
from peft import LoraConfig
from torch import Tensor, nn

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.data.batches import right_pad
from rlhf_engine.models import block, elementwise, unpadded
from rlhf_engine.models.counterweight import STARTS
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.layout import Layout
from rlhf_engine.models.load import LoadedBase
from rlhf_engine.models.lora import LoraAdapters
from rlhf_engine.models.whole import WholeWeights
from rlhf_engine.tensors import last_index, position_ids, segment_position_ids

STEP = 32  # batches are filled up to its multiples where torch keeps a kernel for each shape: in half precision
PLAIN = ""  # the role of the base without any adapter


class Backbone:
    """A base with named roles and scalar heads. Only roles given as trainable ever require gradients.

    A role is an adapter, a copy of all weights, or the base itself under another name.
    """

    def __init__(self, base: LoadedBase) -> None:
        self.base = base
        self.dtype: torch.dtype = base.model.dtype
        self.heads = nn.ModuleDict()
        elementwise.put_on(base.model)
        self.adapters = LoraAdapters(base.model)
        self.wholes = WholeWeights(base.model)
        self._bare = {PLAIN}
        self.acting = PLAIN  # the active role
        self.shares = True  # sequences that begin alike are computed once as far as they do
        self.keeps_apart = False
        self._refuse_unusual_output()
        self._in_one_step = block.put_on(base.model)
        self.keeps_apart = self._tries_unpadded()
        if self._in_one_step and not self.keeps_apart:
            self._by_parts()
            self.keeps_apart = self._tries_unpadded()

    @property
    def device(self) -> torch.device:
        return self.base.model.device

    @property
    def hidden_size(self) -> int:
        return int(self.base.model.get_output_embeddings().weight.shape[1])

    # Roles --------------------------------------------------------------------------------------------------------

    def add(self, name: str, config: LoraConfig | None, trainable: bool = False, frozen_rank: int = 0) -> None:
        """A new role that answers as the base does: an adapter, or for None a copy of all weights.

        `frozen_rank` is of the file of an adapter that started from its base's own weights.

        Raises:
            ModelError: the config names layers that this model does not have, or the base is quantised.
        """
        if config is None or config.use_dora or frozen_rank or config.init_lora_weights in STARTS:
            self._by_parts()
        with self.acting_as(PLAIN):
            if config is not None:
                self.adapters.add(name, config, trainable, frozen_rank)
                self.adapters.activate(PLAIN)  # PEFT lets a new adapter speak at once
            else:
                self._require_whole_base()
                self.wholes.add(name, trainable)

    def add_bare(self, name: str) -> None:
        """The base itself under another name, so that it can have a head."""
        self._bare.add(name)

    def copy(self, source: str, target: str, trainable: bool = False) -> None:
        """A new role of the same kind with the weights of another. A base is copied only where it is to be trained."""
        if source in self.adapters:
            config = replace(self.adapters.config(source))
            self.add(target, config, trainable, self.frozen_rank(source))
            self.load_state(target, self.state(source))
        elif source in self.wholes:
            self.wholes.add(target, trainable, source)
        elif trainable:
            self.add(target, None, trainable)
        else:
            self.add_bare(target)

    def copy_whole(self, source: str, target: str, trainable: bool = False) -> None:
        """A copy of all weights with those of an adapter added in."""
        self.add(target, None, trainable)
        with self.acting_as(target):
            self.adapters.merge_into_base(source)

    def config(self, name: str) -> LoraConfig:
        return self.adapters.config(name)

    def frozen_rank(self, name: str) -> int:
        """How much of an adapter's rank is a counterweight that is never trained; 0 for any other role."""
        return self.adapters.frozen_rank(name) if name in self.adapters else 0

    def has(self, name: str) -> bool:
        return name in self._bare or name in self.adapters or name in self.wholes

    def parameters_of(self, name: str) -> list[nn.Parameter]:
        """What is trained of a role: its own parameters, then those of the head of the same name if there is one."""
        own = [] if name in self._bare else [p for _, p in sorted(self._kind(name).parameters(name).items())]
        return own + (list(self.heads[name].parameters()) if name in self.heads else [])

    def b_matrices_of(self, name: str) -> list[nn.Parameter]:
        """The second factor of each of the adapter's products, which starts at zero and learns faster in LoRA+."""
        if name not in self.adapters:
            return []
        return [p for key, p in self.adapters.parameters(name).items() if ".lora_B." in key]

    def state(self, name: str) -> dict[str, Tensor]:
        """A role's weights under the names they have on disk: PEFT's for an adapter, else the model's own."""
        return {} if name in self._bare else self._kind(name).state(name)

    def load_state(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Put weights into a role. Raises ModelError unless names and shapes are exactly the role's."""
        if name not in self._bare:
            self._kind(name).load_state(name, tensors)

    def as_now(self) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        """For torch's checkpoint: what is computed again in the backward pass is computed as the role that is active
        now, whichever is active then."""
        return nullcontext(), self._as(self.acting, unpadded.now())

    @contextmanager
    def _as(self, role: str, layout: Layout | None) -> Iterator[None]:
        with self.acting_as(role), unpadded.laid_out(self.base.model, layout):
            yield

    @contextmanager
    def acting_as(self, name: str) -> Iterator[Backbone]:
        """Answer as this role (or as the plain base) until the block ends."""
        before = self.acting
        self._activate(name)
        try:
            yield self
        finally:
            self._activate(before)

    def _activate(self, name: str) -> None:
        if name == self.acting:
            return
        if not self.has(name):
            raise KeyError(name)
        self.acting = name
        self.wholes.activate(name if name in self.wholes else PLAIN)
        self.adapters.activate(name if name in self.adapters else PLAIN)

    def _kind(self, name: str) -> LoraAdapters | WholeWeights:
        return self.wholes if name in self.wholes else self.adapters

    def _require_whole_base(self) -> None:
        if getattr(self.base.model, "is_quantized", False):
            raise ModelError(
                f"The weights of {self.base.ref} were loaded in 4 bits, and those cannot be trained themselves.",
                "Train an adapter, or load the base in bf16 or fp32.",
            )

    def train(self, training: bool) -> None:
        """Switch LoRA dropout on or off. The base has no say: its own dropout stays off."""
        self.adapters.train(training)

    # Forward ------------------------------------------------------------------------------------------------------

    def hidden(
        self, ids: Tensor, attention_mask: Tensor, segments: Tensor | None = None, wanted: Tensor | None = None
    ) -> Tensor:
        """Last hidden states of the active role. Shapes: (B, T), (B, T), (B, T), (B, T) -> (B, T, H).

        Nothing is computed on padding, where the states are zero; a model whose attention is not ours to replace
        computes it too. `wanted` marks the places whose states are asked for: elsewhere they may be zero as well, and
        the same bits need the same places. `segments` says which examples share a row (`data.packing.lay`); none
        attends to another. Ask `models.packed.require_separate` once whether this model can do that.
        """
        if self.keeps_apart:
            return self._real(ids, attention_mask if segments is None else segments, wanted)
        if segments is None:
            positions, attends = position_ids(attention_mask), attention_mask
        else:
            # Without a mask, transformers reads from positions that begin again where one example ends, and joins that
            # to the causal and the sliding windows; a 4-D mask of our own would take the place of the windows.
            positions, attends = segment_position_ids(segments), None
        with self._precision():
            out = self._trunk()(input_ids=ids, attention_mask=attends, position_ids=positions, use_cache=False)
        states: Tensor = out.last_hidden_state
        return states

    def _real(self, ids: Tensor, segments: Tensor, wanted: Tensor | None = None) -> Tensor:
        """`hidden` of the real tokens alone, laid end to end."""
        longest = int((segments > 0).sum(1).max())
        shares = self.shares and self.device.type == "cpu" and longest <= unpadded.LONG
        layout = Layout.of(segments, ids if shares else None, wanted if self._in_one_step else None)
        if self.dtype != torch.float32 and self.device.type == "cpu":
            layout = layout.filled(STEP)
        flat, positions = ids.flatten()[layout.places].unsqueeze(0), layout.positions.unsqueeze(0)
        with self._precision(), unpadded.laid_out(self.base.model, layout):
            out = self._trunk()(input_ids=flat, attention_mask=None, position_ids=positions, use_cache=False)
        return layout.spread(out.last_hidden_state[0])

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits in fp32. (..., H) -> (..., V)."""
        with self._precision():
            return self._finish(self.base.model.get_output_embeddings()(hidden)).float()

    def output_matrix(self) -> Tensor | None:
        """(V, H), where logits are a product with it and nothing more, in what the active role computes in."""
        layer, config = self.base.model.get_output_embeddings(), self.base.model.config
        shaped = ("logits_scaling", "logit_scale", "final_logit_softcapping")
        if type(layer) is not nn.Linear or layer.bias is not None or any(getattr(config, n, None) for n in shaped):
            return None
        return layer.weight.to(self.dtype)

    def decode(self, ids: Tensor, attention_mask: Tensor, positions: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """One step of generation with a key-value cache: hidden states (B, T, H) of the new tokens, and the cache."""
        with self._precision():
            out = self._trunk()(
                input_ids=ids,
                attention_mask=attention_mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
        return out.last_hidden_state, out.past_key_values

    def read(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Hidden states (B, T, H) with neither mask nor cache: the attention that is switched on knows (`decoding`)."""
        with self._precision():
            states: Tensor = self._trunk()(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        return states

    def _precision(self) -> AbstractContextManager[Any]:
        """A copy of all weights is fp32; where the base is not, each product is rounded to what the base is in."""
        rounded = self.acting in self.wholes and self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype) if rounded else nullcontext()

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

    def _by_parts(self) -> None:
        """Leave the blocks to the model, for all roles: one role may have to say to the bit what another does."""
        for one in self._in_one_step:
            one.off = True
        self._in_one_step = []

    @torch.no_grad()
    def _tries_unpadded(self) -> bool:
        """Whether this model's attention can be replaced by one that keeps sequences in a row apart: found out by
        trying. Some have an attention of their own, or read on over the end of a sequence by other means."""
        ids = torch.arange(12, device=self.device).view(2, 6) % self.base.model.config.vocab_size
        real = torch.ones_like(ids)
        real[0, :2] = 0
        padded = self.hidden(ids, real)[real.bool()].float()
        try:
            with unpadded.hearing_windows() as heard:
                together = self._real(ids, real)[real.bool()].float()
        except torch.OutOfMemoryError:
            raise
        except (NotImplementedError, RuntimeError, TypeError, ValueError, KeyError, AttributeError):
            return False
        if not unpadded.all_windows(self.base.model.config, heard):
            return False
        return bool((together - padded).norm() <= (1e-4 if self.dtype == torch.float32 else 5e-2) * padded.norm())

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
                rows, last = torch.arange(len(ids), device=self.device), last_index(mask)
                wanted = torch.zeros_like(mask).index_put_((rows, last), mask.new_ones(()))
                parts.append(head.each(self.hidden(ids, mask.long(), wanted=wanted)[rows, last]))
        return torch.cat(parts)
