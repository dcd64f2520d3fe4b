"""A project with a tiny base and adapters as runs leave them, and a context that keeps what the run says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Produced
from rlhf_engine.contract.reporter import Reporter
from rlhf_engine.models.adapters import save_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.lora import lora
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.export.spec import ExportSpec
from rlhf_engine.tasks.export.work import export
from tests.engine.tiny import tiny_model

PLAIN_LORA = lora(4, 8.0, 0.0, "all-linear")


class Project:
    """`base` is a folder with a telling name; `run` exports, and returns what was produced."""

    def __init__(self, root: Path, base: Path) -> None:
        self.root, self.base = root, base
        self.events: list[Any] = []

    def train(
        self,
        run_id: str,
        task: str = "sft",
        head: bool = False,
        scale: float = 0.2,
        ensemble: dict[str, Any] | None = None,
        kind: LoraConfig | None = PLAIN_LORA,
        on: str = "",
        **about: Any,
    ) -> str:
        """What a training run leaves behind, with random weights in place of learned ones. `kind` is None for a run
        that trains all weights; `on` is the result it starts from."""
        base = resolve(on, self.root).base if on else str(self.base)
        backbone = Backbone(load_base(base, torch.device("cpu"), torch.float32))
        backbone.add("new", kind)
        generator = torch.Generator().manual_seed(len(run_id) + len(task))
        with torch.no_grad():
            for parameter in backbone.parameters_of("new"):
                moved = scale * torch.randn(parameter.shape, generator=generator)
                share = 0.1 if kind is None else 0.5
                parameter.copy_(moved if kind is PLAIN_LORA else parameter + share * moved)
        if head:
            scalar = backbone.put_head("new", ScalarHead(backbone.hidden_size, **ensemble or {}))
            scalar.linear.bias.data.fill_(0.25)
            scalar.mean.fill_(0.5)
            scalar.std.fill_(2.0)
        folder = self.root / "runs" / run_id
        folder.mkdir(parents=True)
        facts = {"task": task, "run": run_id, "parent": on or str(self.base), "template": "auto", **about}
        save_adapter(backbone, "new", folder / "adapter", facts)
        spec = {"task": task, "model": str(self.base), "learning_rate": 3e-4, "schedule": "cosine", "notes": "A text."}
        (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        return f"run:{run_id}"

    def run(self, model: str, **settings: Any) -> Produced:
        self.events = []
        reporter = Reporter("e" * 12, lambda envelope: self.events.append(envelope.event))
        spec = ExportSpec(model=model, **settings)
        export(spec, RunContext(self.root, "e" * 12, reporter, RunControl(), spec.seed, task="export", device="cpu"))
        return self.produced()

    def produced(self) -> Produced:
        (found,) = [event for event in self.events if isinstance(event, Produced)]
        return found

    def folder(self, produced: Produced) -> Path:
        return self.root / produced.path


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("home") / "alice" / "secret-base")


@pytest.fixture
def project(tmp_path: Path, tiny_base: Path) -> Project:
    root = tmp_path / "bobs-project"
    root.mkdir()
    return Project(root, tiny_base)
