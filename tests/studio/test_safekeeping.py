"""Snapshots come by themselves while one works, and what has rotted is told with a way to mend it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.contract.errors import DiskFull
from rlhf_engine.store.project import Project
from rlhf_engine.store.snapshots import list_snapshots
from studio.safekeeping import Safekeeping


@pytest.fixture
def keeper(session: Any) -> Iterator[Safekeeping]:
    made = Safekeeping(session)
    session.said = []
    session.toasted.connect(lambda level, text, action, do: session.said.append((level, text, action, do)))
    made._begin()
    yield made
    made.stop()


def say(session: Any, count: int) -> None:
    for n in range(count):
        session.labels.add_prompt(f"prompt {n} {session.labels.written}")
        session.announce(session.labels.last_change)


def taken(session: Any) -> int:
    return len(list_snapshots(session.root / "backups"))


def test_a_snapshot_comes_after_fifty_labels_and_the_next_after_fifty_more(
    keeper: Safekeeping, session: Any, qtbot: Any
) -> None:
    qtbot.waitUntil(lambda: keeper._known)
    assert taken(session) == 0  # nothing has been said
    say(session, 1)
    qtbot.waitUntil(lambda: taken(session) == 1 and not keeper._going)  # there was none yet
    keeper._rested = 0.0
    say(session, 49)
    qtbot.wait(50)
    assert taken(session) == 1
    say(session, 1)
    qtbot.waitUntil(lambda: taken(session) == 2 and not keeper._going)


def test_after_half_an_hour_one_label_is_enough(keeper: Safekeeping, session: Any, qtbot: Any) -> None:
    say(session, 1)
    qtbot.waitUntil(lambda: taken(session) == 1 and not keeper._going)
    keeper._rested = 0.0
    say(session, 1)
    keeper._last -= 1801
    keeper.see_to_it()
    qtbot.waitUntil(lambda: taken(session) == 2 and not keeper._going)
    keeper._rested, keeper._last = 0.0, keeper._last - 1801
    keeper.see_to_it()
    assert not keeper._going  # nothing has been said since


def test_a_snapshot_without_space_is_told_once_and_labels_go_on(
    keeper: Safekeeping, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> Path:
        raise DiskFull("There is no space left.", "Free some.")

    monkeypatch.setattr(session.project, "snapshot", full)
    say(session, 1)
    qtbot.waitUntil(lambda: bool(session.said))
    keeper._rested = 0.0
    say(session, 60)
    qtbot.waitUntil(lambda: not keeper._going)
    assert [text for _, text, _, _ in session.said] == ["No snapshot of the labels: There is no space left. Free some."]
    assert session.labels.count("prompts") == 61


def test_a_label_that_has_rotted_is_told_once_a_day_and_mended_at_a_click(
    keeper: Safekeeping, session: Any, qtbot: Any
) -> None:
    say(session, 5)
    keeper.look_over()
    qtbot.waitUntil(lambda: session.recall(f"looked-over:{session.project.id}") is not None)
    assert session.said == []
    session.labels._db.execute("UPDATE prompts SET prompt = 'forged' WHERE row = 2")
    keeper.look_over()  # not twice a day
    session.remember(f"looked-over:{session.project.id}", "")
    keeper.look_over()
    qtbot.waitUntil(lambda: bool(session.said))
    level, text, action, do = session.said.pop()
    assert (level, action) == ("bad", "Repair") and "1 row has changed since it was written" in text
    do()
    qtbot.waitUntil(lambda: session.project is not None, timeout=10_000)
    assert session.said[-1][:2] == ("good", "1 row was put back.")
    assert session.labels.count("prompts") == 5 and session.project.check().healthy


def test_rows_that_a_crash_left_in_the_journal_alone_are_told_of(keeper: Safekeeping, session: Any, qtbot: Any) -> None:
    say(session, 3)
    root = session.root
    session.leave_project()
    connection = sqlite3.connect(root / "labels.db")
    connection.execute("DELETE FROM prompts WHERE row = 3")
    connection.commit()
    connection.close()
    session.open_project(root)
    assert session.said[-1][1] == "1 row was in the journal alone, after a crash. It was put back."
    assert session.labels.count("prompts") == 3


def test_a_project_that_cannot_be_opened_can_be_repaired_from_the_window(
    studio_home: Path, tmp_path: Path, qtbot: Any
) -> None:
    from studio.main_window import MainWindow
    from studio.session import Session

    with Project.create(tmp_path / "mine") as project:
        for n in range(30):
            project.labels.add_prompt(f"p{n}")
    (tmp_path / "mine" / "labels.db").write_bytes(b"no database " * 500)
    window = MainWindow(Session())
    qtbot.addWidget(window)
    said: list[Any] = []
    window.session.toasted.connect(lambda *given: said.append(given))
    try:
        window.open_project(tmp_path / "mine")
        assert said[0][0] == "bad" and "is damaged" in said[0][1] and said[0][2] == "Repair"
        said[0][3]()
        qtbot.waitUntil(lambda: window.session.project is not None, timeout=10_000)
        assert window.session.labels.count("prompts") == 30
    finally:
        window.session.settings.confirm_close = False
        window.close()


def test_where_no_copy_is_left_the_window_says_so_and_begins_nothing_anew(
    studio_home: Path, tmp_path: Path, qtbot: Any
) -> None:
    from studio.main_window import MainWindow
    from studio.session import Session

    root = tmp_path / "mine"
    with Project.create(root) as project:
        project.labels.add_prompt("p")
    for name in ("labels.db", "labels.journal.jsonl"):
        (root / name).unlink()
    window = MainWindow(Session())
    qtbot.addWidget(window)
    said: list[Any] = []
    window.session.toasted.connect(lambda *given: said.append(given))
    try:
        window.open_project(root)
        assert "labels.db is missing" in said[0][1] and said[0][2] == "Repair"
        with qtbot.waitSignal(window.session.failed, timeout=10_000) as failed:
            said[0][3]()
        assert "neither a journal nor a snapshot holds a copy" in str(failed.args[0])
        assert window.session.project is None and not (root / "labels.db").exists()
    finally:
        window.session.settings.confirm_close = False
        window.close()
