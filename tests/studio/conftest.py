"""A session without a worker, and the rule that no test of the window leaves a thread or a timer behind."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QTimer
from shiboken6 import isValid

from rlhf_engine.contract.events import Envelope, Event
from rlhf_engine.tasks import task_of


class Controls:
    """Notes which switches were thrown."""

    def __init__(self) -> None:
        self.thrown: list[Any] = []

    def cancel(self) -> None:
        self.thrown.append("cancel")

    def suspend(self) -> None:
        self.thrown.append("suspend")

    def pause(self) -> None:
        self.thrown.append("pause")

    def resume(self) -> None:
        self.thrown.append("resume")

    def turn(self, knob: str, value: float) -> None:
        self.thrown.append((knob, value))


class QuietEngine:
    """Takes specs and says only what a test tells it to say: `say(run_id, event)`."""

    def __init__(self, root: Path, publish: Callable[[Envelope], None], on_state: Callable[..., None]) -> None:
        self.root = root
        self.publish = publish
        self.on_state = on_state
        self.submitted: list[tuple[str, Any, str]] = []
        self.resumed: list[str] = []
        self.controls: dict[str, Controls] = {}
        self.closed: tuple[float, bool] | None = None
        self.running: str | None = None
        self.waiting: list[str] = []
        self._seq: dict[str, int] = {}

    def submit(self, spec: Any, name: str = "") -> str:
        task_of(spec)
        run_id = f"{len(self.submitted):012x}"
        self.submitted.append((run_id, spec, name))
        return run_id

    def resume(self, run_id: str) -> None:
        self.resumed.append(run_id)

    def control(self, run_id: str) -> Controls:
        return self.controls.setdefault(run_id, Controls())

    def rename(self, run_id: str, name: str | None = None, note: str | None = None) -> None:
        self.on_state("changed", {"run": run_id, "name": name, "note": note})

    def delete(self, run_id: str) -> None:
        self.on_state("changed", {"run": run_id})

    def close(self, timeout: float = 30.0, leave_running: bool = False) -> bool:
        self.closed = (timeout, leave_running)
        return True

    def say(self, run_id: str, event: Event, seq: int | None = None) -> Envelope:
        number = self._seq.get(run_id, 0) if seq is None else seq
        self._seq[run_id] = number + 1
        envelope = Envelope(run_id, number, 1_700_000_000.0 + number, event)
        self.publish(envelope)
        return envelope


@pytest.fixture(autouse=True)
def nothing_is_left_behind(qapp: Any) -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qapp.processEvents()
    threads = [thread.name for thread in threading.enumerate() if thread not in before and not thread.daemon]
    timers = going_timers()
    if timers:
        gc.collect()  # slow, and only some widgets in a cycle need it
        timers = going_timers()
    assert not threads, f"threads left behind: {threads}"
    assert not timers, f"timers left behind: {timers}"


def going_timers() -> list[str]:
    return [
        f"{type(timer.parent()).__name__}, every {timer.interval()} ms"
        for timer in gc.get_objects()
        if isinstance(timer, QTimer) and isValid(timer) and timer.isActive()
    ]


@pytest.fixture
def studio_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, logs and projects of this test only."""
    home = tmp_path / "home"
    monkeypatch.setenv("RLHF_STUDIO_HOME", str(home))
    return home


@pytest.fixture
def empty_session(studio_home: Path, qapp: Any) -> Iterator[Any]:
    """A session with no project open. Once there is one, `session.quiet` is its engine, which says what it is told."""
    from studio.session import Session
    from studio.settings import Settings

    def factory(root: Path, publish: Any, on_state: Any) -> QuietEngine:
        session.quiet = QuietEngine(root, publish, on_state)
        return session.quiet

    session: Any = Session(Settings.load(), factory)
    session.settings.confirm_close = False  # a question would wait for an answer for ever
    yield session
    session.close()
    session.deleteLater()


@pytest.fixture
def session(empty_session: Any, tmp_path: Path) -> Any:
    """A session with a new, empty project."""
    empty_session.create_project(tmp_path / "project", "Test project")
    return empty_session
