"""One step of the graph says what the seven of PEFT said, and learns the same; so do norms and gated units."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from transformers.models.llama.modeling_llama import LlamaConfig, LlamaForCausalLM, LlamaRMSNorm

from rlhf_engine.models import elementwise, fused


def layer_with(**settings: object) -> tuple[nn.Module, nn.Module]:
    """An adapted layer and a twin of equal weights."""
    twins = []
    for _ in range(2):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 5, bias=True))
        config = LoraConfig(r=3, lora_alpha=7, target_modules=["0"], init_lora_weights=False, **settings)
        twins.append(inject_adapter_in_model(config, model, "one")[0])
    fused.put_on(twins[0])
    return twins[0], twins[1]


def outcome(layer: nn.Module) -> list[torch.Tensor]:
    torch.manual_seed(1)
    x = torch.randn(2, 4, 6, requires_grad=True)
    out = layer(x)
    (out * torch.linspace(-1, 2, out.numel()).view(out.shape)).sum().backward()
    return [out.detach(), x.grad, *(p.grad for n, p in layer.named_parameters() if ".one." in n)]


def with_a_second(layer) -> None:
    torch.manual_seed(4)
    config = LoraConfig(r=3, lora_alpha=7, init_lora_weights=False)
    layer.update_layer("two", r=3, lora_alpha=7, config=config)
    layer._active_adapter = ["one", "two"]


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"use_dora": True}, {"lora_bias": True}])
def test_an_adapted_layer_says_and_learns_what_pefts_does(settings):
    mine, pefts = map(outcome, layer_with(**settings))
    assert len(mine) >= 4
    for a, b in zip(mine, pefts, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_a_frozen_adapter_gets_no_gradient_and_passes_one_on():
    layer, twin = layer_with()
    for one in (layer, twin):
        one.lora_A["one"].weight.requires_grad_(False)
    mine, pefts = outcome(layer), outcome(twin)
    assert mine[2] is None
    torch.testing.assert_close(mine[1], pefts[1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(mine[3], pefts[3], atol=1e-6, rtol=1e-5)


def test_dropout_at_work_is_left_to_peft():
    layer, twin = layer_with(lora_dropout=0.5)
    found = []
    for one in (layer.train(), twin.train()):
        torch.manual_seed(3)
        found.append(one(torch.ones(2, 6)))
    assert torch.equal(*found)
    plain = [one.eval()(torch.ones(2, 6)) for one in (layer, twin)]
    torch.testing.assert_close(*plain, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(found[0], plain[0])


def test_without_its_adapters_a_layer_is_left_to_peft():
    layer, twin = layer_with()
    for one in (layer, twin):
        one.enable_adapters(False)
    assert torch.equal(layer(torch.ones(2, 6)), twin(torch.ones(2, 6)))


def test_several_adapters_say_and_learn_what_pefts_do():
    layer, twin = layer_with()
    for one in (layer, twin):
        with_a_second(one)
    for a, b in zip(outcome(layer), outcome(twin), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_an_adapter_and_its_opposite_come_to_nothing_at_all():
    layer, _ = layer_with()
    with_a_second(layer)
    with torch.no_grad():
        layer.lora_A["two"].weight.copy_(layer.lora_A["one"].weight)
        layer.lora_B["two"].weight.copy_(-layer.lora_B["one"].weight)
    x = torch.randn(50, 6)
    together = layer(x)
    layer.enable_adapters(False)
    assert torch.equal(together, layer(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_and_gated_units_say_and_learn_what_they_did(dtype):
    found = []
    for change in (False, True):
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
        )
        model = LlamaForCausalLM(config).to(dtype)
        for norm in (m for m in model.modules() if isinstance(m, LlamaRMSNorm)):
            nn.init.normal_(norm.weight)
        if change:
            elementwise.put_on(model)
            assert sum(not hasattr(m.forward, "__func__") for m in model.modules()) == 2 * 3 + 1
        logits = model(torch.arange(10).view(2, 5)).logits.float()
        logits.log_softmax(-1)[..., 3].sum().backward()
        found.append([logits.detach(), *(p.grad.float() for p in model.parameters())])
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=tolerance * max(1.0, b.abs().max().item()), rtol=0)


def test_a_norm_that_is_another_is_left_as_it_is():
    class OddRMSNorm(LlamaRMSNorm):
        def forward(self, x):
            return super().forward(x) + 1

    model = nn.Module()
    model.norm, model.device, model.dtype = OddRMSNorm(4), torch.device("cpu"), torch.float32
    elementwise.put_on(model)
    assert hasattr(model.norm.forward, "__func__")
