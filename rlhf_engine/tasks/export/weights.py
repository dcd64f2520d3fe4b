"""The files of an export: safetensors and JSON only, with nothing in them that says where they were made."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.models.adapters import ABOUT, CONFIG, HEAD, WEIGHTS, head_of
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.load import ModelSource, load_base
from rlhf_engine.models.lora import open_folder
from rlhf_engine.models.whole_folder import SHARD, plain_generation

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
REWARD = "reward.json"
SINGLE = "model.safetensors"
_ADAPTER_FIELDS = (
    "peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "bias",
    "fan_in_fan_out", "use_rslora", "use_dora", "modules_to_save", "rank_pattern", "alpha_pattern",
    "layers_to_transform", "layers_pattern", "init_lora_weights", "inference_mode", "peft_version",
)  # fmt: skip
_PRIVATE_FIELDS = (
    "_name_or_path", "name_or_path", "tokenizer_file", "special_tokens_map_file", "_commit_hash", "is_local",
    "local_files_only",
)  # fmt: skip
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}")


def require_whole_result(source: ModelSource) -> None:
    """Raise ModelError for an adapter that is missing or empty, or a reward model without its head."""
    head = head_of(source)
    if source.about.get("task") == "reward" and head is None:
        raise ModelError(
            f"The reward model {source.ref} has no {HEAD}: without it there is no score.", "Train it again."
        )
    if source.adapter is None:
        return
    try:
        tensors = load_file(source.adapter / WEIGHTS)
    except Exception as error:  # safetensors raises its own class, and OSError for a missing file
        raise ModelError(
            f"{source.ref} cannot be exported: its {WEIGHTS} cannot be read.", "Train it again."
        ) from error
    if head is None and not any(bool(tensor.any()) for name, tensor in tensors.items() if "lora_B" in name):
        raise ModelError(f"The adapter of {source.ref} changes nothing: it has not been trained.", "Train it first.")


def cancelling(source: ModelSource) -> float:
    """How many times the base's weights are held by an adapter that started from them (PiSSA, OLoRA), once in each of
    two parts that take each other out: its scaling. 0 for any other."""
    if source.adapter is None or not source.about.get("frozen_rank"):
        return 0.0
    config = open_folder(source.adapter)
    return float(config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r))


def write_adapter(source: ModelSource, base_name: str, folder: Path) -> None:
    """The adapter in PEFT's own layout, with a base that is named and not located."""
    assert source.adapter is not None
    config = json.loads((source.adapter / CONFIG).read_text(encoding="utf-8"))
    kept = {key: config[key] for key in _ADAPTER_FIELDS if key in config}
    _write_json(folder / CONFIG, {**kept, "base_model_name_or_path": base_name})
    about: dict[str, Any] = {
        key: source.about[key]
        for key in ("base_fingerprint", "frozen_rank", "task", "template", "prompt_format")
        if key in source.about
    }
    _write_json(folder / ABOUT, {"base": base_name, **about})
    save_file(load_file(source.adapter / WEIGHTS), folder / WEIGHTS, metadata={"format": "pt"})


def write_merged(source: ModelSource, dtype: str, folder: Path) -> None:
    """The base with the adapter added into its weights in fp32, and only then rounded. Nothing in memory is shared.

    Raises:
        ModelError: the adapter does not fit, or the merged weights are not finite.
    """
    base = load_base(source.base, torch.device("cpu"), torch.float32)
    model: Any = base.model
    if source.adapter is not None:
        try:
            model = PeftModel.from_pretrained(model, str(source.adapter), is_trainable=False, trust_remote_code=False)
            model = model.merge_and_unload(safe_merge=True)
        except (ValueError, RuntimeError, KeyError) as error:
            raise ModelError(f"The adapter of {source.ref} cannot be merged into {source.base}.") from error
    model = model.to(DTYPES[dtype])
    if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
        raise ModelError(f"The merged weights are not finite in {dtype}: they do not fit.", "Export in fp32 or bf16.")
    model.generation_config = plain_generation(base)
    model.save_pretrained(folder, max_shard_size=SHARD)
    base.tokenizer.save_pretrained(folder)
    for file in folder.glob("*.json"):
        _clean(file)


