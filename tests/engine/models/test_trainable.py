"""What is counted from the headers of files is what PEFT makes of the model in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, OPTConfig, Qwen2Config

from resources import starter
from rlhf_engine.contract.errors import ModelError
from rlhf_engine.models.adapters import new_lora, start_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.trainable import trainable
from rlhf_engine.tasks.sft.spec import SFTSpec
from tests.engine.tiny import tiny_tokenizer

REAL = Path(os.environ.get("RLHF_REAL_DATA", Path(__file__).parents[4] / "shared" / "real")) / "weights"
SETTINGS = [
    {},
    {"lora_rank": 5, "lora_variant": "dora"},
    {"lora_variant": "rslora", "lora_init": "pissa", "lora_rank": 3},
    {"lora_init": "olora"},
    {"trained": "all-weights"},
]
SMALL = {"vocab_size": 320, "eos_token_id": 1, "pad_token_id": 0}
BLOCKS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64}
ARCHITECTURES = {
    "gpt2": GPT2Config(**SMALL, n_positions=64, n_embd=32, n_layer=2, n_head=4),
    "gpt_neox": GPTNeoXConfig(**SMALL, **BLOCKS, intermediate_size=48),
    "opt": OPTConfig(**SMALL, **BLOCKS, word_embed_proj_dim=24, ffn_dim=48),
    "qwen2": Qwen2Config(**SMALL, **BLOCKS, intermediate_size=48, num_key_value_heads=2, tie_word_embeddings=True),
}


def spec(**settings) -> SFTSpec:
    return SFTSpec(model="m", dataset="d", **settings)


def require_count(folder: Path, **settings) -> None:
    """Count from the files, then load and count what would be trained."""
    chosen = spec(**settings)
    found = trainable(folder, {name: getattr(chosen, name) for name in chosen.__dataclass_fields__})
    backbone = Backbone(load_base(str(folder), torch.device("cpu"), torch.float32))
    total = sum(p.numel() for p in backbone.base.model.parameters())
    start_adapter(backbone, "policy", resolve(str(folder), Path()), new_lora(chosen))
    assert found.trained == sum(p.numel() for p in backbone.parameters_of("policy"))
    assert found.total == total and not found.missing
    assert sorted(found.layers) == backbone.adapters.layer_names


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("which", ["tiny", "starter", "stories260K", "TinyStories-656K"])
def test_the_count_is_that_of_peft(folder, which, settings):
    place = {"tiny": folder, "starter": starter.MODEL}.get(which, REAL / which)
    if not place.is_dir():
        pytest.skip(f"{place} is not here")
    require_count(place, **settings)
    if settings.get("trained") != "all-weights":
        require_count(place, lora_targets="q_proj, v_proj,down_proj", **settings)


@pytest.mark.parametrize("settings", SETTINGS[:2] + SETTINGS[-1:], ids=str)
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_other_architectures_are_counted_as_they_are(tmp_path, kind, settings):
    """Fused, turned round, with biases, tied, and with projections beside the blocks."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**ARCHITECTURES[kind].to_dict()))
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    require_count(tmp_path, **settings)


def test_the_output_layer_is_adapted_where_it_is_named_and_its_own(folder, tmp_path):
    require_count(folder, lora_targets="lm_head,q_proj", lora_rank=4)
    tied = starter.MODEL
    found = trainable(tied, {"lora_targets": "lm_head,q_proj"})
    assert found.missing == ("lm_head",)
    backbone = Backbone(load_base(str(tied), torch.device("cpu"), torch.float32))
    with pytest.raises(ModelError, match="lm_head, q_proj"):
        start_adapter(backbone, "policy", resolve(str(tied), Path()), new_lora(spec(lora_targets="lm_head,q_proj")))


@pytest.mark.parametrize("name", ["embed_tokens", "vproj", "roj", "norm"])
def test_what_cannot_be_adapted_is_named_by_both(folder, name):
    found = trainable(folder, {"lora_targets": f"q_proj,{name}"})
    assert found.missing == (name,) and found.trained == 2 * 16 * 64  # q_proj alone, 32 x 32 in two blocks
    backbone = Backbone(load_base(str(folder), torch.device("cpu"), torch.float32))
    with pytest.raises(ModelError, match="are not in this model"):
        start_adapter(backbone, "policy", resolve(str(folder), Path()), new_lora(spec(lora_targets=f"q_proj,{name}")))


def test_by_hand(folder):
    """Two blocks of a Llama 32 wide, 64 inside, with half as many keys and values as queries."""
    found = trainable(folder, {"lora_rank": 4, "lora_targets": "all-linear", "lora_variant": "lora"})
    block = (32 + 32) + (16 + 32) + (16 + 32) + (32 + 32) + 3 * (64 + 32)  # q k v o, gate up down
    assert found.trained == 2 * 4 * block
    assert found.layers == ("down_proj", "gate_proj", "up_proj", "k_proj", "o_proj", "q_proj", "v_proj")


def test_what_the_files_do_not_say_is_not_guessed(folder, tmp_path):
    assert trainable(tmp_path, {}) is None
    (tmp_path / "config.json").write_text('{"num_local_experts": 8}')
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert trainable(tmp_path, {}) is None


def test_no_torch_is_needed():
    code = "import sys, rlhf_engine.models.trainable; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
