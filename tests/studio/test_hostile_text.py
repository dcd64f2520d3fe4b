"""Text of models and data is shown as it is in every panel, and nothing it names is opened."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QAbstractListModel, QEvent, QModelIndex, QObject, Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QComboBox,
    QLabel,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

from rlhf_engine.contract.events import Alert, Metrics, Produced, RunFinished, RunStarted, Sample, Stage, Text
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Comparison
from studio.main_window import MainWindow
from studio.panels import PANELS
from tests.studio.panels.run_stage import SFT, store

CANARY = "CANARY"


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[str]:
    """Markup that would open a pipe of ours; whoever reads from that pipe is found out."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes here")
    fifo = tmp_path / CANARY
    os.mkfifo(fifo)
    yield f'<img src="file://{fifo}"><b>{CANARY}</b><a href="file://{fifo}">x</a> ![]({fifo.as_uri()}) &amp;'
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):  # which says that nobody reads from it
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))


class Windows(QObject):
    """Notes what comes up as a window of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[QWidget] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
            self.seen.append(watched)
        return False


@pytest.mark.timeout(120)
def test_markup_in_a_project_is_shown_raw_in_every_panel(
    empty_session: Any, tmp_path: Path, qtbot: Any, trap: str
) -> None:
    session = empty_session
    session.create_project(tmp_path / "project", f"Project {trap}")
    fill(session, trap)
    window = MainWindow(session)
    qtbot.addWidget(window)
    watch = Windows()
    QApplication.instance().installEventFilter(watch)
    window.show()
    qtbot.waitExposed(window)
    for key in PANELS:
        window.show_panel(key)
        qtbot.wait(400)
    talk(session, window, trap, qtbot)
    window.show_panel("runs", {"run": "a1"})
    qtbot.waitUntil(lambda: window.panel("runs").view.story.ended, timeout=20_000)
    window.toggle_drawer()
    qtbot.wait(300)
    QApplication.instance().removeEventFilter(watch)
    seen = list(found(window))
    assert not [what for what, fault in seen if fault], [f"{what}: {fault}" for what, fault in seen if fault]
    assert len(seen) > 25, "the markup was not even on the screen"
    assert watch.seen == [window], "parts of panels came up as windows of their own"
    window.close()


def fill(session: Any, trap: str) -> None:
    labels = session.labels
    labels.add_prompt(f"Prompt {trap}")
    labels.add_demonstration(f"Asked {trap}", f"Said {trap}", source="human")
    for number in range(3):
        labels.add_pair(f"Pair {number} {trap}", f"A {trap}", f"B {number} {trap}", {"from": trap}, source="model")
    labels.add_model(f"/models/{CANARY}", f"Model {trap}")
    pairs = [Comparison(f"Prompt {n} {trap}", f"Good {trap}", f"Bad {n} {trap}") for n in range(12)]
    freeze(session.root, "comparisons", pairs, f"Dataset {trap}", f"origin {trap}", {"note": trap})
    story = (
        RunStarted("sft", 3, 0, f"Hardware {trap}"),
        Stage(f"Stage {trap}", 1, 2),
        Metrics(1, {"train/loss": 1.0, f"loss/{trap}": 2.0}),
        Metrics(2, {"train/loss": 0.9, f"loss/{trap}": 1.0}),
        Sample(2, f"Prompt {trap}", f"Answer {trap}", 0.5, f"Reference {trap}", (trap, "x"), {"kl": (0.1, 0.2)}),
        Alert("warning", f"Warned {trap}", f"Hint {trap}", 2),
        Produced("adapter", "runs/a1/adapter", {"fact": trap}),
        RunFinished("failed", f"Failed {trap}", f"Do {trap}", f"Traceback {trap}"),
    )
    store(session, "a1", SFT, story, f"Run {trap}")


def talk(session: Any, window: MainWindow, trap: str, qtbot: Any) -> None:
    """Ask in the playground, and be answered with markup."""
    window.show_panel("playground", {"prompt": f"Question {trap}"})
    panel: Any = window.panel("playground")
    panel.ask(f"Question {trap}")
    (run_id, _, _) = session.quiet.submitted[-1]
    say = session.quiet.say
    say(run_id, RunStarted("generate", 0))
    tokens = [{"text": trap, "logprob": -0.5, "top": [[trap, -0.5]]}]
    say(run_id, Text(0, trap, tuple(tokens), "eos"))
    say(run_id, Alert("warning", f"Careful {trap}", "", 0))
    say(run_id, RunFinished("failed", f"Broke {trap}", trap, trap))
    qtbot.waitUntil(lambda: panel.asking is None, timeout=20_000)
    panel.talk.all[0].turns[0].cards[0].show_tokens(True)
    panel.side.alternatives.show_token(tokens[0])


def found(window: MainWindow) -> Iterator[tuple[str, str]]:
    """Every place that holds the markup, and what is wrong there; "" is nothing."""
    for widget in window.findChildren(QWidget):
        name = f"{type(widget).__name__} in {type(widget.parent()).__name__}"
        tip = widget.toolTip()
        if CANARY in tip:
            yield f"tooltip of {name}", f"markup: {tip[:80]}" if "<img" in tip else ""
        match widget:
            case QLabel() if CANARY in widget.text():
                plain = widget.textFormat() == Qt.TextFormat.PlainText
                yield name, "" if plain else f"not plain: {widget.text()[:80]}"
            case QAbstractButton() if CANARY in widget.text():
                yield name, ""  # buttons draw plain text only
            case QPlainTextEdit() if CANARY in widget.toPlainText():
                yield name, "" if "<img" in widget.toPlainText() else "markup was taken out"
            case QTextEdit() if CANARY in widget.toHtml():
                raw = "<img" in widget.toPlainText() and "<img" not in widget.toHtml()
                yield name, "" if raw else f"not raw: {widget.toPlainText()[:80]}"
            case QComboBox() | QAbstractItemView():
                yield from in_model(name, widget.model())


def in_model(name: str, model: Any) -> Iterator[tuple[str, str]]:
    if model is None:
        return
    columns = 1 if isinstance(model, QAbstractListModel) else model.columnCount(QModelIndex())
    for row in range(min(20, model.rowCount(QModelIndex()))):
        for column in range(columns):
            index = model.index(row, column)
            if CANARY in str(index.data(Qt.ItemDataRole.DisplayRole) or ""):
                yield name, ""  # delegates draw plain text only
            tip = str(index.data(Qt.ItemDataRole.ToolTipRole) or "")
            if CANARY in tip:
                yield f"tooltip in {name}", f"markup: {tip[:80]}" if "<img" in tip else ""
