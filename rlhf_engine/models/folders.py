"""What a folder of weights says about itself: its JSON files and the headers of its safetensors, in milliseconds.

No torch in this file: the window lists models with it.
"""

from __future__ import annotations

import json
import math
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources import starter
from rlhf_engine.contract.errors import EngineError, ModelError
from rlhf_engine.models.weight_files import fault_in_weights

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
_DTYPES = {"F64": "fp64", "F32": "fp32", "BF16": "bf16", "F16": "fp16", "F8_E4M3": "fp8", "F8_E5M2": "fp8"}
_WEIGHTS, _CONFIG, _ABOUT, _HEAD = "adapter_model.safetensors", "adapter_config.json", "model.json", "head.safetensors"


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """A base model as its files describe it. `fault` and `hint` say why it cannot be used; "" when it can.

    `bytes` counts the weight files; `context` is in tokens, 0 where the model does not say.
    """

    folder: Path
    architecture: str = ""
    parameters: int = 0
    bytes: int = 0
    dtypes: tuple[str, ...] = ()
    context: int = 0
    layers: int = 0
    hidden: int = 0
    vocabulary: int = 0
    tied: bool = False
    chat_template: bool = False
    fault: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """The result of a run as its files describe it. `about` is its model.json: base, parent, task, run and what else
    was kept.

    It is an adapter, or `whole`: a complete model of which all weights were trained. `rank` and `parameters` count what
    was trained; an adapter that started from its base's own weights has a frozen part beside it. `head` tells a reward
    model. `fault` says why it cannot be used; "" when it can.
    """

    folder: Path
    about: dict[str, Any] = field(default_factory=dict)
    rank: int = 0
    alpha: float = 0.0
    targets: tuple[str, ...] = ()
    parameters: int = 0
    bytes: int = 0
    dtypes: tuple[str, ...] = ()
    whole: bool = False
    head: bool = False
    fault: str = ""


def folder_facts(folder: Path, name: str = "") -> FolderFacts:
    """Everything that can be said about a model folder without loading it. Never raises for what the folder holds."""
    facts = FolderFacts(folder)
    try:
        check_model(folder, name or str(folder))
        fault = hint = ""
    except EngineError as error:
        fault, hint = str(error), error.hint
    config = read_json(folder / "config.json")
    text_config = config.get("text_config")  # of models that also see or hear
    inner = text_config if isinstance(text_config, dict) else config
    tensors = tensors_of(folder)
    names = config.get("architectures")
    return FolderFacts(
        folder=facts.folder,
        architecture=str(names[0]) if isinstance(names, list) and names else str(config.get("model_type") or ""),
        parameters=sum(math.prod(shape) for _, shape in tensors.values()),
        bytes=sum(_size(path) for path in folder.glob("*.safetensors")),
        dtypes=tuple(dict.fromkeys(_DTYPES.get(dtype, dtype.lower()) for dtype, _ in tensors.values())),
        context=next((_whole(inner.get(key)) for key in _CONTEXT if _whole(inner.get(key))), 0),
        layers=_whole(inner.get("num_hidden_layers") or inner.get("n_layer")),
        hidden=_whole(inner.get("hidden_size") or inner.get("n_embd")),
        vocabulary=_whole(inner.get("vocab_size")),
        tied=bool(config.get("tie_word_embeddings", False)),
        chat_template=_has_chat_template(folder),
        fault=fault,
        hint=hint,
    )


def adapter_facts(folder: Path) -> AdapterFacts:
    """Everything that can be said about a result without loading it. Never raises for what the folder holds."""
    about, config = read_json(folder / _ABOUT), read_json(folder / _CONFIG)
    whole = about.get("weights") == "whole"
    found = sorted(folder.glob("*.safetensors")) if whole else [folder / _WEIGHTS, folder / _HEAD]
    weights = [path for path in found if path.is_file()]
    tensors = [tensor for path in weights for tensor in _tensors_in(path).values()]
    rank, frozen = _whole(config.get("r")), _whole(about.get("frozen_rank"))
    counted = sum(math.prod(shape) for _, shape in tensors)
    if 0 < frozen < rank:
        counted -= (
            sum(math.prod(s) for n, (_, s) in _tensors_in(folder / _WEIGHTS).items() if "lora_" in n) * frozen // rank
        )
    targets, alpha = config.get("target_modules") or [], config.get("lora_alpha")
    targets = targets if isinstance(targets, list) else [targets]
    return AdapterFacts(
        folder=folder,
        about=about,
        rank=rank - frozen,
        alpha=float(alpha) if isinstance(alpha, int | float) else 0.0,
        targets=tuple(dict.fromkeys(str(name).rpartition(".")[2] for name in targets)),
        parameters=counted,
        bytes=sum(_size(path) for path in weights),
        dtypes=tuple(dict.fromkeys(_DTYPES.get(dtype, dtype.lower()) for dtype, _ in tensors)),
        whole=whole,
        head=(folder / _HEAD).is_file(),
        fault=_fault_in_result(folder, whole),
    )


