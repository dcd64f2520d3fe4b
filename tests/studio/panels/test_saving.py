"""A slow disk: the next question does not come before the verdict is safe, it is said, and it goes on by itself."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt

from rlhf_engine.contract.errors import DiskFull
from studio.panels.compare import ComparePanel
from studio.panels.compare.remarks import SavingSign

Key = Qt.Key


@pytest.fixture
def panel(session: Any, qtbot: Any) -> ComparePanel:
    for n in range(6):
        session.labels.add_pair(f"Question {n}", f"good {n}", f"bad {n}")
    made = ComparePanel(session)
    qtbot.addWidget(made)
    made.resize(1100, 760)
    with qtbot.waitActive(made):
        made.show()
    made.on_shown()
    return made


@pytest.fixture
def disk(session: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`disk.set()` lets what is written reach the disk; until then a commit hangs in the journal."""
    going = threading.Event()
    held = session.labels._journal.sync

    def slow() -> None:
        assert going.wait(20)
        held()

    monkeypatch.setattr(session.labels._journal, "sync", slow)
    yield going
    going.set()


def signs(panel: ComparePanel) -> list[bool]:
    return [sign.isVisible() for sign in panel.page.findChildren(SavingSign)]


def test_a_slow_disk_holds_the_next_pair_back_and_says_so(
    panel: ComparePanel, disk: Any, session: Any, qtbot: Any
) -> None:
    first = panel.queue.current  # type: ignore[union-attr]
    began = time.monotonic()
    qtbot.keyClick(panel, Key.Key_1)
    assert time.monotonic() - began < 5  # the window is not held up
    assert panel.queue.current is first and signs(panel) == [True]  # type: ignore[union-attr]
    assert not panel.pairs.bar.isEnabled()
    for key in (Key.Key_2, Key.Key_S, Key.Key_Backspace, Key.Key_F, Key.Key_X):
        qtbot.keyClick(panel, key)  # nothing is said of it twice
    panel.asked.reload()
    panel.open_pair("whatever")
    panel.arrange("ranking")
    assert panel.queue.current is first and panel.mode == "pairs"  # type: ignore[union-attr]
    disk.set()
    qtbot.waitUntil(lambda: panel.queue.current is not first)  # type: ignore[union-attr]
    assert signs(panel) == [False] and panel.pairs.bar.isEnabled()
    assert session.labels.count("comparisons") == 1
    qtbot.keyClick(panel, Key.Key_1)  # and it judges on
    assert session.labels.count("comparisons") == 2


def test_a_quick_disk_is_not_spoken_of(panel: ComparePanel, qtbot: Any) -> None:
    told: list[bool] = []
    panel.saving.waits.connect(told.append)
    for _ in range(4):
        qtbot.keyClick(panel, Key.Key_1)
    assert told == [] and panel.queue.tally.judged == 4  # type: ignore[union-attr]


@pytest.mark.parametrize(("layout", "keys"), [("ranking", (Key.Key_1, Key.Key_Return)), ("rating", (Key.Key_2,))])
def test_rankings_and_ratings_wait_as_well(
    panel: ComparePanel, disk: Any, session: Any, qtbot: Any, layout: str, keys: tuple[Any, ...]
) -> None:
    panel.arrange(layout)
    page: Any = panel.page
    first = page.queue.current
    for key in keys:
        qtbot.keyClick(page, key)
    assert page.queue.current is first and signs(panel) == [True]
    for key in (*keys, Key.Key_S, Key.Key_F):
        qtbot.keyClick(page, key)
    disk.set()
    qtbot.waitUntil(lambda: page.queue.current is not first)
    assert signs(panel) == [False] and page.queue.done == 1
    assert session.labels.count("comparisons") + session.labels.count("ratings") == 1


def test_a_slow_disk_that_turns_out_to_be_full_keeps_the_verdict_for_another_try(
    panel: ComparePanel, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = session.labels.judge

    def full(*_: Any, **__: Any) -> str:
        time.sleep(0.3)
        raise DiskFull("The disk is full.")

    monkeypatch.setattr(session.labels, "judge", full)
    first = panel.queue.current  # type: ignore[union-attr]
    qtbot.keyClick(panel, Key.Key_1)
    assert signs(panel) == [True]
    qtbot.waitUntil(panel.pairs.failure.isVisible)
    assert signs(panel) == [False] and panel.queue.current is first  # type: ignore[union-attr]
    monkeypatch.setattr(session.labels, "judge", real)
    panel.pairs.failure.retry.click()
    assert panel.queue.current is not first and session.labels.count("comparisons") == 1  # type: ignore[union-attr]


def test_a_project_that_is_closed_meanwhile_keeps_what_was_said(
    panel: ComparePanel, disk: Any, session: Any, qtbot: Any
) -> None:
    root = session.root
    qtbot.keyClick(panel, Key.Key_1)
    assert signs(panel) == [True]
    threading.Timer(0.2, disk.set).start()
    session.leave_project()  # waits for what is on its way
    QCoreApplication.sendPostedEvents(None, QEvent.Type.MetaCall)
    assert signs(panel) == [False] and panel.queue is None
    session.open_project(root)
    assert session.labels.count("comparisons") == 1
