"""The window around the panels, used as a person would: with keys, clicks and what the engine says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QWidget

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.contract.events import Alert, Metrics, RunFinished, RunPaused, RunStarted
from rlhf_engine.tasks.sft.spec import SFTSpec
from studio import main_window
from studio.commands import Command
from studio.frame.gauges import GB, Reading
from studio.frame.palette import search
from studio.main_window import MainWindow
from studio.panels import PANELS, PanelRow
from studio.widgets import ErrorCard, PlainLabel

SFT = SFTSpec(model="starter", dataset="dataset:0")
CTRL = Qt.KeyboardModifier.ControlModifier


class Plain(QWidget):
    """A panel that notes what the window does with it."""

    def __init__(self, session: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.heard: list[Any] = []

    def on_shown(self) -> None:
        self.heard.append("shown")

    def on_hidden(self) -> None:
        self.heard.append("hidden")

    def receive(self, hints: dict[str, Any]) -> None:
        self.heard.append(hints)

    def commands(self) -> list[Command]:
        return [Command("Polish the shoes", lambda: self.heard.append("polished"), "Ctrl+Return")]

    def keys(self) -> list[tuple[str, str]]:
        return [("S", "Skip <b>this</b>")]


class Broken(QWidget):
    def __init__(self, session: Any) -> None:
        raise RuntimeError(f"no panel for {type(session).__name__}")


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every panel is a plain one, but Export, which cannot be built."""
    rows = {}
    for key, row in PANELS.items():
        name = "Broken" if key == "export" else "Plain"
        rows[key] = PanelRow(key, row.title, row.icon, f"{__name__}:{name}", row.about)
    monkeypatch.setattr(PanelRow, "load", lambda row: Broken if row.key == "export" else Plain)


@pytest.fixture
def window(session: Any, qtbot: Any, panels: None) -> Iterator[MainWindow]:
    made = MainWindow(session)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    made.show_panel("home")
    yield made
    session.activity.clear()
    made.close()


def test_panels_are_built_when_they_are_first_shown(window: MainWindow, qtbot: Any) -> None:
    assert window.panel("train") is None
    qtbot.keyClick(window, Qt.Key.Key_6, CTRL)
    assert window.current == "train"
    train = window.panel("train")
    assert isinstance(train, Plain) and train.heard == ["shown"]
    assert window.rail.buttons["train"].isChecked()
    qtbot.keyClick(window, Qt.Key.Key_1, CTRL)
    assert train.heard == ["shown", "hidden"]
    qtbot.keyClick(window, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert window.current == "train" and window.panel("train") is train


def test_one_panel_can_send_another_something(window: MainWindow) -> None:
    window.session.go("runs", run="abc")
    runs = window.panel("runs")
    assert isinstance(runs, Plain) and runs.heard == ["shown", {"run": "abc"}]


def test_panels_can_be_gone_back_and_forward_through(window: MainWindow, qtbot: Any) -> None:
    alt = Qt.KeyboardModifier.AltModifier
    first = window.current
    for key in ("data", "train", "runs"):
        window.show_panel(key)
    shown = []
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Left, Qt.Key.Key_Left):
        qtbot.keyClick(window, key, alt)
        shown.append(window.current)
    assert shown == ["train", "data", "train", "data", first, first]
    window.show_panel("export")  # from here on there is another way forward
    qtbot.keyClick(window, Qt.Key.Key_Right, alt)
    assert window.current == "export"


def test_a_question_mark_shows_the_keys_too(window: MainWindow, qtbot: Any) -> None:
    qtbot.keyClick(window, "?")
    assert window.key_map.isVisible()


def test_a_panel_that_cannot_be_built_shows_why_and_the_others_work(window: MainWindow) -> None:
    window.show_panel("export")
    (card,) = window.stack.currentWidget().findChildren(ErrorCard)
    assert "Export" in card.title.text() and "no panel for Session" in card.cause.text()
    window.show_panel("home")
    assert isinstance(window.stack.currentWidget(), Plain)


def test_the_palette_finds_and_does(window: MainWindow, qtbot: Any) -> None:
    window.show_panel("compare")
    qtbot.keyClick(window, Qt.Key.Key_K, CTRL)
    assert window.palette_.isVisible() and window.palette_.line.hasFocus() == window.isActiveWindow()
    qtbot.keyClicks(window.palette_.line, "polsh shoe")
    assert window.palette_.found()[0].title == "Polish the shoes"
    qtbot.keyClick(window.palette_.line, Qt.Key.Key_Return)
    compare = window.panel("compare")
    assert isinstance(compare, Plain) and compare.heard[-1] == "polished" and not window.palette_.isVisible()
    qtbot.keyClick(window, Qt.Key.Key_K, CTRL)
    qtbot.keyClick(window.palette_.line, Qt.Key.Key_Escape)
    assert not window.palette_.isVisible()


