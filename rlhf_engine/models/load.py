"""From a model reference to weights and tokenizer in memory, with a sentence for everything that can be wrong.

A reference is "starter", a folder, a Hub id, or "run:<id>" for the adapter a run of this project made.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from resources import starter
from rlhf_engine.contract.errors import ModelError
from rlhf_engine.models.endings import Endings, endings_of
from rlhf_engine.models.folders import check_model, tensors_of
from rlhf_engine.models.hub import download
from rlhf_engine.models.quantised import four_bits
from rlhf_engine.runtime.device import choose_dtype

transformers_logging.disable_progress_bar()

Progress = Callable[[str, int, int], None]
WHOLE = "whole"  # in a result's model.json: its folder holds a complete model, not an adapter


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a reference stands for. `adapter` is None for a base model, and for a result of which all weights were
    trained: that is a base of its own. `about` is a result's own description, empty for a model from elsewhere."""

    ref: str
    base: str
    adapter: Path | None
    about: dict[str, Any]

    @property
    def folder(self) -> Path | None:
        """Where a result lies, with its model.json and its head if it has one; None for a model from elsewhere."""
        return self.adapter or (Path(self.base) if self.about else None)


@dataclass(frozen=True, slots=True)
class LoadedBase:
    """A frozen base in memory. `fingerprint` is the hash of its weight files."""

    ref: str
    folder: Path
    model: PreTrainedModel
    tokenizer: Any
    endings: Endings
    pad_id: int
    fingerprint: str

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Every token that ends an answer; the first one is what training appends."""
        return self.endings.ids

    @property
    def context(self) -> int:
        """Most tokens the model can attend to."""
        return int(getattr(self.model.config, "max_position_embeddings", 0) or 1_000_000)


def resolve(ref: str, project_root: Path) -> ModelSource:
    """What `ref` stands for.

    Raises:
        ModelError: a run that made nothing yet, or a folder that is not there or damaged.
    """
    if ref.startswith("run:"):
        adapter = project_root / "runs" / ref[4:] / "adapter"
    elif (Path(ref) / "model.json").is_file():
        adapter = Path(ref)  # a bundle that was copied from elsewhere
    else:
        return ModelSource(ref, ref, None, {})
    try:
        text = (adapter / "model.json").read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(
            f"{ref} has no adapter yet ({adapter}).", "Choose a run that has completed, or that has a checkpoint."
        ) from error
    try:
        about = json.loads(text)
        base, whole = str(about["base"]), about.get("weights") == WHOLE
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{adapter / 'model.json'} is damaged.", "Copy the adapter again, or train it again."
        ) from error
    if whole:
        return ModelSource(ref, str(adapter), None, about)
    if base.startswith("run:"):
        under = project_root / "runs" / base[4:] / "adapter"
        if not under.is_dir():
            raise ModelError(f"{ref} stands on {base}, whose result is gone.", "Put that run back, or train again.")
        base = str(under)
    return ModelSource(ref, base, adapter, about)


def folder_of(base: str, progress: Progress | None = None) -> Path:
    """The folder that holds a base model, downloading it from the Hub if `base` is an id.

    Raises:
        ModelError: the folder is missing or holds no usable model.
        HubError: the Hub refused or cannot be reached.
    """
    if base == "starter":
        return starter.MODEL
    path = Path(base).expanduser()
    looks_like_id = re.fullmatch(r"[\w.-]+/[\w.-]+", base) and not base.startswith((".", "~"))
    if not path.is_dir():
        if not looks_like_id:  # a mistyped path must never be sent to the Hub as a name
            raise ModelError(
                f"There is no folder {base}.", "Choose a folder with a config.json, or a Hub id: owner/name."
            )
        path = download(base, progress)
    check_model(path, base)
    return path


def load_tokenizer(folder: Path, name: str) -> Any:
    """The tokenizer of a model folder. Raises ModelError when there is none or it cannot be read."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ModelError(
            f"The tokenizer of {name} cannot be read: {_first_line(error)}", "Check tokenizer.json."
        ) from error


def dtype_for(wanted: str, base: str, device: torch.device, progress: Progress | None = None) -> torch.dtype:
    """The number format in which a spec that says `wanted` has this base. Raises what `folder_of` does."""
    if wanted != "auto" or device.type == "cuda":
        return choose_dtype(wanted, device)
    shapes = [shape for _, shape in tensors_of(folder_of(base, progress)).values()]
    return choose_dtype(wanted, device, sum(math.prod(shape) for shape in shapes))


def load_base(
    base: str, device: torch.device, dtype: torch.dtype, progress: Progress | None = None, quantise: str = "none"
) -> LoadedBase:
    """Load a base model, frozen and in evaluation mode; with `quantise` 4bit, its linear layers in 4 bits.

    Raises:
        ModelError: no such folder, no weights, damaged weights, no tokenizer, no end-of-text token, or 4 bits where
            that is not possible.
        HubError: see `folder_of`.
    """
    more: dict[str, Any] = {}
    if quantise == "4bit":  # first: it may be impossible, and that is known at once
        more = {"quantization_config": four_bits(device, dtype), "device_map": {"": device}}
    folder = folder_of(base, progress)
    tokenizer = load_tokenizer(folder, base)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            low_cpu_mem_usage=True,
            output_loading_info=True,
            **more,
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # safetensors, configuration and shape errors share no class of their own
        raise ModelError(
            f"The model {base} cannot be loaded: {_first_line(error)}", "Copy or download it again."
        ) from error
    model: PreTrainedModel = loaded[0]
    if missing := sorted(loaded[1]["missing_keys"]):  # transformers would go on with random numbers in their place
        raise ModelError(
            f"The weights of {base} lack {len(missing)} of the tensors its config.json asks for, first {missing[0]}.",
            "Copy or download it again.",
        )
    if not more:
        model.to(device)  # type: ignore[arg-type]  # its decorator hides that this is a method
    model.eval().requires_grad_(False)
    endings = endings_of(model, tokenizer)
    if not endings.ids:
        raise ModelError(
            f"The tokenizer of {base} has no end-of-text token, so answers could never end.",
            "Set eos_token in tokenizer_config.json, or eos_token_id in generation_config.json.",
        )
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0  # any id will do: masks go by position
    return LoadedBase(base, folder, model, tokenizer, endings, pad, fingerprint(folder))


def fingerprint(folder: Path) -> str:
    """Hash of the weight files: size and content of the first and last megabyte of each, which no change escapes in
    practice and which takes milliseconds on any size."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
            file.seek(max(0, size - (1 << 20)))
            digest.update(file.read())
    return digest.hexdigest()[:16]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
