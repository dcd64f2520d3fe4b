"""The window as it is, with its worker process, on a starter project of this test only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import psutil
import pytest

from rlhf_engine.store.project import Project
from tests.end_to_end.person import Person
from tests.studio.conftest import nothing_is_left_behind, studio_home

__all__ = ["nothing_is_left_behind", "studio_home"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A starter project that no window has open."""
    root = tmp_path / "project"
    Project.create_starter(root, "Walk").close()
    return root


@pytest.fixture
def open_window(studio_home: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Person]]:
    """Opens the window, on a project or on that of last time, with a worker or with an engine made by `factory`.

    Bugs that it caught fail the test.
    """
    from studio import app
    from studio.engine_thread import process_engine
    from studio.main_window import MainWindow
    from studio.session import Session
    from studio.settings import Settings
    from studio.theme import theme

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    opened: list[Person] = []
    bugs: list[BaseException] = []

    def open_it(root: Path | None = None, factory: Any = process_engine) -> Person:
        settings = Settings.load()
        theme().apply(settings.theme, settings.font_scale)
        session = Session(settings, factory)
        window = MainWindow(session)
        window.report = bugs.append
        asked = app.parse(["--project", str(root)] if root else [])
        window.painted.connect(lambda: window.start(lambda: app.open_first(session, asked)))
        window.show()
        person = Person(window, qtbot)
        opened.append(person)
        qtbot.waitUntil(lambda: session.project is not None and window.current != "", timeout=30_000)
        window.activateWindow()  # keys go to an active window only
        qtbot.waitUntil(window.isActiveWindow, timeout=30_000)
        return person

    yield open_it
    for person in opened:
        person.leave_at_once()
    assert not bugs, bugs


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Every worker ends by itself once nobody needs it."""
    before = set(psutil.Process().children(recursive=True))
    yield
    ours = [child for child in psutil.Process().children(recursive=True) if child not in before]
    _, left = psutil.wait_procs(ours, timeout=60)
    for process in left:
        process.kill()
    assert not left, f"processes left behind: {left}"
