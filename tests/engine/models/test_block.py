"""A block as one step of the graph says and learns what the model's own block does, or leaves it to that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rlhf_engine.models import block
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.endings import Endings
from rlhf_engine.models.load import LoadedBase
from rlhf_engine.models.lora import lora
from tests.engine.models.test_unpadded import REAL, REPLACED, SHAPE, made

ALONE = (torch.arange(REAL.numel()).view(REAL.shape) * 31 + 7) % 97
ALIKE = torch.arange(9).repeat(4, 1) + 40
ALIKE[:, -1] = torch.arange(4)
KINDS = ["llama", "qwen2"]


def adapted(kind: str, dtype: torch.dtype = torch.float32, targets: str = "all-linear", **settings: float) -> Backbone:
    backbone = made(kind, **REPLACED[kind])
    backbone.base.model.to(dtype)
    backbone.dtype = dtype
    with torch.no_grad():
        for name, parameter in backbone.base.model.named_parameters():
            if "norm" in name or "bias" in name:  # new ones are all ones and all zeros
                parameter.copy_(torch.linspace(0.5, 1.5, parameter.numel()))
    backbone.add("policy", lora(3, 5.0, settings.get("dropout", 0.0), targets), trainable=True)
    g = torch.Generator().manual_seed(1)
    state = {k: v + 0.2 * torch.randn(v.shape, generator=g) for k, v in backbone.state("policy").items()}
    backbone.load_state("policy", state)
    return backbone


@contextmanager
def by_its_parts(backbone: Backbone) -> Iterator[None]:
    """The model's own blocks, until the `with` ends."""
    for one in backbone._in_one_step:
        one.off = True
    yield
    for one in backbone._in_one_step:
        one.off = False


def outcome(backbone: Backbone, ids: torch.Tensor, wanted: torch.Tensor | None) -> list[torch.Tensor]:
    """States where they are wanted, and the gradient of every factor."""
    with backbone.acting_as("policy"):
        states = backbone.hidden(ids, REAL, wanted=wanted)[REAL.bool() if wanted is None else wanted]
    (states.float() * torch.linspace(-1, 1, states.numel()).view(states.shape)).sum().backward()
    found = [states.detach(), *(p.grad for p in backbone.parameters_of("policy"))]
    for parameter in backbone.parameters_of("policy"):
        parameter.grad = None
    return found


def assert_same(found: list[torch.Tensor], expected: list[torch.Tensor], share: float) -> None:
    assert len(found) == len(expected) > 10
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= share * b.norm()


def some_wanted() -> torch.Tensor:
    """The last three tokens of the first sequence, two within the second, none of the third, one of the last."""
    wanted = torch.zeros_like(REAL, dtype=torch.bool)
    wanted[0, 6:] = wanted[1, 1:3] = wanted[3, 4] = True
    return wanted


@pytest.mark.parametrize("wanted", [None, some_wanted()], ids=["all", "some"])
@pytest.mark.parametrize("ids", [ALONE, ALIKE], ids=["alone", "alike"])
@pytest.mark.parametrize("kind", KINDS)
def test_states_and_gradients_are_those_of_its_parts(kind, ids, wanted):
    backbone = adapted(kind)
    found = outcome(backbone, ids, wanted)
    with by_its_parts(backbone):
        expected = outcome(backbone, ids, wanted)
    assert_same(found, expected, 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_in_half_precision_it_is_as_near_to_the_truth_as_its_parts(kind):
    mine = theirs = 0.0
    for start in range(0, 40, 5):
        backbone, ids = adapted(kind, torch.bfloat16), (ALONE + start) % 97
        found = outcome(backbone, ids, some_wanted())
        with by_its_parts(backbone):
            parts = outcome(backbone, ids, some_wanted())
            backbone.base.model.float()
            truth = outcome(backbone, ids, some_wanted())
        mine += sum(((a - b).norm() / b.norm()).item() for a, b in zip(found, truth, strict=True)) / len(truth)
        theirs += sum(((a - b).norm() / b.norm()).item() for a, b in zip(parts, truth, strict=True)) / len(truth)
    assert mine <= 1.2 * theirs < 1.0


def test_layers_without_an_adapter_are_passed_through():
    backbone = adapted("llama", targets="q_proj, down_proj")
    assert len(backbone.parameters_of("policy")) == 3 * 2 * 2
    found = outcome(backbone, ALONE, some_wanted())
    with by_its_parts(backbone):
        expected = outcome(backbone, ALONE, some_wanted())
    assert_same(found, expected, 1e-5)


def test_what_is_asked_for_is_what_it_is_when_all_is():
    backbone, wanted = adapted("llama"), some_wanted()
    with torch.no_grad(), backbone.acting_as("policy"):
        everything = backbone.hidden(ALIKE, REAL)
        some = backbone.hidden(ALIKE, REAL, wanted=wanted)
    torch.testing.assert_close(some[wanted], everything[wanted], atol=1e-5, rtol=1e-5)
    assert not some[~wanted].any()


@pytest.fixture
def steps(monkeypatch) -> list[int]:
    """Tokens that each block as one step has read."""
    read: list[int] = []
    forward = block._LlamaBlock.forward

    def counting(ctx, x, *rest):
        read.append(len(x))
        return forward(ctx, x, *rest)

    monkeypatch.setattr(block._LlamaBlock, "forward", counting)
    return read


def test_it_is_one_step_where_only_adapters_learn(steps):
    outcome(adapted("llama"), ALONE, None)
    assert steps[-3:] == [int(REAL.sum())] * 3


def test_it_is_left_to_the_model_where_more_is_wanted_of_it(steps):
    backbone = adapted("llama", dropout=0.5)
    whole = made("llama")
    whole.add("policy", None, trainable=True)
    dora = made("llama")
    dora.add("policy", lora(3, 5.0, 0.0, "all-linear", "dora"), trainable=True)
    steps.clear()
    backbone.train(True)
    for one in (backbone, whole, dora):
        with one.acting_as("policy"):
            one.hidden(ALONE, REAL)
    assert steps == []


@pytest.mark.parametrize("kind", ["mistral", "qwen3", "gemma3_text", "gpt2", "gpt_neox"])
def test_other_blocks_are_left_as_they_are(kind):
    model = made(kind, **REPLACED[kind]).base.model
    assert not any(isinstance(m.forward, block.Block) for m in model.modules())
    assert block.put_on(model) == []


def test_blocks_put_together_otherwise_are_left_to_the_model():
    config = AutoConfig.for_model("llama", **SHAPE)
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for layer in model.model.layers:
        layer.mlp.down_proj.register_forward_hook(lambda _m, _i, out: 2 * out)
    backbone = Backbone(LoadedBase("twice", None, model, None, Endings((1,)), 0, ""))
    assert backbone.keeps_apart and not backbone._in_one_step


def test_a_role_that_is_computed_by_its_parts_takes_all_others_with_it(steps):
    backbone = adapted("llama")
    backbone.add("whole", None, trainable=True)
    steps.clear()
    outcome(backbone, ALONE, None)
    assert steps == []
