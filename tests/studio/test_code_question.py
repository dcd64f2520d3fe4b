"""Code of one's own is shown before it is run, agreed to once by its content, and asked about again when it changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from rlhf_engine import consent
from rlhf_engine.contract.events import RunFinished, RunStarted
from rlhf_engine.tasks.rloo.spec import RLOOSpec
from studio.code_question import CodeQuestion, agree_then, resume_then, visible
from studio.panels.train import TrainPanel
from tests.studio.panels.run_stage import SFT, store

CODE = "def reward(prompt, answer, reference):\n    return float(len(answer))  # <b>bold</b>\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "judge.py"
    made.write_text(CODE, encoding="utf-8")
    return made


@pytest.fixture
def page(qtbot: Any) -> QWidget:
    made = QWidget()
    qtbot.addWidget(made)
    return made


def spec(*files: Path) -> RLOOSpec:
    rewards = tuple({"kind": "python", "file": str(file)} for file in files)
    return RLOOSpec(policy="starter", dataset="p.jsonl", rewards=rewards)  # type: ignore[arg-type]


def question(parent: QWidget, qtbot: Any) -> CodeQuestion:
    def open_ones() -> list[CodeQuestion]:
        return [made for made in parent.findChildren(CodeQuestion) if made.isVisible()]

    qtbot.waitUntil(lambda: bool(open_ones()), timeout=5000)
    return open_ones()[0]


def test_a_file_is_shown_whole_and_agreed_to_once(session: Any, page: QWidget, file: Path, qtbot: Any) -> None:
    done: list[str] = []
    agree_then(session, spec(file), page, lambda: done.append("first"))
    asked = question(page, qtbot)
    assert asked.path.text() == str(file) and consent.sha256_of(file) in asked.hash.text()
    assert asked.content.text() == CODE and asked.content.view.isReadOnly()
    assert done == []
    asked.yes.click()
    qtbot.waitUntil(lambda: done == ["first"], timeout=5000)
    agree_then(session, spec(file), page, lambda: done.append("second"))
    qtbot.waitUntil(lambda: done == ["first", "second"], timeout=5000)
    file.write_text(CODE + "# changed\n", encoding="utf-8")
    agree_then(session, spec(file), page, lambda: done.append("third"))
    question(page, qtbot).no.click()
    qtbot.wait(50)
    assert done == ["first", "second"] and not consent.agreed(consent.sha256_of(file))


def test_enter_and_escape_do_not_agree(session: Any, page: QWidget, file: Path, qtbot: Any) -> None:
    done: list[int] = []
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Escape):
        agree_then(session, spec(file), page, lambda: done.append(1))
        asked = question(page, qtbot)
        qtbot.keyClick(asked, key)
        qtbot.waitUntil(lambda: not page.findChildren(CodeQuestion), timeout=5000)
    assert done == []


def test_several_files_are_asked_about_one_after_the_other(
    session: Any, page: QWidget, file: Path, tmp_path: Path, qtbot: Any
) -> None:
    other = tmp_path / "other.py"
    other.write_text("def reward(*_):\n    return 1.0\n", encoding="utf-8")
    done: list[int] = []
    agree_then(session, spec(file, other, file), page, lambda: done.append(1))
    first = question(page, qtbot)
    first.yes.click()
    qtbot.waitUntil(lambda: question(page, qtbot) is not first, timeout=5000)
    second = question(page, qtbot)
    assert second.path.text() == str(other) and done == []
    second.yes.click()
    qtbot.waitUntil(lambda: done == [1], timeout=5000)


def test_what_runs_no_code_begins_at_once(session: Any, page: QWidget) -> None:
    done: list[int] = []
    agree_then(session, SFT, page, lambda: done.append(1))
    assert done == [1]


def test_a_file_that_is_gone_is_told(session: Any, page: QWidget, tmp_path: Path, qtbot: Any) -> None:
    told: list[BaseException] = []
    session.failed.connect(told.append)
    agree_then(session, spec(tmp_path / "gone.py"), page, lambda: pytest.fail("it must not begin"))
    qtbot.waitUntil(lambda: bool(told), timeout=5000)
    assert "cannot be read" in str(told[0])


def test_a_full_disk_is_told_and_nothing_is_run(
    session: Any, page: QWidget, file: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(consent, "agree", full)
    told: list[BaseException] = []
    session.failed.connect(told.append)
    agree_then(session, spec(file), page, lambda: pytest.fail("it must not begin"))
    question(page, qtbot).yes.click()
    qtbot.waitUntil(lambda: bool(told), timeout=5000)
    assert "cannot be kept: No space left on device" in str(told[0])


def test_marks_that_hide_or_turn_text_are_written_out() -> None:
    assert visible("a\u202eb\u200b\x1b\r\n\tc") == "a⟨U+202E⟩b⟨U+200B⟩⟨U+001B⟩\n\tc"
    assert visible("plain 文字 🙂\n") == "plain 文字 🙂\n"


def test_start_asks_before_the_run_is_handed_over(session: Any, file: Path, qtbot: Any) -> None:
    panel = TrainPanel(session)
    qtbot.addWidget(panel)
    panel.setup.choose("rloo")
    panel.setup.form.set_values({"dataset": "p.jsonl", "rewards": [{"kind": "python", "file": str(file)}]})
    panel.setup.start()
    asked = question(panel, qtbot)
    assert session.quiet.submitted == []
    asked.yes.click()
    qtbot.waitUntil(lambda: len(session.quiet.submitted) == 1, timeout=5000)
    assert session.quiet.submitted[0][1].rewards[0].file == str(file)
    panel.view.close_run()


def test_a_run_that_goes_on_asks_when_its_code_has_changed(session: Any, page: QWidget, file: Path, qtbot: Any) -> None:
    store(session, "p1", spec(file), [RunStarted("rloo", 4), RunFinished("suspended")])
    done: list[int] = []
    resume_then(session, "p1", page, lambda: done.append(1))
    question(page, qtbot).yes.click()
    qtbot.waitUntil(lambda: done == [1], timeout=5000)
    resume_then(session, "nobody", page, lambda: done.append(2))
    assert done == [1, 2]
