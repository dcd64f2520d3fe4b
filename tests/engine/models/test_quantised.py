"""A base in 4 bits: a sentence where it cannot be, and the same promises as any base where it can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rlhf_engine.contract.errors import ModelError, SpecError
from rlhf_engine.models import load, quantised
from rlhf_engine.models.adapters import load_adapter, save_adapter
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.models.lora import lora
from rlhf_engine.models.quantised import four_bits
from rlhf_engine.tasks.sft.spec import SFTSpec
from tests.engine.tiny import tiny_model

CPU = torch.device("cpu")
IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])
ONES = torch.ones_like(IDS)


def test_without_a_gpu_it_is_refused_before_anything_is_read():
    with pytest.raises(ModelError) as error:
        load_base("/nowhere", CPU, torch.float32, quantise="4bit")
    assert str(error.value) == "A base in 4 bits needs a CUDA GPU, and this run is on the CPU."
    assert error.value.hint == 'Set "Quantise base" to none, or run it on a machine with an NVIDIA GPU.'


def test_without_bitsandbytes_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(quantised, "find_spec", lambda _: None)
    with pytest.raises(ModelError) as error:
        four_bits(torch.device("cuda"), torch.bfloat16)
    assert str(error.value) == "A base in 4 bits needs bitsandbytes, which is not installed."
    assert error.value.hint == "pip install 'rlhf-studio[4bit]', or set \"Quantise base\" to none."


def test_the_extra_is_one_that_can_be_installed():
    tomllib = pytest.importorskip("tomllib")
    body = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    assert [need.split(">")[0] for need in body["project"]["optional-dependencies"]["4bit"]] == ["bitsandbytes"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"trained": "all-weights"}, "The base is to be in 4 bits, and such weights cannot be trained."),
        ({"device": "cpu"}, "A base in 4 bits needs a CUDA GPU, but the device is cpu."),
    ],
)
def test_settings_that_contradict_it_are_refused_at_once(settings, sentence):
    with pytest.raises(SpecError) as error:
        SFTSpec(model="m", dataset="d", quantise="4bit", **settings)
    assert (error.value.field, str(error.value)) == ("quantise", sentence) and error.value.hint


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Its matrices are as wide as the blocks whose scales are kept."""
    return tiny_model(tmp_path_factory.mktemp("wide") / "tiny", hidden=64)


@pytest.fixture
def on_any_device(monkeypatch):
    """bitsandbytes itself also works on a CPU, slowly: enough to see the whole way."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    monkeypatch.setattr(load, "four_bits", lambda _, dtype: four_bits(torch.device("cuda"), dtype))


@torch.no_grad()
def logits(backbone: Backbone, role: str) -> torch.Tensor:
    with backbone.acting_as(role):
        return backbone.logits(backbone.hidden(IDS, ONES))


@pytest.mark.parametrize(
    "shape", [("lora", "default"), ("rslora", "default"), ("dora", "default"), ("lora", "pissa"), ("lora", "olora")]
)
def test_adapters_learn_on_it_and_are_saved_for_the_base_in_full(wide, on_any_device, tmp_path, shape):
    backbone = Backbone(load_base(str(wide), CPU, torch.float32, quantise="4bit"))
    assert backbone.base.model.is_quantized
    backbone.add("policy", lora(4, 8.0, 0.0, "all-linear", *shape), trainable=True)
    backbone.copy("policy", "reference")
    torch.testing.assert_close(logits(backbone, "policy"), logits(backbone, PLAIN), atol=1e-5, rtol=0)
    assert torch.equal(logits(backbone, "policy"), logits(backbone, "reference"))
    with backbone.acting_as("policy"):
        token_logprobs(backbone, IDS, ONES, ONES.bool() & (torch.arange(6) > 0)).logp.mean().neg().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in backbone.parameters_of("policy"))
    save_adapter(backbone, "policy", tmp_path / "saved", {})
    assert json.loads((tmp_path / "saved" / "model.json").read_text())["quantised"] == "4bit"
    full = Backbone(load_base(str(wide), CPU, torch.float32))
    load_adapter(full, "policy", resolve(str(tmp_path / "saved"), Path()))
    assert full.state("policy").keys() == backbone.state("policy").keys()


def test_its_own_weights_cannot_be_trained(wide, on_any_device):
    backbone = Backbone(load_base(str(wide), CPU, torch.float32, quantise="4bit"))
    with pytest.raises(ModelError, match="were loaded in 4 bits, and those cannot be trained themselves") as error:
        backbone.add("policy", None, trainable=True)
    assert error.value.hint
