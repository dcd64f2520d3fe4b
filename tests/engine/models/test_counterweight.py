"""PiSSA and OLoRA beside a shared base are PEFT's own, which write into theirs: the same outputs and gradients."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from rlhf_engine.models import counterweight
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.counterweight import factors, with_rank
from rlhf_engine.models.load import load_base
from rlhf_engine.models.lora import lora
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.tasks.sft.spec import SFTSpec
from tests.engine.tiny import tiny_tokenizer

IDS = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]])
ONES = torch.ones_like(IDS)
STARTS = pytest.mark.parametrize("start", ["pissa", "olora"])
VARIANTS = pytest.mark.parametrize("variant", ["lora", "rslora"])
SPEC = SFTSpec(model="m", dataset="d", weight_decay=0.1)


def theirs(folder, start, variant, dropout=0.0):
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules="all-linear",
        init_lora_weights=start,
        use_rslora=variant == "rslora",
        lora_dropout=dropout,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config, adapter_name="policy")


def weights(model) -> dict[str, torch.nn.Parameter]:
    """What PEFT trains, by the names of its files."""
    return {key.replace(".policy.", "."): p for key, p in model.named_parameters() if p.requires_grad}


def ours(backbone):
    with backbone.acting_as("policy"):
        return backbone.logits(backbone.hidden(IDS, ONES))


@STARTS
@VARIANTS
def test_outputs_and_gradients_are_those_of_peft(plain, folder, start, variant):
    """At the start, and after both have moved the same way."""
    plain.add("policy", lora(4, 8.0, 0.0, "all-linear", variant, start), trainable=True)
    model = theirs(folder, start, variant)
    mine, native = plain.adapters.parameters("policy"), weights(model)
    assert mine.keys() == native.keys()
    for key, parameter in mine.items():
        torch.testing.assert_close(parameter, native[key], atol=1e-6, rtol=1e-5)
    for _ in range(3):
        a, b = ours(plain), model(input_ids=IDS, attention_mask=ONES).logits
        torch.testing.assert_close(a, b, atol=1e-5 * float(b.detach().abs().max()), rtol=0)  # rounding of fp32
        for out in (a, b):
            out.log_softmax(-1)[..., 7].mean().neg().backward()
        largest = max(float(p.grad.abs().max()) for p in native.values())
        assert largest > 1e-2
        for key, parameter in mine.items():
            torch.testing.assert_close(parameter.grad, native[key].grad, atol=1e-4 * largest, rtol=0)
        with torch.no_grad():
            for key, parameter in mine.items():
                parameter.grad = native[key].grad = None
                native[key] += 0.03 * torch.randn_like(native[key])
                parameter.copy_(native[key])


@STARTS
def test_the_frozen_half_stays_where_it_is(plain, start):
    """Weight decay takes nothing from it either."""
    plain.add("policy", lora(4, 8.0, 0.0, "all-linear", "lora", start), trainable=True)
    before = plain.state("policy")
    optimizer = optimizer_for(plain, "policy", SPEC)
    optimizer.param_groups[0]["lr"] = 1e-2
    for _ in range(3):
        ours(plain)[..., 7].mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    for key, now in plain.state("policy").items():
        dim = 0 if "lora_A" in key else 1
        assert torch.equal(now.chunk(2, dim)[1], before[key].chunk(2, dim)[1]), key
        assert not torch.equal(now.chunk(2, dim)[0], before[key].chunk(2, dim)[0])


@STARTS
def test_dropout_is_felt_by_the_trained_half_alone(plain, start):
    """The frozen half is part of the weight W', and a weight is not dropped."""
    plain.add("policy", lora(4, 8.0, 0.5, "all-linear", "lora", start), trainable=True)
    drops = {
        name: type(layer.lora_dropout[name]).__name__
        for layer in plain.adapters._layers[:1]
        for name in layer.lora_dropout
    }
    assert drops == {"policy": "Dropout", "policy~still": "Identity"}


@pytest.mark.parametrize("scaling", [0.5, 2.0])
def test_pissa_takes_the_largest_singular_values(scaling):
    weight = torch.diag(torch.tensor([3.0, 1.0, 4.0, 2.0]))
    a, b = factors(weight, 2, scaling, "pissa")
    # s B A keeps 4 and 3 and nothing else; either factor carries the root of each value over the scaling
    torch.testing.assert_close(scaling * b @ a, torch.diag(torch.tensor([3.0, 0.0, 4.0, 0.0])))
    torch.testing.assert_close(a.norm(dim=1), (torch.tensor([4.0, 3.0]) / scaling).sqrt())
    torch.testing.assert_close(b.norm(dim=0), a.norm(dim=1))


def test_olora_takes_columns_of_q_and_rows_of_r():
    weight = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    a, b = factors(weight, 5, 2.0, "olora")
    torch.testing.assert_close(b @ a, weight)  # all of them are the weight itself
    torch.testing.assert_close(b.T @ b, torch.eye(5))
    first_a, first_b = factors(weight, 2, 2.0, "olora")
    assert torch.equal(first_a, a[:2]) and torch.equal(first_b, b[:, :2])


def test_the_fast_way_for_wide_matrices_finds_the_same_part(monkeypatch):
    torch.manual_seed(0)
    u, v = torch.linalg.qr(torch.randn(80, 60))[0], torch.linalg.qr(torch.randn(60, 60))[0]
    weight = u * (1 / torch.arange(1, 61)) @ v.T  # singular values that fall off slowly, as those of trained weights do
    a, b = factors(weight, 4, 1.0, "pissa")
    monkeypatch.setattr(counterweight, "EXACT", 10)
    fast_a, fast_b = factors(weight, 4, 1.0, "pissa")
    torch.testing.assert_close(fast_b @ fast_a, b @ a, atol=1e-5, rtol=0)


@VARIANTS
def test_another_rank_scales_the_output_as_before(variant):
    config = lora(4, 8.0, 0.1, "q_proj", variant)

    def scaling(one):
        return one.lora_alpha / (one.r**0.5 if one.use_rslora else one.r)

    for rank in (2, 4, 8, 3):
        assert scaling(with_rank(config, rank)) == pytest.approx(scaling(config))
    assert with_rank(config, 4).lora_alpha == 8.0 and with_rank(config, 4).lora_dropout == 0.1


@STARTS
def test_weights_that_lie_the_other_way_round(tmp_path, start):
    """GPT-2 keeps them (in, out)."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=2, n_head=4, eos_token_id=1, pad_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    backbone = Backbone(load_base(str(tmp_path), torch.device("cpu"), torch.float32))
    backbone.add("policy", lora(4, 8.0, 0.0, "all-linear", "lora", start), trainable=True)
    assert backbone.state("policy")["base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"].shape == (96, 8)
    with torch.no_grad(), backbone.acting_as(PLAIN):
        base = backbone.logits(backbone.hidden(IDS, ONES))
    torch.testing.assert_close(ours(backbone), base, atol=1e-5, rtol=0)
