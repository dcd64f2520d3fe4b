"""Adapters on disk: a folder of safetensors and JSON, in PEFT's own layout, plus `model.json` that says what it is.

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
from rlhf_engine.models.backbone import Backbone, lora, open_folder
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.load import ModelSource
from rlhf_engine.runtime.checkpoints import write_folder

WEIGHTS, CONFIG, ABOUT, HEAD = "adapter_model.safetensors", "adapter_config.json", "model.json", "head.safetensors"


def save_adapter(backbone: Backbone, name: str, folder: Path, about: dict[str, Any]) -> None:
    """Write one adapter (and the head of the same name) with its description, all or nothing, and read it back.

    Raises:
        ModelError: what was read back is not what is in memory.
    """
    config = backbone.config(name).to_dict()
    config = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    config |= {"base_model_name_or_path": backbone.base.ref, "inference_mode": True}
    about = {"base": backbone.base.ref, "base_fingerprint": backbone.base.fingerprint, **about}
    files: dict[str, Any] = {
        WEIGHTS: backbone.state(name),
        CONFIG: json.dumps(config, indent=1, default=str).encode(),
        ABOUT: json.dumps(about, indent=1, ensure_ascii=False).encode(),
    }
    if name in backbone.heads:
        files[HEAD] = dict(backbone.heads[name].state_dict())
    write_folder(folder, files)
    for file in (WEIGHTS, HEAD):
        if file in files:
            back = load_file(folder / file)
            same = back.keys() == files[file].keys() and all(torch.equal(back[k], files[file][k].cpu()) for k in back)
            if not same or not back:
                raise ModelError(f"{folder / file} was written wrongly.", "Check the disk, and save again.")


def load_adapter(backbone: Backbone, name: str, source: ModelSource, trainable: bool = False) -> None:
    """Put a saved adapter on its base under `name`, with its head if it has one.

    Raises:
        ModelError: another base, or damaged files.
    """
    assert source.adapter is not None
    wanted = source.about.get("base_fingerprint")
    if wanted and wanted != backbone.base.fingerprint:
        raise ModelError(
            f"{source.ref} was trained on another version of {source.base}.", "Put the base model's old weights back."
        )
    tensors = _tensors(source.adapter / WEIGHTS)
    backbone.add(name, open_folder(source.adapter), trainable)
    backbone.load_state(name, tensors)
    if (source.adapter / HEAD).is_file():
        backbone.put_head(name, load_head(source.adapter / HEAD, backbone.hidden_size), trainable)


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


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own class, and OSError for a missing file
        raise ModelError(f"{path} cannot be read: {error}", "Copy the adapter again, or train it again.") from error


def start_adapter(backbone: Backbone, name: str, source: ModelSource, new: LoraConfig, trainable: bool = True) -> None:
    """The adapter a run begins with: a copy of the source's, or a new one that changes nothing yet."""
    if source.adapter is None:
        backbone.add(name, new, trainable)
    else:
        load_adapter(backbone, name, source, trainable)
        if name in backbone.heads:
            del backbone.heads[name]


def new_lora(spec: TrainingFields) -> LoraConfig:
    return lora(spec.lora_rank, spec.lora_alpha, spec.lora_dropout, spec.lora_targets, spec.lora_variant)


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