def test_search_puts_what_was_typed_before_what_resembles_it() -> None:
    commands = [Command(title, lambda: None) for title in ("Go to Runs", "Dark theme", "Light theme", "打开项目")]
    assert next(command.title for command in search("dark", commands)) == "Dark theme"
    assert [command.title for command in search("项目", commands)] == ["打开项目"]
    assert len(search("", commands)) == 4


def test_the_key_map_lists_the_panels_own_keys_as_plain_text(window: MainWindow, qtbot: Any) -> None:
    qtbot.keyClick(window, "?")
    texts = [label.text() for label in window.key_map.findChildren(PlainLabel)]
    assert "Skip <b>this</b>" in texts and "Ctrl+K finds anything by its name." in " ".join(texts)
    qtbot.keyClick(window, "?")
    assert not window.key_map.isVisible()


def test_f1_opens_the_help_about_what_is_shown_and_leads_back(window: MainWindow, qtbot: Any) -> None:
    window.show_panel("compare")
    qtbot.keyClick(window, Qt.Key.Key_F1)
    helped = window.panel("help")
    assert window.current == "help" and isinstance(helped, Plain)
    assert helped.heard[-1] == {"topic": "getting-started#Compare"}
    qtbot.keyClick(window, Qt.Key.Key_F1)
    assert window.current == "compare"


def test_no_label_of_the_window_guesses_at_markup(window: MainWindow) -> None:
    window.show_keys()
    window.session.toast("<img src=file:///etc/passwd>")
    for label in window.findChildren(QLabel):
        assert label.textFormat() == Qt.TextFormat.PlainText or not label.text(), label.text()


def test_every_command_has_a_title_and_no_two_share_a_key(window: MainWindow) -> None:
    commands = window.commands()
    keys = [command.keys for command in commands if command.keys]
    assert all(command.title for command in commands) and len(keys) == len(set(keys))


def test_a_run_is_shown_at_the_foot_and_can_be_stopped(window: MainWindow, session: Any, qtbot: Any) -> None:
    run = session.submit(SFT, "my run")
    session.quiet.say(run, RunStarted("sft", 200))
    session.quiet.say(run, Metrics(50, {"train/loss": 1.0}))
    qtbot.waitUntil(lambda: window.status.stage.isVisible())
    assert window.status.stage.label.text() == "my run: step 50 of 200"
    assert window.status.stage.progress.value() == 250
    window.status.stop.click()
    assert session.quiet.controls[run].thrown == ["cancel"]
    session.quiet.say(run, RunFinished("cancelled"))
    qtbot.waitUntil(lambda: not window.status.stage.isVisible())


def test_an_alert_becomes_a_note_that_leads_to_its_run(window: MainWindow, session: Any, qtbot: Any) -> None:
    run = session.submit(SFT)
    session.quiet.say(run, RunStarted("sft", 5))
    session.quiet.say(run, Alert("danger", "Loss became NaN.", "Lower the learning rate."))
    qtbot.waitUntil(lambda: bool(window.toasts._shown))
    toast = window.toasts._shown[0]
    assert toast.label.text() == "Loss became NaN. Lower the learning rate."
    assert "NaN" in window.drawer.notes.toPlainText() and window.top.notes.text() == "1"
    toast._do()
    runs = window.panel("runs")
    assert isinstance(runs, Plain) and runs.heard[-1] == {"run": run}
    window.show_notes()
    assert window.top.notes.text() == ""


def test_the_same_note_twice_is_shown_once_and_four_at_most(window: MainWindow) -> None:
    for number in range(9):
        window.session.toast("again")
        window.session.toast(f"note {number}")
    assert len(window.toasts._shown) == 4
    for toast in list(window.toasts._shown):
        toast.dismiss()


def test_the_log_shows_records_and_what_runs_say_without_secrets(session: Any, qtbot: Any, panels: None) -> None:
    from studio.frame.drawer import LogLines

    lines = LogLines()
    window = MainWindow(session, lines)
    qtbot.addWidget(window)
    logger = logging.getLogger("test.log")
    logger.addHandler(lines)
    logger.warning("token hf_abcdefghijkl")
    logger.removeHandler(lines)
    run = session.submit(SFT)
    session.quiet.say(run, RunStarted("sft", 5, hardware="CPU"))
    qtbot.waitUntil(lambda: "sft started on CPU" in window.drawer.log.text(), timeout=3000)
    assert "hf_…" in window.drawer.log.text() and "abcdefgh" not in window.drawer.log.text()
    session.activity.clear()
    window.close()


def test_a_mistake_that_can_be_mended_is_a_note_and_a_bug_is_a_report(window: MainWindow) -> None:
    reports: list[BaseException] = []
    window.report = reports.append
    window.session.say(StoreError("The project is read-only.", "Copy it."))
    assert window.toasts._shown[-1].label.text() == "The project is read-only. Copy it." and reports == []
    bug = ValueError("x")
    window.session.say(bug)
    assert reports == [bug]


