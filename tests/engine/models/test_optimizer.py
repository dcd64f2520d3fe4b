"""Which weights learn at which rate: plain LoRA as ever, and the B matrices faster with LoRA+."""

from __future__ import annotations

import pytest
import torch

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.reporter import Reporter
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.runtime.context import RunContext, adamw
from rlhf_engine.tasks.sft.spec import SFTSpec

RATE = 1e-3


def spec(**settings) -> SFTSpec:
    return SFTSpec(model="m", dataset="d", **settings)


@pytest.fixture
def run(tmp_path):
    return RunContext(tmp_path, "r", Reporter("r", lambda _: None), RunControl(), seed=0, device="cpu")


def moves(backbone, run, optimizer) -> dict[str, float]:
    """How far each weight of the policy moves in one step with a gradient of 1 everywhere. The first step of Adam is
    the rate times g / (|g| + eps), whatever the gradient's size."""
    before = backbone.state("policy") | {"head": backbone.heads["policy"].linear.weight.detach().clone()}
    for parameter in backbone.parameters_of("policy"):
        parameter.grad = torch.ones_like(parameter)
    run.step(optimizer, RATE, max_norm=1e9)
    after = backbone.state("policy") | {"head": backbone.heads["policy"].linear.weight.detach()}
    return {key: float((before[key] - after[key]).mean()) for key in before}


def test_without_lora_plus_it_is_one_group_in_the_order_of_the_parameters(backbone):
    """Checkpoints hold the state by number: another order would give each weight another's moments."""
    backbone.add_head("policy", trainable=True)
    made, plain = (
        optimizer_for(backbone, "policy", spec(weight_decay=0.1)),
        adamw(backbone.parameters_of("policy"), 0.1),
    )
    (group,), (expected,) = made.param_groups, plain.param_groups
    assert all(a is b for a, b in zip(group["params"], expected["params"], strict=True))
    assert {k: v for k, v in group.items() if k != "params"} == {k: v for k, v in expected.items() if k != "params"}


@pytest.mark.parametrize("ratio", [1.0, 4.0, 16.0])
def test_the_b_matrices_alone_learn_faster(backbone, run, ratio):
    backbone.add_head("policy", trainable=True)
    found = moves(backbone, run, optimizer_for(backbone, "policy", spec(lora_plus_ratio=ratio)))
    assert len(found) == 29  # two matrices for each of seven layers in each of two blocks, and the head
    for key, moved in found.items():
        assert moved == pytest.approx(RATE * (ratio if "lora_B" in key else 1.0), rel=1e-4), key


def test_a_rate_turned_down_is_turned_down_for_both(backbone, run):
    backbone.add_head("policy", trainable=True)
    run.learning_rate_factor = 0.5
    found = moves(backbone, run, optimizer_for(backbone, "policy", spec(lora_plus_ratio=8.0)))
    assert max(found.values()) == pytest.approx(4 * RATE, rel=1e-4)
    assert min(found.values()) == pytest.approx(0.5 * RATE, rel=1e-4)


def test_norms_and_biases_of_a_whole_model_do_not_decay(plain, run):
    plain.add("policy", None, trainable=True)
    before = plain.state("policy")
    optimizer = optimizer_for(plain, "policy", spec(trained="all-weights", weight_decay=0.1))
    for parameter in plain.parameters_of("policy"):
        parameter.grad = torch.zeros_like(parameter)
    run.step(optimizer, RATE, max_norm=1.0)
    for key, now in plain.state("policy").items():
        kept = 1.0 if now.ndim == 1 else 1 - RATE * 0.1
        torch.testing.assert_close(now, before[key] * kept, rtol=1e-6, atol=1e-8)
    assert sum(now.ndim == 1 for now in before.values()) == 5
