"""Running on real tokens only changes no number and no gradient, whatever the kind of attention; or it is not done."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from rlhf_engine.data.batches import left_pad
from rlhf_engine.models import unpadded
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.endings import Endings
from rlhf_engine.models.layout import WORTH, Layout, alike
from rlhf_engine.models.load import LoadedBase
from rlhf_engine.models.unpadded import plain_wins

SHAPE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
}
REPLACED = {
    "llama": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 4},
    "qwen2": {"num_key_value_heads": 4},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 8},
    "gemma3_text": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4, "query_pre_attn_scalar": 8},
    "gpt2": {},
    "gpt_neox": {},
}
LEFT_AS_IT_IS = {
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8, "attn_logit_softcapping": 2.0},
    "bloom": {},
    "mamba": {},
}
REAL = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0, 0], [1] * 9])


def made(kind: str, **more: object) -> Backbone:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SHAPE, **more)
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    return Backbone(LoadedBase(kind, None, model, None, Endings((1,)), 0, ""))


def states_and_gradient(backbone: Backbone, real: torch.Tensor = REAL) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    ids = (torch.arange(real.numel()).view(real.shape) * 31 + 7) % 97
    model = backbone.base.model.requires_grad_(True)
    states = backbone.hidden(ids, real)[real.bool()]
    (states * torch.linspace(-1, 1, states.numel()).view(states.shape)).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return states.detach(), gradients


@pytest.mark.parametrize("plain", [True, False], ids=["plain products", "blockwise"])
@pytest.mark.parametrize("kind", REPLACED)
def test_states_and_gradients_are_those_of_the_padded_model(kind, plain, monkeypatch):
    monkeypatch.setattr(unpadded, "plain_wins", lambda *_: plain)
    backbone = made(kind, **REPLACED[kind])
    assert backbone.keeps_apart
    states, gradients = states_and_gradient(backbone)
    backbone.keeps_apart = False
    usual_states, usual_gradients = states_and_gradient(backbone)
    torch.testing.assert_close(states, usual_states, atol=1e-5, rtol=1e-5)
    assert gradients.keys() == usual_gradients.keys()
    for name, gradient in gradients.items():
        scale = usual_gradients[name].abs().max().item()
        torch.testing.assert_close(gradient, usual_gradients[name], atol=1e-5 * scale + 1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind", LEFT_AS_IT_IS)
def test_an_attention_that_cannot_be_replaced_is_left_as_it_is(kind):
    backbone = made(kind, **LEFT_AS_IT_IS[kind])
    assert not backbone.keeps_apart
    states_and_gradient(backbone)


def test_a_window_that_no_layer_asks_for_may_stand_in_the_mask_and_leaves_the_model_as_it_is():
    assert not made("llama", sliding_window=4).keeps_apart
    assert made("mistral", num_key_value_heads=2, sliding_window=40).keeps_apart
    windows = {"use_sliding_window": True, "sliding_window": 40, "max_window_layers": 1}
    assert made("qwen2", num_key_value_heads=4, **windows).keeps_apart


def test_what_stands_beside_a_sequence_does_not_change_a_bit_of_it():
    backbone = made("llama")
    ids = torch.arange(8).view(1, 8) + 3
    with torch.no_grad():
        beside = [backbone.hidden(torch.cat([ids, ids + n]), torch.ones(2, 8))[0] for n in (1, 5)]
    assert torch.equal(*beside)


def test_a_window_is_narrow_enough_to_matter():
    wide, narrow = (states_and_gradient(made("mistral", num_key_value_heads=2, sliding_window=n))[0] for n in (64, 4))
    assert (wide - narrow).abs().max() > 0.1


def test_a_layout_counts_each_sequence_from_0():
    layout = Layout.of(torch.tensor([[0, 5, 5, 5], [5, 5, 2, 0]]))  # two rows may carry the same number
    assert layout.places.tolist() == [1, 2, 3, 4, 5, 6]
    assert [piece[:2] for piece in layout.pieces] == [(0, 3), (3, 2), (5, 1)]
    assert layout.positions.tolist() == [0, 1, 2, 0, 1, 0]
    assert layout.spread(torch.arange(1.0, 7.0).unsqueeze(1)).squeeze(-1).tolist() == [[0, 1, 2, 3], [4, 5, 6, 0]]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.data())
def test_a_layout_is_filled_up_to_round_numbers_and_spreads_the_same(lengths, data):
    segments = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in enumerate(lengths):
        segments[row, :length] = 1
    places = torch.tensor(data.draw(st.lists(st.booleans(), min_size=segments.numel(), max_size=segments.numel())))
    wanted = places.view(segments.shape) & (segments > 0)
    layout = Layout.of(segments, None, wanted)
    filled = layout.filled(4)
    assert len(filled.chosen) % 4 == 0 and len(filled.chosen) - len(layout.chosen) < 8
    states = torch.randn(len(filled.chosen), 2)
    assert torch.equal(filled.spread(states), layout.spread(states[: len(layout.chosen)]))
    if layout.asked is None:
        assert filled.asked is None
        return
    assert len(filled.asked.tokens) % 4 == 0
    assert torch.equal(filled.asked.tokens[: len(layout.asked.tokens)], layout.asked.tokens)
    assert sum(piece.asking for piece in filled.asked.pieces) == len(filled.asked.tokens)
    of_asked = states[filled.asked.tokens]
    assert torch.equal(filled.spread(of_asked)[wanted], layout.spread(states[: len(layout.chosen)])[wanted])


PROMPTS = [[3, 4, 5, 6, 7, 8, 9, 10, 11], [50 + i for i in range(12)]]
ANSWERS = [[20], [21, 22, 23], [24, 25], [20, 22]]


@pytest.mark.parametrize("kind", ["llama", "mistral", "gpt2"])
def test_a_prompt_with_many_answers_is_computed_once_and_nothing_changes(kind):
    """Two prompts with three answers each, laid on the left and in turn, and one text that begins like nobody."""
    texts = [PROMPTS[i % 2] + ANSWERS[i % 4] for i in range(6)] + [[90, 91, 92]]
    ids, real = left_pad(texts, 0)
    found = []
    for shares in (True, False):
        backbone = made(kind, **REPLACED[kind])
        backbone.shares = shares
        computed = []
        backbone.base.model.get_input_embeddings().register_forward_hook(
            lambda _m, given, _o, computed=computed: computed.append(given[0].shape[1])
        )
        model = backbone.base.model.requires_grad_(True)
        states = backbone.hidden(ids, real.long())
        assert computed[-1] == real.sum() - (2 * 9 + 2 * 12 if shares else 0)
        assert not states[~real].any()
        (states * torch.linspace(-1, 1, states.numel()).view(states.shape)).sum().backward()
        found.append((states.detach(), [p.grad for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=1e-5)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5 * b.abs().max().item() + 1e-6, rtol=1e-4)


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=14), max_size=8))
def test_groups_share_what_all_of_them_begin_with(texts):
    groups = alike(texts)
    members = [i for group, _ in groups for i in group]
    assert len(members) == len(set(members))
    for group, shared in groups:
        assert len(group) > 1 and shared >= WORTH
        assert len({tuple(texts[i][:shared]) for i in group}) == 1
        assert all(len(texts[i]) > shared for i in group)


def test_whoever_shares_little_does_not_take_it_from_the_others():
    long = list(range(40))
    assert alike([[*long, 1], [*long, 2], [*long[:10], 99]]) == [([0, 1], 40)]
    assert alike([[*long, 1], [*long, 2], [*long[:30], 99]]) == [([0, 1, 2], 30)]
    assert alike([long, long]) == [([0, 1], 39)]
    assert alike([[1, 2, 3], [1, 2, 4]]) == []


def test_long_sequences_are_left_to_the_blockwise_kernel_unless_they_share_a_beginning():
    x = torch.zeros(1)
    assert plain_wins(Layout.of(torch.ones(3, 40)), x)
    assert not plain_wins(Layout.of(torch.ones(1, 600)), x)
    ids = torch.arange(600).repeat(2, 1)
    assert plain_wins(Layout.of(torch.ones(2, 600), ids), x)


def test_the_models_own_attention_is_back_after_an_error():
    backbone = made("llama")
    before = backbone.base.model.config._attn_implementation
    with pytest.raises(IndexError):
        backbone.hidden(torch.tensor([[400]]), torch.ones(1, 1))
    assert backbone.base.model.config._attn_implementation == before
    assert unpadded.now() is None
