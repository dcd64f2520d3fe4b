"""Results on disk: an adapter in PEFT's own layout or a complete model, with `model.json` that says what it is.

A reward model's folder also holds its head. Everything is read back after writing: an adapter that was saved empty or
without its head is found out now, not after a day of training.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load_file

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.contract.training import TrainingFields
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.load import WHOLE, ModelSource
from rlhf_engine.models.lora import lora, open_folder
from rlhf_engine.models.whole_folder import require_same_tensors, save_whole
from rlhf_engine.runtime.checkpoints import write_folder

WEIGHTS, CONFIG, ABOUT, HEAD = "adapter_model.safetensors", "adapter_config.json", "model.json", "head.safetensors"


def save_adapter(backbone: Backbone, name: str, folder: Path, about: dict[str, Any]) -> None:
    """Write what a role has learnt (and the head of the same name) with its description, all or nothing, and read it
    back: an adapter, or a complete model where all weights were trained.

    Raises:
        ModelError: what was read back is not what is in memory.
    """
    about = {
        "base": _portable(backbone.base.ref, folder),
        "base_fingerprint": backbone.base.fingerprint,
        **({"quantised": "4bit"} if getattr(backbone.base.model, "is_quantized", False) else {}),
        **({"weights": WHOLE} if name in backbone.wholes else {}),
        **({"frozen_rank": backbone.frozen_rank(name)} if backbone.frozen_rank(name) else {}),
        **about,
    }
    files: dict[str, Any] = {ABOUT: json.dumps(about, indent=1, ensure_ascii=False).encode()}
    if name in backbone.heads:
        files[HEAD] = dict(backbone.heads[name].state_dict())
    if name in backbone.wholes:
        save_whole(backbone, name, folder, files)
    else:
        config = backbone.config(name).to_dict()
        config = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
        config |= {"base_model_name_or_path": backbone.base.ref, "inference_mode": True}
        files[CONFIG] = json.dumps(config, indent=1, default=str).encode()
        files[WEIGHTS] = backbone.state(name)
        write_folder(folder, files)
    for file in (WEIGHTS, HEAD):
        if file in files:
            require_same_tensors(folder / file, load_file(folder / file), files[file])


def load_adapter(backbone: Backbone, name: str, source: ModelSource, trainable: bool = False) -> None:
    """Put a saved result on its base under `name`, with its head if it has one.

    A complete model is its own base: then the role is that base, and a copy of it where it is to be trained.

    Raises:
        ModelError: another base, or damaged files.
    """
    if source.adapter is None:
        backbone.copy(PLAIN, name, trainable)
    else:
        wanted = source.about.get("base_fingerprint")
        if wanted and wanted != backbone.base.fingerprint:
            raise ModelError(
                f"{source.ref} was trained on another version of {source.base}.",
                "Put the base model's old weights back.",
            )
        tensors, config = _tensors(source.adapter / WEIGHTS), open_folder(source.adapter)
        backbone.add(name, config, trainable, _frozen_rank(source, config.r))
        backbone.load_state(name, tensors)
    if file := head_of(source):
        backbone.put_head(name, load_head(file, backbone.hidden_size), trainable)


def load_head(path: Path, hidden: int) -> ScalarHead:
    """The head in a file, for a base whose hidden states have this width.

    Raises:
        ModelError: a damaged file, or a head for another base.
    """
    try:
        head = ScalarHead.like(_tensors(path))
    except ValueError as error:
        raise ModelError(f"{path} is no head for this base: {error}.", "Train the reward model again.") from error
    if head.linear.in_features != hidden:
        raise ModelError(
            f"{path} is no head for this base: it reads {head.linear.in_features} numbers, the base has {hidden}.",
            "Load it on the base it was trained on.",
        )
    return head


def head_of(source: ModelSource) -> Path | None:
    """The file with the head of a reward model; None for any other model."""
    return source.folder / HEAD if source.folder is not None and (source.folder / HEAD).is_file() else None


def _frozen_rank(source: ModelSource, rank: int) -> int:
    frozen = source.about.get("frozen_rank", 0)
    if not isinstance(frozen, int) or not 0 <= frozen < rank:
        raise ModelError(
            f"The model.json of {source.ref} is damaged: {frozen!r} of {rank} ranks cannot be frozen.",
            "Copy the adapter again, or train it again.",
        )
    return frozen


def _portable(base: str, folder: Path) -> str:
    """How a result in `folder` names its base: another run of the same project by its id, for projects are moved."""
    path = Path(base)
    beside = path.name == folder.name and path.parent.parent.resolve() == folder.parent.parent.resolve()
    return f"run:{path.parent.name}" if beside and path.is_dir() else base


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own class, and OSError for a missing file
        raise ModelError(f"{path} cannot be read: {error}", "Copy the adapter again, or train it again.") from error


def start_adapter(
    backbone: Backbone, name: str, source: ModelSource, new: LoraConfig | None, trainable: bool = True
) -> None:
    """The role a run begins with: a copy of the source's adapter, or a new one that changes nothing yet.

    For None it is a copy of all weights, with the source's adapter added into them.

    Raises:
        ModelError: layers that this model does not have, damaged files, or a base that cannot be trained itself.
    """
    if source.adapter is None:
        if new is not None:
            backbone.adapters.require_layers(new)
        backbone.add(name, new, trainable)
        return
    start = name if new is not None else f"{name}-start"
    load_adapter(backbone, start, source, trainable and start == name)
    if start in backbone.heads:
        del backbone.heads[start]
    if start != name:
        backbone.copy_whole(start, name, trainable)


def new_lora(spec: TrainingFields) -> LoraConfig | None:
    """The adapter that a spec asks for; None where all weights are trained."""
    if spec.trained == "all-weights":
        return None
    return lora(
        spec.lora_rank, spec.lora_alpha, spec.lora_dropout, spec.lora_targets, spec.lora_variant, spec.lora_init
    )


class KeptAdapter:
    """An adapter and its head as something a checkpoint can hold."""

    def __init__(self, backbone: Backbone, name: str) -> None:
        self._backbone, self._name = backbone, name

    def state_dict(self) -> dict[str, Any]:
        head = self._backbone.heads[self._name].state_dict() if self._name in self._backbone.heads else {}
        return {"adapter": self._backbone.state(self._name), "head": {k: v.clone() for k, v in head.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._backbone.load_state(self._name, state["adapter"])
        if state["head"]:
            self._backbone.heads[self._name].load_state_dict(state["head"])
