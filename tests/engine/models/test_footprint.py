"""The table of what a block keeps for the backward pass, against what torch keeps; and sizes read from files.

Where a changed forward pass makes this fail, the message holds the widths that were kept: put them into `SAVED`.
"""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rlhf_engine.launch import forecast
from rlhf_engine.models import logprobs, sampling, voices
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.footprint import CACHED, CHUNK, LAID_OUT, footprint
from rlhf_engine.models.load import load_base
from rlhf_engine.models.lora import lora
from rlhf_engine.runtime import device
from tests.engine.tiny import END, PAD, tiny_tokenizer

ROWS, WIDTH = 4, 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("llama")
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    LlamaForCausalLM(config).save_pretrained(made)
    tiny_tokenizer().save_pretrained(made)
    return made


def kept(folder, dtype, whole):
    """Bytes that autograd keeps of a forward pass, parameters left out, and the shapes they have."""
    backbone = Backbone(load_base(str(folder), torch.device("cpu"), dtype))
    backbone.add("policy", None if whole else lora(16, 32, 0.0, "all-linear"), trainable=True)
    own = [*backbone.base.model.parameters(), *backbone.parameters_of("policy")]
    parameters = {p.untyped_storage().data_ptr() for p in own}
    found, shapes, alive = {}, Counter(), []

    def pack(tensor):
        storage = tensor.untyped_storage()
        alive.append(tensor)
        if storage.data_ptr() not in parameters and storage.data_ptr() not in found:
            found[storage.data_ptr()] = storage.nbytes()
            shapes[tuple(tensor.shape), tensor.dtype] += 1
        return tensor

    ids = torch.randint(5, 300, (ROWS, WIDTH))
    with backbone.acting_as("policy"), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        backbone.hidden(ids, torch.ones_like(ids))
    return sum(found.values()), shapes


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_table_says_what_torch_keeps(folder, dtype, whole):
    settings = {"lora_rank": 16, "trained": "all-weights" if whole else "adapter"}
    model = footprint(folder, settings)
    there, shapes = kept(folder, dtype, whole)
    _, said = model.saved(dtype == torch.bfloat16, settings)
    rounded = 2 * model.parameters if whole and dtype == torch.bfloat16 else 0  # weights, by autocast
    assert said * ROWS * WIDTH + rounded == pytest.approx(there, rel=0.1), "\n".join(map(str, shapes.most_common()))


def test_recomputing_keeps_the_inputs_of_blocks_and_one_block(folder):
    model = footprint(folder, {"lora_rank": 16})
    block, inputs = model.saved(False, {"activation_checkpointing": True})
    assert inputs == 6 * 128 * 4 and block == model.saved(False, {})[0]
    assert model.activations(100, False, {"activation_checkpointing": True}) < model.activations(100, False, {})


def test_sizes_come_from_the_files(folder, tmp_path):
    model = footprint(folder, {"lora_rank": 8})
    assert (model.layers, model.hidden, model.inner, model.queries, model.keys) == (6, 128, 352, 128, 32)
    assert model.rank == 7 * 8
    assert model.weights(half=True) * 2 == model.weights(half=False) == 4 * model.parameters
    assert model.cache(10, 20, half=False) == 10 * 20 * 6 * 2 * 32 * 4
    assert footprint(tmp_path, {}) is None


def test_what_is_said_twice_is_said_alike():
    assert (CHUNK, CACHED, LAID_OUT) == (logprobs.CHUNK, logprobs.CACHED, voices._LARGEST)
    assert (forecast.SMALL, forecast.SLOTS) == (device.SMALL, sampling.SLOTS)
