"""A tiny model on disk, and a fresh backbone on it with a policy that already differs from its base."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.models.lora import lora
from tests.engine.tiny import tiny_model

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def plain(folder: Path) -> Backbone:
    torch.manual_seed(0)
    return Backbone(load_base(str(folder), CPU, torch.float32))


@pytest.fixture
def backbone(plain: Backbone) -> Backbone:
    """`policy` is trainable and moved away from zero, `frozen` is another adapter that nobody trains."""
    plain.add("policy", lora(4, 8.0, 0.0, "all-linear"), trainable=True)
    plain.add("frozen", lora(4, 8.0, 0.0, "all-linear"))
    for name in ("policy", "frozen"):
        moved = {key: value + 0.05 * torch.randn_like(value) for key, value in plain.state(name).items()}
        plain.load_state(name, moved)
    return plain
