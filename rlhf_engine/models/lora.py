"""LoRA adapters on one base, by name: PEFT builds the layers; this says which of them speak and which of them learn."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.models import fused
from rlhf_engine.models.counterweight import STARTS, put_start, with_rank

CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")  # PEFT's ways to start that write into the base
_JOINED = {"lora_A": 0, "lora_B": 1}  # along which dimension the trained and the frozen part of a matrix are one


class LoraAdapters:
    """An adapter is what its file holds: one LoRA of rank r. The last `frozen_rank` of that rank may be a counterweight
    (see `counterweight.py`), which is an adapter of its own in memory and never learns.

    PEFT's own `set_adapter` makes whatever it activates trainable; here activation and training are separate things.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        output, embedding = model.get_output_embeddings(), model.get_input_embeddings()
        linear = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D)}
        self.layer_names = sorted({name.rpartition(".")[2] for name, m in linear.items() if m is not output})
        tied = output.weight is embedding.weight  # what is added to one would be missing from the other
        self._adaptable = [name for name, m in linear.items() if m is not output or not tied]
        self._peft: PeftModel | None = None
        self._configs: dict[str, LoraConfig] = {}
        self._frozen: dict[str, int] = {}
        self._layers: list[LoraLayer] = []
        self._trainable: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._configs

    def config(self, name: str) -> LoraConfig:
        """What the adapter's file says."""
        return self._configs[name]

    def frozen_rank(self, name: str) -> int:
        return self._frozen[name]

    def add(self, name: str, config: LoraConfig, trainable: bool, frozen_rank: int = 0) -> None:
        """A new adapter that changes nothing yet: its B matrices are zero, or weighed out where it starts elsewhere.

        Args:
            config: of the file. With `init_lora_weights` pissa or olora, of the part that is trained.
            frozen_rank: how much of the file's rank is a counterweight.

        Raises:
            ModelError: the config names layers that this model does not have.
        """
        start = config.init_lora_weights if config.init_lora_weights in STARTS else ""
        if start:
            frozen_rank, config = config.r, with_rank(config, 2 * config.r)
        own = with_rank(config, config.r - frozen_rank)
        self._put(name, own)
        config.target_modules = own.target_modules  # all-linear has become names
        if frozen_rank:
            self._put(_still(name), with_rank(config, frozen_rank, dropout=0.0))
        if trainable:
            self._trainable.add(name)
        assert self._peft is not None
        self._peft.eval()
        self._configs[name], self._frozen[name] = config, frozen_rank
        self._layers = [m for m in self._peft.modules() if isinstance(m, LoraLayer)]
        for layer in self._layers:
            fused.put_on(layer)
        if start:
            for layer in self._layers:
                if name in layer.lora_A:
                    put_start(layer, name, _still(name), str(start))
        for key, parameter in self._peft.named_parameters():
            if ".lora_" in key:
                parameter.requires_grad_(any(f".{kept}." in key for kept in self._trainable))

    def parameters(self, name: str) -> dict[str, nn.Parameter]:
        """What is trained of an adapter, by name in its file."""
        return {key: parts[0] for key, parts in self._parts(name).items()}

    def state(self, name: str) -> dict[str, Tensor]:
        """The adapter as PEFT's files hold it."""
        return {key: _whole(key, parts) for key, parts in self._parts(name).items()}

    @torch.no_grad()
    def load_state(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Raises ModelError unless names and shapes are exactly the adapter's."""
        mine = self._parts(name)
        wrong = sorted(mine.keys() ^ tensors.keys())
        wrong = wrong or [key for key in mine if _whole(key, mine[key]).shape != tensors[key].shape]
        if wrong:
            raise ModelError(
                f"The adapter does not fit this base: {len(wrong)} of {len(mine)} tensors differ, first {wrong[0]}.",
                "Load it on the base it was trained on.",
            )
        for key, parts in mine.items():
            dim = _dimension(key)
            pieces = tensors[key].split([part.shape[dim] for part in parts], dim) if len(parts) > 1 else [tensors[key]]
            for part, piece in zip(parts, pieces, strict=True):
                part.copy_(piece)

    def activate(self, name: str) -> None:
        """Let one adapter speak, or none for "". What is trained stays what it is."""
        active = [name, _still(name)] if self._frozen.get(name) else [name]
        for layer in self._layers:
            layer._disable_adapters = not name
            if name:
                layer._active_adapter = active

    def layers_of(self, name: str) -> list[nn.Module]:
        """The layers of the base that an adapter changes, without what PEFT put around them."""
        return [layer.get_base_layer() for layer in self._layers if name in layer.lora_A]

    def merge_into_base(self, name: str) -> None:
        """Add an adapter into the weights that its layers hold now, for good."""
        for layer in self._layers:
            if name in layer.lora_A:
                layer.merge(safe_merge=True, adapter_names=[name, _still(name)] if self._frozen[name] else [name])
                layer.merged_adapters.clear()  # nothing is to be taken out again

    def train(self, training: bool) -> None:
        """Switch LoRA dropout on or off."""
        for layer in self._layers:
            cast(nn.Module, layer).train(training)

    def _put(self, name: str, config: LoraConfig) -> None:
        try:
            if self._peft is None:
                self._peft = get_peft_model(self._model, config, adapter_name=name)
            else:
                self._peft.add_adapter(name, config)
        except ValueError as error:
            raise self.no_such_layers(config) from error

    def no_such_layers(self, config: LoraConfig) -> ModelError:
        targets = config.target_modules
        named = targets if isinstance(targets, str) else ", ".join(sorted(targets or ()))
        return ModelError(
            f"The adapter's target layers ({named}) are not in this model.",
            f"Choose all-linear, or among {', '.join(self.layer_names)}, separated by commas.",
        )

    def require_layers(self, config: LoraConfig) -> None:
        """Raises ModelError for a layer that is named and not there: PEFT would quietly adapt only the others."""
        targets = config.target_modules
        if isinstance(targets, str) or targets is None:
            return
        if any(not any(f".{name}".endswith(f".{wanted}") for name in self._adaptable) for wanted in targets):
            raise self.no_such_layers(config)

    def _parts(self, name: str) -> dict[str, list[nn.Parameter]]:
        """An adapter's matrices by name in its file: the trained part, and the frozen one where there is one."""
        parts: dict[str, list[nn.Parameter]] = {}
        if self._peft is None or name not in self._configs:
            raise KeyError(name)
        named = list(self._peft.named_parameters())
        for one in [name, _still(name)] if self._frozen[name] else [name]:
            marker, magnitude = f".{one}.", f".lora_magnitude_vector.{one}.weight"
            for key, parameter in named:
                if marker in key and ".lora_" in key:
                    own = key.removesuffix(f".{one}.weight") if key.endswith(magnitude) else key.replace(marker, ".")
                    parts.setdefault(own, []).append(parameter)
        return dict(sorted(parts.items()))


def lora(
    rank: int, alpha: float, dropout: float, targets: str, variant: str = "lora", start: str = "default"
) -> LoraConfig:
    """A LoRA configuration from a spec's settings: `variant` is lora, rslora or dora, `start` as in `STARTS`."""
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
        init_lora_weights=start if start in STARTS else True,  # type: ignore[arg-type]
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
    if isinstance(config.init_lora_weights, str) and config.init_lora_weights.startswith(CHANGES_BASE):
        raise ModelError(
            f"{path} was trained on a base that its start ({config.init_lora_weights}) had changed.",
            "Save it with PEFT's path_initial_model_for_weight_conversion, which makes an ordinary LoRA of it.",
        )
    config.inference_mode = False
    config.init_lora_weights = True  # its file says what it starts from
    return config


def _still(name: str) -> str:
    """PEFT's name of an adapter's counterweight."""
    return f"{name}~still"


def _dimension(key: str) -> int:
    return next((dim for part, dim in _JOINED.items() if f".{part}." in key), 0)


def _whole(key: str, parts: list[nn.Parameter]) -> Tensor:
    return torch.cat([p.detach() for p in parts], _dimension(key)) if len(parts) > 1 else parts[0].detach().clone()
