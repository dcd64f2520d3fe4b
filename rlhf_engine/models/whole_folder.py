"""A model of which all weights were trained, as a folder that anything can load: Hugging Face's own layout."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import LoadedBase
from rlhf_engine.runtime.checkpoints import written_aside

SHARD = 5_000_000_000  # bytes


def save_whole(backbone: Backbone, name: str, folder: Path, beside: dict[str, bytes | dict[str, Tensor]]) -> None:
    """Write a role's weights in fp32 with configuration and tokenizer, and the files `beside` them, all or nothing.

    Raises:
        ModelError: what was read back is not what is in memory.
    """
    model = shell(backbone.base, {key: p.detach() for key, p in backbone.wholes.parameters(name).items()})
    with written_aside(folder) as aside:
        model.save_pretrained(aside, max_shard_size=SHARD)
        backbone.base.tokenizer.save_pretrained(aside)
        for file, content in beside.items():
            if isinstance(content, bytes):
                (aside / file).write_bytes(content)
            else:
                save_file({key: value.detach().cpu().contiguous() for key, value in content.items()}, aside / file)
    expected = model.state_dict()
    for path in sorted(folder.glob("model*.safetensors")):
        back = load_file(path)
        known = {key: value for key, value in back.items() if key in expected}  # some models have other names on disk
        require_same_tensors(path, known, {key: expected[key] for key in known})
        if not back:
            raise ModelError(f"{path} was written empty.", "Check the disk, and save again.")


def shell(base: LoadedBase, weights: dict[str, Tensor]) -> PreTrainedModel:
    """A model of the base's kind around given weights, without the adapters and copies that others put on the base.
    Nothing is copied."""
    config = copy.deepcopy(base.model.config)
    config.dtype = torch.float32
    output, embedding = base.model.get_output_embeddings(), base.model.get_input_embeddings()
    config.tie_word_embeddings = output.weight is embedding.weight  # whatever its file says
    with torch.device("meta"):
        model: Any = type(base.model)(config)
    names = model.state_dict().keys()
    buffers = {key: base.model.get_buffer(key) for key, _ in model.named_buffers() if key in names}
    model.load_state_dict(weights | buffers, strict=False, assign=True)
    model.tie_weights()
    state = model.state_dict()
    left = [key for key, value in state.items() if value.device.type == "meta"]
    left += [key for key, value in weights.items() if key not in state or state[key].data_ptr() != value.data_ptr()]
    if left:
        raise ModelError(
            f"{type(base.model).__name__} cannot be saved whole: {len(left)} of its weights are lost, first {left[0]}.",
            "Train an adapter instead.",
        )
    model.generation_config = plain_generation(base)
    return model  # type: ignore[no-any-return]


def plain_generation(base: LoadedBase) -> GenerationConfig:
    """Only which tokens begin, end and fill: a base's sampling habits are not those the model was trained with."""
    ids: dict[str, Any] = {"eos_token_id": list(base.eos_ids) if len(base.eos_ids) > 1 else base.eos_ids[0]}
    for name in ("bos_token_id", "pad_token_id"):
        if (token := getattr(base.tokenizer, name)) is not None:
            ids[name] = token
    return GenerationConfig(**ids)


def require_same_tensors(path: Path, back: dict[str, Tensor], written: dict[str, Tensor]) -> None:
    """Raises ModelError when a file does not hold what was written into it."""
    same = back.keys() == written.keys() and all(torch.equal(back[key], written[key].cpu()) for key in back)
    if not same or not back:
        raise ModelError(f"{path} was written wrongly.", "Check the disk, and save again.")
