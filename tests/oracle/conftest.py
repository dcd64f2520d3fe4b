"""The tiny model that both sides load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.engine.tiny import tiny_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny", spread=0.1)  # with wider weights, rounding grows
