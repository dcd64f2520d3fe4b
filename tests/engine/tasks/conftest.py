"""One small project for all tasks, with an SFT result and a reward model, and a way into a run without `execute`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Envelope
from rlhf_engine.contract.reporter import Reporter
from rlhf_engine.runtime.context import RunContext
from tests.engine.small_project import SmallProject, ended_well


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """`run:sft` was trained with dropout, so that whoever forgets to switch it off is found out; `run:rm` judges."""
    torch.set_num_threads(1)
    project = SmallProject(tmp_path_factory.mktemp("small"))
    quick = {"sample_every": 0, "evaluate_every": 0}
    ended_well(project.run("sft", project.sft(epochs=0.4, lora_dropout=0.3, **quick)))
    ended_well(project.run("rm", project.reward(epochs=0.4, normalise_on=16, **quick)))
    return project


class Inside:
    """A run in hand: its context and what it said."""

    def __init__(self, root: Path, spec: Any, run_id: str = "inside") -> None:
        self.said: list[Envelope] = []
        reporter = Reporter(run_id, self.said.append)
        self.run = RunContext(root, run_id, reporter, RunControl(), spec.seed, device="cpu")
        self.gradients: list[list[torch.Tensor]] = []

    def keep_gradients(self) -> None:
        """Optimiser steps only write down the gradients from now on."""

        def step(optimizer: torch.optim.Optimizer, *_: Any) -> torch.Tensor:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            self.gradients.append([p.grad.clone() for p in parameters if p.grad is not None])
            optimizer.zero_grad(set_to_none=True)
            return torch.zeros(())

        self.run.step = step  # type: ignore[method-assign]


def equal_gradients(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    """Whether all agree to 1e-6 of the largest; and none of it is trivially zero."""
    largest = max(float(g.abs().max()) for g in a)
    assert len(a) == len(b) > 0 and largest > 1e-3
    worst = max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))
    assert worst <= 1e-6 * max(1.0, largest), f"{worst:.3g} of {largest:.3g}"
    return True


@pytest.fixture
def inside(small: SmallProject) -> Any:
    return lambda spec: Inside(small.root, spec)
