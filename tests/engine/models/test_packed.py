"""Examples that share a row are read as if each were alone, by every kind of attention; or the model is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.data.batches import right_pad
from rlhf_engine.data.packing import Laid, lay, share_rows
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.models.packed import require_separate
from tests.engine.models.conftest import CPU
from tests.engine.tasks.conftest import equal_gradients

EXAMPLES = [[(7 * i + 11 * j) % 200 + 5 for j in range(n)] for i, n in enumerate((9, 4, 1, 17, 6, 2))]
SHAPE = {
    "vocab_size": 211,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
}


def logprobs(backbone: Backbone, laid: Laid, segments: torch.Tensor | None) -> dict[int, torch.Tensor]:
    """By example, the log-probabilities of all but its first token."""
    mask = laid.real.clone()
    mask[:, 0] = False
    mask[:, 1:] &= laid.segments[:, 1:] == laid.segments[:, :-1]
    with backbone.acting_as("policy"):
        logp = token_logprobs(backbone, laid.ids, laid.real.long(), mask, segments=segments).logp
    return {i: logp[mask & (laid.segments == i + 1)] for i in range(len(EXAMPLES))}


def packed(backbone: Backbone, width: int) -> dict[int, torch.Tensor]:
    laid = lay(share_rows([len(e) for e in EXAMPLES], width), EXAMPLES, backbone.base.pad_id)
    return logprobs(backbone, laid, laid.segments)


def unpacked(backbone: Backbone) -> dict[int, torch.Tensor]:
    laid = lay([[i] for i in range(len(EXAMPLES))], EXAMPLES, backbone.base.pad_id)
    assert torch.equal(laid.ids, right_pad(EXAMPLES, backbone.base.pad_id)[0])
    return logprobs(backbone, laid, None)


def farthest(a: dict[int, torch.Tensor], b: dict[int, torch.Tensor]) -> float:
    assert [len(a[i]) for i in a] == [len(example) - 1 for example in EXAMPLES]
    return max(float((a[i] - b[i]).detach().abs().max()) for i in a if len(a[i]))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("width", [17, 20, 39, 64])  # 39 is all of them: a row without padding, one with
def test_a_packed_token_is_as_likely_as_it_is_alone(backbone, attention, width):
    backbone.base.model.set_attn_implementation(attention)
    assert farthest(packed(backbone, width), unpacked(backbone)) < 1e-5


def test_gradients_are_those_of_the_unpacked_examples(backbone):
    def gradients(by_example):
        torch.stack([logp.sum() for logp in by_example.values()]).sum().backward()
        found = [p.grad.clone() for p in backbone.parameters_of("policy")]
        for p in backbone.parameters_of("policy"):
            p.grad = None
        return found

    whole = gradients(unpacked(backbone))
    for width in (17, 39):
        again = gradients(packed(backbone, width))
        assert equal_gradients([g / 39 for g in whole], [g / 39 for g in again])


def test_examples_that_do_see_each_other_are_found_out(backbone):
    """The negative control: the same rows, read as if each were one text."""
    laid = lay(share_rows([len(e) for e in EXAMPLES], 39), EXAMPLES, backbone.base.pad_id)
    assert farthest(logprobs(backbone, laid, None), unpacked(backbone)) > 0.1


def other(kind: str, **more: object) -> Backbone:
    torch.manual_seed(0)
    shape = {key: value for key, value in SHAPE.items() if key in AutoConfig.for_model(kind).to_dict()}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape | more)).eval().requires_grad_(False)
    return Backbone(SimpleNamespace(model=model, pad_id=0, ref=kind, context=64))


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2}),
        ("qwen3", {"head_dim": 8}),
        ("mistral", {"sliding_window": 4}),
        ("gemma2", {"sliding_window": 4, "head_dim": 8}),
        ("gemma3_text", {"sliding_window": 4, "head_dim": 8}),
        ("gpt_neox", {}),
        ("opt", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    ],
)
def test_windows_and_positions_of_other_models_hold_within_a_row(kind, more):
    """Windows are shorter than the examples here: a mask that forgot them would be found out."""
    require_separate(other(kind, **more))


def test_a_model_that_reads_on_over_the_end_of_an_example_is_refused():
    with pytest.raises(ModelError, match="does not keep examples apart") as error:
        require_separate(other("mamba", num_hidden_layers=2))
    assert error.value.hint == "Switch packing off for this model."


def test_the_tiny_model_keeps_them_apart_also_in_bf16(folder):
    require_separate(Backbone(load_base(str(folder), CPU, torch.bfloat16)))
