"""Our side: a backbone with given adapters, and one optimiser step of a task, whose gradients are kept, not used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.reporter import Reporter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.models.lora import lora
from rlhf_engine.runtime.context import RunContext, adamw

CPU = torch.device("cpu")
TARGETS = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
RANK, ALPHA = 4, 8.0
CLOSE = 1e-5  # of the loss, and of the largest gradient


class Step(NamedTuple):
    """What an optimiser step was about to do: its loss, and the gradient of every trained tensor by PEFT's name."""

    loss: float
    gradients: dict[str, Tensor]


def open_ours(folder: Path, *roles: str) -> Backbone:
    """The model with one adapter per role, the first one trained. Each has its own random weights, B too."""
    backbone = Backbone(load_base(str(folder), CPU, torch.float32))
    for number, role in enumerate(roles):
        backbone.add(role, lora(RANK, ALPHA, 0.0, TARGETS), trainable=number == 0)
        chance = torch.Generator().manual_seed(100 + number)
        state = backbone.state(role)
        backbone.load_state(role, {k: 0.1 * torch.randn(v.shape, generator=chance) for k, v in sorted(state.items())})
    return backbone


def our_step(
    backbone: Backbone, role: str, root: Path, learn: Callable[[RunContext, torch.optim.Optimizer], dict[str, float]]
) -> Step:
    """Run a task's own step, `learn(run, optimizer)`, up to where the optimiser would move. The loss is train/loss."""
    run = RunContext(root, "oracle", Reporter("oracle", lambda _: None), RunControl(), seed=0, device="cpu")
    kept: dict[str, Tensor] = {}

    def step(*_: Any) -> Tensor:
        named = zip(names(backbone, role), backbone.parameters_of(role), strict=True)
        kept.update((name, p.grad.clone()) for name, p in named if p.grad is not None)
        return torch.zeros(())

    run.step = step  # type: ignore[method-assign]
    values = learn(run, adamw(backbone.parameters_of(role)))
    for parameter in backbone.parameters_of(role):
        parameter.grad = None
    return Step(values["train/loss"], kept)


def names(backbone: Backbone, role: str) -> list[str]:
    head = ["head.weight", "head.bias"] if role in backbone.heads else []
    return sorted(backbone.state(role)) + head


def scaled(step: Step, factor: float) -> Step:
    return Step(step.loss * factor, {name: factor * g for name, g in step.gradients.items()})


def added(*steps: Step) -> Step:
    """The step of losses that are added up."""
    return Step(sum(s.loss for s in steps), {n: sum(s.gradients[n] for s in steps) for n in steps[0].gradients})  # type: ignore[misc]


def assert_agree(ours: Step, theirs: Step, close: float = CLOSE) -> None:
    """Loss and every gradient to 1e-5, relative to the loss and to the largest gradient, which must not be tiny."""
    assert ours.gradients.keys() == theirs.gradients.keys()
    largest = max(float(g.abs().max()) for g in theirs.gradients.values())
    assert largest > 1e-3, f"nothing to compare: the largest gradient is {largest:.2g}"
    worst = {name: float((g - theirs.gradients[name]).abs().max()) / largest for name, g in ours.gradients.items()}
    name = max(worst, key=lambda n: worst[n])
    assert worst[name] <= close, f"{name} differs by {worst[name]:.2g} of the largest gradient, {largest:.3g}"
    difference = abs(ours.loss - theirs.loss)
    assert difference <= close * max(1.0, abs(theirs.loss)), f"loss {ours.loss:.7f}, theirs {theirs.loss:.7f}"


def differ(ours: Step, theirs: Step) -> bool:
    """Whether the two disagree by far more than rounding: what pins an explained difference."""
    largest = max(float(g.abs().max()) for g in theirs.gradients.values())
    return max(float((g - theirs.gradients[n]).abs().max()) for n, g in ours.gradients.items()) > 1e-2 * largest
