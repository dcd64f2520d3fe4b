"""Tiny tasks in this process and in workers, engines that are closed, and processes that are gone at the end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rlhf_engine.contract.events import Envelope, RunFinished
from rlhf_engine.launch.process_engine import ProcessEngine
from rlhf_engine.tasks import TASKS
from tests.engine.launch.tiny_task import fake_runtime, tiny_tasks

WORKER = (sys.executable, "-m", "tests.engine.launch.tiny_task")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, task in tiny_tasks().items():
        monkeypatch.setitem(TASKS, key, task)
    for name, module in fake_runtime().items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 10
    while left := _left():
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.05)


def _left() -> list[str]:
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("rlhf-")]
    return threads + [
        str(child)
        for child in psutil.Process().children()
        if {"tests.engine.launch.tiny_task", "rlhf_engine.launch.worker"} & set(_command(child))
    ]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


class Ear:
    """Collects what an engine says, and waits for it."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.states: list[tuple[str, dict[str, Any]]] = []

    def publish(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)

    def on_state(self, state: str, facts: dict[str, Any]) -> None:
        self.states.append((state, facts))

    def of(self, run_id: str) -> list[Envelope]:
        return [envelope for envelope in self.envelopes if envelope.run_id == run_id]

    def events(self, run_id: str, kind: type[Any]) -> list[Any]:
        return [envelope.event for envelope in self.of(run_id) if isinstance(envelope.event, kind)]

    def facts(self, state: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.states if name == state]

    def end(self, run_id: str, count: int = 1) -> RunFinished:
        """Wait for the run's end (the `count`th, when it is resumed)."""
        until(lambda: len(self.events(run_id, RunFinished)) >= count)
        end: RunFinished = self.events(run_id, RunFinished)[count - 1]
        return end


def until(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def engine(tmp_path: Path, ear: Ear) -> Iterator[ProcessEngine]:
    engine = ProcessEngine(tmp_path, ear.publish, ear.on_state, WORKER)
    yield engine
    engine.close(10)