@pytest.mark.parametrize(("answer", "thrown"), [("suspend", "suspend"), ("stop", "cancel")])
def test_closing_waits_for_a_run_to_come_to_rest(
    answer: str, thrown: str, window: MainWindow, session: Any, qtbot: Any, monkeypatch: Any
) -> None:
    run = session.submit(SFT)
    session.quiet.say(run, RunStarted("sft", 5))
    qtbot.waitUntil(lambda: bool(session.activity.kept()))
    quiet = session.quiet
    asked: list[list[str]] = []
    session.settings.confirm_close = True
    monkeypatch.setattr(main_window, "ask_before_closing", lambda runs, _: (asked.append(runs), answer)[1])
    window.close()
    assert window.isVisible() and quiet.controls[run].thrown == [thrown] and len(asked) == 1
    window.toasts._shown[0].dismiss()
    window.close()  # asked again while waiting: still waiting, no second question
    assert window.isVisible() and len(asked) == 1
    [note] = window.toasts._shown  # and the way out is offered again, however long ago the first note went
    assert note.findChild(QPushButton).text() == "Do not wait"
    quiet.say(run, RunFinished("suspended"))
    qtbot.waitUntil(lambda: not window.isVisible())
    assert quiet.closed == (5.0, True)


def test_closing_can_leave_a_run_going_or_be_called_off(
    window: MainWindow, session: Any, qtbot: Any, monkeypatch: Any
) -> None:
    run = session.submit(SFT)
    session.quiet.say(run, RunStarted("sft", 5))
    qtbot.waitUntil(lambda: bool(session.activity.kept()))
    quiet = session.quiet
    session.settings.confirm_close = True
    monkeypatch.setattr(main_window, "ask_before_closing", lambda *_: "")
    window.close()
    assert window.isVisible() and quiet.closed is None
    monkeypatch.setattr(main_window, "ask_before_closing", lambda *_: "leave")
    window.close()
    assert not window.isVisible() and quiet.closed == (5.0, True) and run not in quiet.controls


def test_the_window_comes_back_as_it_was_left(session: Any, qtbot: Any, panels: None) -> None:
    first = MainWindow(session)
    qtbot.addWidget(first)
    first.show()
    first.resize(1024, 700)  # the screen of the offscreen platform is no wider
    first.show_panel("data")
    first.toggle_rail()
    first.close()
    second = MainWindow(session)
    qtbot.addWidget(second)
    assert (second.width(), second.height()) == (1024, 700)
    assert second.rail.folded and session.settings.last_panel == "data"
    second.status.finish()
    second.close()


def test_memory_and_gpu_are_told_where_there_are_any(window: MainWindow) -> None:
    window.status.show_reading(Reading(4 * GB, 16 * GB))
    assert window.status.memory.amount.text() == "4.0 / 16.0 GB" and window.status.gpu.isHidden()
    window.status.show_reading(Reading(4 * GB, 16 * GB, "NVIDIA GeForce RTX 4090", 6 * GB, 24 * GB, 80, 63, 210))
    assert window.status.gpu.name.text() == "RTX 4090" and "63°C" in window.status.gpu.amount.text()


def test_everything_fits_into_the_smallest_window_with_larger_text(window: MainWindow) -> None:
    window.scale(0.5)
    window.resize(1024, 680)
    assert (window.width(), window.height()) == (1024, 680)
    assert all(button.isVisible() for button in window.rail.buttons.values())
    window.scale(-0.5)


def test_a_count_is_shown_beside_its_panel(window: MainWindow) -> None:
    window.session.set_badge("compare", 31)
    assert window.rail.buttons["compare"].accessibleName() == "Compare (31)"


def test_projects_can_be_changed_while_the_window_is_open(window: MainWindow, tmp_path: Path) -> None:
    window.session.create_project(tmp_path / "other", "Other & more")
    assert "Other && more" in window.top.project.text() and window.windowTitle().startswith("Other & more")
    window.open_project(tmp_path / "nowhere")
    assert window.toasts._shown[-1].label.text()
    assert window.session.project is not None and window.session.project.name == "Other & more"


@pytest.mark.parametrize(("paused", "note"), [(False, "goes on in the background"), (True, "can be resumed")])
def test_what_becomes_of_a_run_is_told_when_its_project_has_been_left(
    paused: bool, note: str, window: MainWindow, session: Any, qtbot: Any, tmp_path: Path
) -> None:
    session.create_project(tmp_path / "other", "Other")
    session.create_project(tmp_path / "third", "Third")
    run = session.submit(SFT)
    session.quiet.say(run, RunStarted("sft", 5))
    if paused:
        session.quiet.say(run, RunPaused())
    qtbot.waitUntil(lambda: [going.paused for going in session.activity.kept()] == [paused])
    said: list[str] = []
    session.toasted.connect(lambda _level, text, *_: said.append(text))
    window.open_project(tmp_path / "third")  # it is open already
    window.open_project(tmp_path / "nowhere")
    assert said == []
    window.open_project(tmp_path / "other")
    assert len(said) == 1 and note in said[0]
