"""Text of models and files is shown as it is, whatever it holds."""

from __future__ import annotations

import random
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QTextCursor
from PySide6.QtWidgets import QLabel

from studio.widgets import ErrorCard, Pill, PlainLabel, PlainText, tooltip
from studio.widgets.display import LINE, Display, Swap
from studio.widgets.plain_text import CAP

HOSTILE = [
    "if a<b and c>d",
    "<s>[INST] hi",
    "&lt;b&gt;",
    "<img src=file:///etc/passwd>",
    "![](file:///etc/passwd)",
    "<title>secret</title>rest",
    "\u05e9\u05dc\u05d5\u05dd \u200f(1)",
    "tab\tand  spaces  ",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_shown_is_what_is_stored(text: str, qtbot: Any) -> None:
    label, box = PlainLabel(text), PlainText(text)
    qtbot.addWidget(label)
    qtbot.addWidget(box)
    assert label.textFormat() == Qt.TextFormat.PlainText and label.text() == text
    assert box.view.toPlainText() == text and box.text() == text


def test_every_label_of_every_widget_is_plain(qtbot: Any) -> None:
    card = ErrorCard("<b>t</b>", "<i>c</i>", "<u>h</u>", "trace", [("Fix", lambda: None)])
    pill = Pill("<b>x</b>")
    for widget in (card, pill):
        qtbot.addWidget(widget)
        labels = [widget, *widget.findChildren(QLabel)] if isinstance(widget, QLabel) else widget.findChildren(QLabel)
        assert all(label.textFormat() == Qt.TextFormat.PlainText for label in labels if label.text())


def test_a_tooltip_shows_markup_as_text() -> None:
    assert tooltip("a<b & c\nd") == "<qt>a&lt;b &amp; c<br>d</qt>"
    assert tooltip("") == ""


def test_long_lines_are_broken_for_display_only(qtbot: Any) -> None:
    text = "x" * (2 * LINE + 5) + "\nshort"
    box = PlainText(text)
    qtbot.addWidget(box)
    assert max(len(line) for line in box.view.toPlainText().split("\n")) == LINE
    assert box.text() == text
    box.view.selectAll()
    box.view.copy()
    assert QGuiApplication.clipboard().text() == text


def test_copying_a_part_gives_the_stored_text_even_with_emoji(qtbot: Any) -> None:
    text = "🙂" * (LINE + 10) + "end"
    box = PlainText(text)
    qtbot.addWidget(box)
    cursor = box.view.textCursor()
    cursor.movePosition(QTextCursor.MoveOperation.End)
    cursor.movePosition(QTextCursor.MoveOperation.Left, QTextCursor.MoveMode.KeepAnchor, 5)
    box.view.setTextCursor(cursor)
    box.view.copy()
    assert QGuiApplication.clipboard().text() == "🙂🙂end"


def test_very_long_text_is_capped_until_asked_for(qtbot: Any) -> None:
    text = "word " * 10_000
    box = PlainText(text)
    qtbot.addWidget(box)
    shown = box.view.toPlainText().replace("\n", "")
    assert len(shown) == CAP and box.text() == text
    assert not box.more.isHidden() and "50,000" in box.more.text()
    box.more.click()
    assert box.view.toPlainText().replace("\n", "") == text
    assert box.more.isHidden()


def test_a_streamed_answer_is_the_same_as_one_set_at_once(qtbot: Any) -> None:
    rng = random.Random(0)
    for _ in range(20):
        text = "".join(
            rng.choice(["a" * rng.randint(1, 900), "\n", "\r\n", "\r", "\u202e", "🙂", "<b>", " "]) for _ in range(40)
        )[:CAP]
        streamed, whole = PlainText(), PlainText(text)
        qtbot.addWidget(streamed)
        qtbot.addWidget(whole)
        at = 0
        while at < len(text):
            size = rng.randint(1, 700)
            streamed.append(text[at : at + size])
            at += size
        assert streamed.text() == text
        assert streamed.view.toPlainText() == whole.view.toPlainText()
        assert streamed._display.swaps == whole._display.swaps


def test_soft_breaks_are_where_they_are_said_to_be() -> None:
    long = Display()
    assert long.add("a" * (LINE + 1)) == "a" * LINE + "\na" and long.swaps == [Swap(LINE, 0, LINE, 1)]
    goes_on = Display()
    goes_on.add("b" * (LINE - 4))
    assert goes_on.add("b" * 10) == "bbbb\nbbbbbb" and goes_on.swaps == [Swap(LINE, 0, LINE, 1)]
    assert Display().add("a" * LINE) == "a" * LINE


def test_an_error_card_copies_without_tokens_and_without_the_home_folder(qtbot: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    card = ErrorCard("No", "token hf_abcdefgh1234 in /home/somebody/x", "", "hf_secretsecret")
    qtbot.addWidget(card)
    card.copy_text()
    assert QGuiApplication.clipboard().text() == "No\ntoken hf_… in ~/x\nhf_…"


def test_a_bug_is_called_a_bug_and_shows_its_trace(qtbot: Any) -> None:
    try:
        raise KeyError("speed")
    except KeyError as error:
        card = ErrorCard.of(error)
    qtbot.addWidget(card)
    assert "KeyError" in card.cause.text() and "bug" in card.hint.text() and "test_text.py" in card.details.text()
