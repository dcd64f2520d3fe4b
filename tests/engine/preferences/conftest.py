"""The small project, its base with a policy on it, and a few pairs of unlike lengths."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rlhf_engine.data.chat import render
from rlhf_engine.models.adapters import new_lora
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.preferences.answers import GivenAnswer
from rlhf_engine.preferences.pairs import Pair
from rlhf_engine.preferences.reference import POLICY
from tests.engine.small_project import SmallProject
from tests.engine.tasks.conftest import Inside


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    torch.set_num_threads(1)
    return SmallProject(tmp_path_factory.mktemp("small"))


@pytest.fixture
def inside(small: SmallProject) -> Any:
    return lambda spec, run_id="inside": Inside(small.root, spec, run_id)


@pytest.fixture
def backbone(small: SmallProject) -> Backbone:
    """A base with a policy that already differs from it."""
    torch.manual_seed(0)
    backbone = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    backbone.add(POLICY, new_lora(small.dpo()), trainable=True)
    move(backbone)
    return backbone


def move(backbone: Backbone, by: float = 0.02) -> None:
    """Change the policy a little."""
    backbone.load_state(POLICY, {k: v + by * torch.randn_like(v) for k, v in backbone.state(POLICY).items()})


def given(backbone: Backbone, prompt: str, answer: str) -> GivenAnswer:
    return GivenAnswer.of(render(backbone.base.tokenizer, prompt, answer))


def eight_pairs(backbone: Backbone) -> list[Pair]:
    """Lengths differ, within a pair and between pairs: means of means would not do."""
    return [
        Pair(
            given(backbone, f"Where is number {n}?", "It is " + "very " * n + "far."),
            given(backbone, f"Where is number {n}?", "No " + "no " * (n % 4)),
        )
        for n in (0, 7, 1, 3, 5, 12, 2, 9)
    ]
