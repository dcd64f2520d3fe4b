"""A download through a real process from a small Hub on this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Produced, RunFinished, Stage
from rlhf_engine.launch.execute import execute
from rlhf_engine.tasks.download.spec import DownloadSpec
from tests.engine.models.test_hub import FakeHub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    save_file({"w": torch.arange(4000.0)}, tmp_path / "w.safetensors")
    server = FakeHub()
    server.files = {
        "config.json": json.dumps({"model_type": "llama"}).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors": (tmp_path / "w.safetensors").read_bytes(),
    }
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.close()


def run(root: Path, control: RunControl | None = None, repo: str = "owner/lamp") -> list[Any]:
    said: list[Any] = []
    spec = DownloadSpec(repo=repo)
    execute("d" * 12, spec, lambda envelope: said.append(envelope.event), control or RunControl(), root)
    return said


def test_a_model_arrives_and_its_bytes_are_told(hub: FakeHub, tmp_path: Path) -> None:
    said = run(tmp_path)
    assert isinstance(said[-1], RunFinished) and said[-1].outcome == "completed", said[-1]
    (produced,) = [event for event in said if isinstance(event, Produced)]
    assert produced.what == "model"
    assert (Path(produced.path) / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert produced.facts["parameters"] == 4000
    told = [event for event in said if isinstance(event, Stage) and event.total]
    assert told[-1].text == "Downloading owner/lamp"
    assert told[-1].done == told[-1].total == sum(map(len, hub.files.values()))


def test_a_repository_that_is_not_there_is_one_sentence(hub: FakeHub, tmp_path: Path) -> None:
    end = run(tmp_path, repo="owner/nothing")[-1]
    assert end.outcome == "failed"
    assert end.message == "The Hub has no public repository owner/nothing."
    assert end.hint and not end.traceback


def test_a_gated_repository_says_what_to_do(hub: FakeHub, tmp_path: Path) -> None:
    hub.refuse = (401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model owner/lamp is restricted."})
    end = run(tmp_path)[-1]
    assert end.outcome == "failed" and "owner/lamp" in end.message and end.hint


def test_no_network_is_one_sentence(hub: FakeHub, tmp_path: Path) -> None:
    hub.close()
    end = run(tmp_path)[-1]
    assert end.outcome == "failed"
    assert "cannot be reached" in end.message


def test_a_download_that_hangs_can_be_stopped(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "answer", lambda _: time.sleep(30))
    control = RunControl()
    threading.Timer(2.0, control.cancel).start()
    started = time.monotonic()
    assert run(tmp_path, control)[-1].outcome == "cancelled"
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("repo", ["", "lamp", "a/b/c", "../etc", "owner/na me", "/home"])
def test_what_is_no_name_never_reaches_the_hub(repo: str) -> None:
    with pytest.raises(SpecError) as caught:
        DownloadSpec(repo=repo)
    assert caught.value.field == "repo"
