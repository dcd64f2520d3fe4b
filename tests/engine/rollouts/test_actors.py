"""What a role says of answers is said with all that is its own, its output layer too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.models.lora import lora
from rlhf_engine.rollouts.actors import POLICY, REFERENCE, Actors
from rlhf_engine.rollouts.batch import Batch
from tests.engine.tiny import tiny_model

KINDS = {"all weights": None, "an adapted output layer": lora(4, 8.0, 0.0, "q_proj,lm_head")}


@pytest.mark.parametrize("kind", KINDS)
def test_logprobs_are_of_the_roles_own_output_layer(tmp_path: Path, kind: str) -> None:
    folder = tiny_model(tmp_path / "tiny")
    backbone = Backbone(load_base(str(folder), torch.device("cpu"), torch.float32))
    backbone.add(POLICY, KINDS[kind], trainable=True)
    backbone.copy(POLICY, REFERENCE)
    generator = torch.Generator().manual_seed(0)
    moved = {k: v + 0.05 * torch.randn(v.shape, generator=generator) for k, v in backbone.state(POLICY).items()}
    backbone.load_state(POLICY, moved)
    actors = Actors(backbone, resolve(str(folder), tmp_path), None)
    batch = Batch.of(backbone, [[5, 6, 7], [8, 9]], [[10, 11, 1], [12, 1]])

    said = actors.logprobs(POLICY, batch, 1.0).logp
    with backbone.acting_as(POLICY):
        expected = token_logprobs(backbone, batch.ids, batch.attention, batch.mask).logp[:, batch.prompt_width :]
    assert torch.equal(said, expected)
    assert (said - actors.logprobs(REFERENCE, batch, 1.0).logp).abs().max() > 0.1
    in_parts = actors.logprobs_of(POLICY, actors.hidden(POLICY, batch), batch, 1.0).logp
    assert torch.equal(in_parts, expected)
    in_parts.sum().backward()
    grads = {key: p.grad for key, p in backbone._kind(POLICY).parameters(POLICY).items() if "lm_head" in key}
    assert grads and all(grad is not None for grad in grads.values())