def _fault_in_result(folder: Path, whole: bool) -> str:
    for name in (_ABOUT,) if whole else (_WEIGHTS, _CONFIG, _ABOUT):
        if not (folder / name).is_file():
            return f"{name} is missing."
    if damaged := fault_in_weights(folder):
        return f"{damaged[0].name} {damaged[1]}."
    try:
        if whole:
            check_model(folder, "It")
    except ModelError as error:
        return str(error)
    return ""


def folder_on_disk(base: str) -> Path | None:
    """Where a base model lies on this machine; None for a Hub id that has not been downloaded."""
    if base == "starter":
        return starter.MODEL
    path = Path(base).expanduser()
    if path.is_dir():
        return path
    if base.count("/") != 1 or base.startswith((".", "~", "/")):
        return None
    home = hub_cache() / f"models--{base.replace('/', '--')}"
    try:
        commit = (home / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    snapshot = home / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def hub_cache() -> Path:
    """Where downloaded models lie, as huggingface_hub finds it, without importing it."""
    if given := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(given).expanduser()
    home = os.environ.get("HF_HOME")
    if not home:
        home = str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface")
    return Path(home).expanduser() / "hub"


def check_model(folder: Path, name: str) -> None:
    """Raise ModelError with the first thing without which this folder is no usable model."""
    check_folder(folder, name)
    if damaged := fault_in_weights(folder):
        raise ModelError(f"{damaged[0].name} of {name} {damaged[1]}.", "Copy or download the model again.")
    if not any((folder / file).is_file() for file in TOKENIZERS):
        raise ModelError(
            f"{name} has no tokenizer: there is no {', '.join(TOKENIZERS[:-1])} or {TOKENIZERS[-1]}.",
            "Copy the tokenizer's files beside the weights.",
        )


def check_folder(path: Path, name: str) -> None:
    """Raise ModelError with what is missing, before anything slow is tried."""
    config = path / "config.json"
    if not config.is_file():
        if (path / _CONFIG).is_file():
            raise ModelError(f"{name} holds an adapter, not a base model.", "Choose the folder of its base.")
        raise ModelError(
            f"{name} is not a model folder: it has no config.json.", "Choose the folder that holds the weights."
        )
    try:
        body = json.loads(config.read_text(encoding="utf-8"))
        if not isinstance(body, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        raise ModelError(f"{config} is damaged: {error}.", "Copy or download the model again.") from error
    if "auto_map" in body:
        raise ModelError(
            f"{name} brings its own program code (auto_map in config.json), which is never run here.",
            "Choose a model whose architecture transformers knows.",
        )
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        pickled = [p.name for p in path.iterdir() if p.suffix in (".bin", ".pt", ".pth")]
        if pickled:
            raise ModelError(
                f"{name} holds its weights as a pickle ({pickled[0]}), which could run code when opened.",
                "Convert them to safetensors on a machine that trusts them.",
            )
        raise ModelError(f"{name} has no weights: there is no .safetensors file.", "Copy or download the model again.")
    index = path / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{index} is damaged.", "Copy or download the model again.") from error
        missing = sorted(str(s) for s in shards if not (path / str(s)).is_file())
        if missing:
            raise ModelError(
                f"{name} is incomplete: {len(missing)} of {len(shards)} weight files are missing, first {missing[0]}.",
                "Download it again; what is already there is kept.",
            )


def tensors_of(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Number format and shape of every weight in a folder, by name, from the files' headers."""
    files = [path for path in sorted(folder.glob("*.safetensors")) if path.name != _HEAD]
    return {name: about for path in files for name, about in _tensors_in(path).items()}


def _tensors_in(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Names, number formats and shapes from the header; empty for a file that is not whole."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length < 100_000_000 else {}
        return {
            name: (str(about["dtype"]), tuple(int(size) for size in about["shape"]))
            for name, about in header.items()
            if name != "__metadata__"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError):
        return {}


def _has_chat_template(folder: Path) -> bool:
    for file in ("chat_template.jinja", "chat_template.json"):
        if _size(folder / file) and (folder / file).read_text(encoding="utf-8", errors="replace").strip():
            return True
    return bool(read_json(folder / "tokenizer_config.json").get("chat_template"))


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
