"""What is computed again in the backward pass is what was computed before, by whoever computed it; and sampling is not
touched."""

from __future__ import annotations

import pytest
import torch

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.models import block, logprobs
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.fitting import cache_bytes
from rlhf_engine.models.load import load_base
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.models.lora import lora
from rlhf_engine.models.recomputing import forget_activations
from rlhf_engine.models.sampling import Sampler, complete

CPU = torch.device("cpu")
IDS = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]])
ONES = torch.ones_like(IDS)
MASK = ONES.bool() & (torch.arange(6) > 0)
KINDS = {
    "lora": lora(4, 8.0, 0.0, "all-linear"),
    "dropout": lora(4, 8.0, 0.5, "all-linear"),
    "dora": lora(4, 8.0, 0.0, "all-linear", "dora"),
    "pissa": lora(4, 8.0, 0.0, "all-linear", "lora", "pissa"),
    "output layer": lora(4, 8.0, 0.0, "q_proj,lm_head"),
    "all-weights": None,
}


def made(folder, kind: str, again: bool, dtype: torch.dtype = torch.float32) -> Backbone:
    """Two trained roles of a kind with opinions of their own."""
    backbone = Backbone(load_base(str(folder), CPU, dtype))
    if again:
        forget_activations(backbone.base.model, backbone.as_now)
    torch.manual_seed(0)
    for name in ("policy", "value"):
        backbone.add(name, KINDS[kind], trainable=True)
        backbone.load_state(name, {k: v + 0.05 * torch.randn_like(v) for k, v in backbone.state(name).items()})
    return backbone


@pytest.fixture
def counted(monkeypatch):
    """How often a block has been gone through."""
    calls = []
    forward = block.Block.__call__

    def counting(self, *args, **kwargs):
        calls.append(self)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(block.Block, "__call__", counting)
    return calls


def gradients(backbone: Backbone, then: str) -> list[torch.Tensor]:
    """Of both roles, from one backward pass over what both said, with a third role active meanwhile."""
    torch.manual_seed(7)
    backbone.train(True)
    losses = []
    for name in ("policy", "value"):
        with backbone.acting_as(name):
            losses.append(-token_logprobs(backbone, IDS, ONES, MASK).logp.mean())
    with backbone.acting_as(then):
        (losses[0] + 2 * losses[1]).backward()
    assert backbone.acting == PLAIN
    backbone.train(False)
    found = [p.grad for name in ("policy", "value") for p in backbone.parameters_of(name)]
    assert all(g is not None for g in found)
    return [torch.stack([loss.detach() for loss in losses]), torch.rand(3), *found]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("then", [PLAIN, "policy", "value"])
@pytest.mark.parametrize("chunk", [logprobs.CHUNK, 4 * 320])
def test_losses_gradients_and_randomness_are_the_same_to_the_last_bit(folder, monkeypatch, kind, then, chunk):
    """Also where the logits are computed again in parts."""
    monkeypatch.setattr(logprobs, "CHUNK", chunk)
    usual = gradients(made(folder, kind, again=False), then)
    again = gradients(made(folder, kind, again=True), then)
    assert len(usual) == len(again) > 4
    assert all(torch.equal(a, b) for a, b in zip(usual, again, strict=True))


@pytest.mark.parametrize("kind", ["lora", "all-weights"])
def test_it_is_so_in_half_precision_too(folder, kind):
    """A copy of all weights rounds as it goes, and must round alike the second time."""
    usual = gradients(made(folder, kind, again=False, dtype=torch.bfloat16), "value")
    again = gradients(made(folder, kind, again=True, dtype=torch.bfloat16), "value")
    assert all(torch.equal(a, b) for a, b in zip(usual, again, strict=True))


def test_little_is_kept_for_the_backward_pass(folder):
    """One input for each block, in place of all that happens inside it."""

    def kept(again: bool) -> int:
        """Bytes, without the weights themselves."""
        backbone = made(folder, "lora", again=again)
        tensors: list[torch.Tensor] = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            tensors.append(tensor)
            return tensor

        with backbone.acting_as("policy"), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            backbone.hidden(IDS.repeat(8, 20), ONES.repeat(8, 20))
        places = {t.data_ptr(): t.nbytes for t in tensors}
        own = {p.data_ptr() for p in backbone.base.model.parameters()}
        return sum(size for place, size in places.items() if place not in own)

    assert 0 < kept(again=True) < kept(again=False) / 5


def test_blocks_are_gone_through_twice_where_something_learns_and_once_where_nothing_does(folder, counted):
    backbone = made(folder, "lora", again=True)
    counted.clear()  # what opening a backbone tries out
    with backbone.acting_as("policy"):
        loss = -token_logprobs(backbone, IDS, ONES, MASK).logp.mean()
        assert len(counted) == 2
        loss.backward()
        assert len(counted) == 4
        counted.clear()
        with torch.no_grad():
            token_logprobs(backbone, IDS, ONES, MASK)
        assert len(counted) == 2


def test_sampling_keeps_its_cache_and_computes_nothing_again(folder, counted):
    answers = {}
    for again in (False, True):
        backbone = made(folder, "lora", again=again)
        cache_bytes(backbone)  # tries the model out, once
        counted.clear()
        rng = torch.Generator().manual_seed(3)
        answers[again] = [a.tokens for a in complete(backbone, "policy", [[5, 6, 7], [8, 9]], Sampler(6), rng)]
        steps = max(map(len, answers[again]))
        assert len(counted) == 2 * steps  # two blocks, once for each token
    assert answers[False] == answers[True]


def test_no_dropout_is_switched_on(folder):
    backbone = made(folder, "lora", again=True)
    assert not any(module.training for module in backbone.base.model.modules())


def test_a_model_whose_blocks_are_not_known_is_refused(folder):
    backbone = Backbone(load_base(str(folder), CPU, torch.float32))
    backbone.base.model.model.layers = torch.nn.ModuleList()
    with pytest.raises(ModelError, match="LlamaForCausalLM has no blocks whose activations") as error:
        forget_activations(backbone.base.model, backbone.as_now)
    assert "Recompute activations" in error.value.hint