def write_head(source: ModelSource, head_file: Path, folder: Path) -> ScalarHead:
    """The head of a reward model, and in words and numbers how to use it. Returns it as read back from the file."""
    save_file(load_file(head_file), folder / HEAD, metadata={"format": "pt"})
    head = read_head(folder)
    _write_json(
        folder / REWARD,
        {
            "score": f"({head.formula} - mean) / std",
            "each": "linear.weight . hidden + linear.bias",
            "heads": head.count,
            "hidden": "last hidden state at the last token, which is the end token after the answer",
            "mean": float(head.mean),
            "std": float(head.std),
            "template": source.about.get("template", "auto"),
        },
    )
    return head


def read_head(folder: Path) -> ScalarHead:
    """Raises ModelError for a head that is damaged."""
    try:
        head = ScalarHead.like(load_file(folder / HEAD))
    except Exception as error:  # safetensors raises its own class, and a head that is none ValueError
        raise ModelError(f"{HEAD} of the reward model cannot be read.", "Train it again.") from error
    return head.requires_grad_(False)


def expected_files(source: ModelSource, base_folder: Path, form: str, dtype: str) -> dict[str, int]:
    """Names and sizes in bytes of what an export would write, without its card; merged weights are nearly exact."""
    files: dict[str, int] = {}
    if (head := head_of(source)) is not None:
        files |= {HEAD: _size(head), REWARD: 320}
    if form == "adapter":
        assert source.adapter is not None
        return files | {name: _size(source.adapter / name) for name in (WEIGHTS, CONFIG, ABOUT)}
    files |= {
        path.name: _size(path)
        for path in sorted(base_folder.iterdir())
        if path.name.startswith(("tokenizer", "chat_template", "special_tokens", "vocab", "merges"))
        or path.name == "config.json"
    }
    size = _weights_size(base_folder, DTYPES[dtype].itemsize)
    parts = math.ceil(size / SHARD)
    names = [f"model-{n:05d}-of-{parts:05d}.safetensors" for n in range(1, parts + 1)] if parts > 1 else [SINGLE]
    return files | {"generation_config.json": 90} | dict.fromkeys(names, size // len(names))


def require_clean(folder: Path, private: list[str]) -> None:
    """The second line behind the allow-lists: raise ModelError rather than publish a pickle, a token or a path."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".bin", ".pt", ".pth", ".pkl"):
            raise ModelError(f"{path.name} would have been exported, which could run code when opened.")
        vocabulary = path.name in ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt")
        if path.suffix not in (".json", ".md", ".jinja", ".txt") or vocabulary:
            continue
        text = path.read_text(encoding="utf-8")
        if _TOKEN.search(text):
            raise ModelError(f"{path.name} would have contained an access token.", "Take it out of the model card.")
        if found := next((word for word in private if word in text), ""):
            raise ModelError(f"{path.name} would have contained the path {found}.", "Take it out of the model card.")


def _clean(file: Path) -> None:
    if file.name in ("tokenizer.json", "vocab.json") or file.name.endswith("index.json"):
        return
    body = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(body, dict) and any(key in body for key in _PRIVATE_FIELDS):
        _write_json(file, {key: value for key, value in body.items() if key not in _PRIVATE_FIELDS})


def _weights_size(folder: Path, item: int) -> int:
    size = 0
    for path in folder.glob("*.safetensors"):
        if path.name == HEAD:
            continue
        with safe_open(path, framework="pt") as file:  # reads the header alone
            for name in file.keys():  # noqa: SIM118 - not a dictionary
                shape = file.get_slice(name).get_shape()
                size += item * int(torch.tensor(shape).prod()) + 110
    return size


def _size(path: Path) -> int:
    return path.stat().st_size


def _write_json(path: Path, body: dict[str, Any]) -> None:
    path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
