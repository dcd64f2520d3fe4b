"""Opening what a training run starts from, with the words a person reads while waiting."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any

from rlhf_engine.contract.events import Alert
from rlhf_engine.contract.spec import Spec, spec_body
from rlhf_engine.contract.training import TrainingFields
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import ModelSource, dtype_for, fingerprint, load_base, resolve
from rlhf_engine.models.recomputing import forget_activations
from rlhf_engine.runtime.context import RunContext


def open_backbone(ref: str, run: RunContext, spec: TrainingFields) -> tuple[Backbone, ModelSource]:
    """The base under `ref` as a spec wants it in memory, frozen and without adapters, and what `ref` stands for."""
    source = resolve(ref, run.project_root)
    run.stage(f"Loading {source.base}")
    dtype = dtype_for(spec.dtype, source.base, run.device, run.stage)
    base = load_base(source.base, run.device, dtype, run.stage, spec.quantise)
    if base.endings.note:
        run.emit(Alert("warning", base.endings.note, base.endings.hint))
    backbone = Backbone(base)
    if spec.activation_checkpointing:
        forget_activations(base.model, backbone.as_now)
    if ref == getattr(spec, "model", getattr(spec, "policy", "")):
        _say_whose_shape_is_kept(source, spec, run)
    return backbone, source


def _say_whose_shape_is_kept(source: ModelSource, spec: TrainingFields, run: RunContext) -> None:
    """An adapter that goes on being trained stays as it is: tell whoever asked for another shape."""
    if source.adapter is None or spec.trained == "all-weights":
        return
    usual = {f.name: f.default for f in fields(TrainingFields)}
    shape = ("lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "lora_variant", "lora_init")
    asked = [f"{name} = {getattr(spec, name)}" for name in shape if getattr(spec, name) != usual[name]]
    if asked:
        text = f"{source.ref} carries an adapter already, which goes on as it is: {', '.join(asked)} is not used."
        run.emit(Alert("warning", text, "Start from its base to train an adapter of another shape."))


def settings_fingerprint(spec: Spec) -> str:
    """Hash of all settings: a checkpoint continues the run it was made by, and no other.

    Settings at their default are left out: a setting that a later version adds does not end the runs of this one.
    """
    usual = {f.name: f.default for f in fields(spec)}
    body = {name: value for name, value in spec_body(spec).items() if getattr(spec, name) != usual[name]}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def adapters_of(**sources: ModelSource) -> dict[str, str]:
    """Hash of each source's adapter, for the inputs of a checkpoint: a reference such as run:<id> does not say whether
    that run has been gone on with since. A plain base has none."""
    return {
        name.replace("_", " "): fingerprint(source.adapter)
        for name, source in sources.items()
        if source.adapter is not None
    }


def lineage(source: ModelSource, task: str, run: RunContext, **facts: Any) -> dict[str, Any]:
    """What an adapter's `model.json` says beside its base: who made it, from what, and what is known of it."""
    return {"task": task, "run": run.run_id, "parent": source.ref, **facts}
