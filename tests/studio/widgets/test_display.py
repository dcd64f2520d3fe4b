"""What is shown is what is stored: for any text, on the widget itself, and in no time."""

from __future__ import annotations

import errno
import os
import random
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QTextOption
from PySide6.QtWidgets import QTextEdit

from studio.panels.compare.differences import differences
from studio.widgets import PlainText
from studio.widgets.display import LINE, Display, stand_in

# RLHF_FUZZ=10000 is the full count; every push does less.
EXAMPLES = int(os.environ.get("RLHF_FUZZ", "300"))
ODD = (
    "\r\n\t\x00\x0b\x0c\x1b\x7f\x85\xa0\xad\u200b\u200d\u200f\u2028\u2029\u202e\u2066\u3000\ufdd0\ufeff\ufffc\uffff"
    "\U000e0041🙂é<&>"
)
TEXTS = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), max_size=80)


def on_the_widget(box: PlainText) -> str:
    """What the document holds, read block by block: toPlainText() writes no-break spaces as spaces."""
    lines, block = [], box.view.document().begin()
    while block.isValid():
        lines.append(block.text())
        block = block.next()
    return "\n".join(lines)


def expected(text: str) -> str:
    """Character by character, by Unicode's own categories: what a text looks like when nothing in it is obeyed."""
    shown = []
    for number, c in enumerate(text):
        if c == "\r" and text[number + 1 : number + 2] == "\n":
            continue
        category = unicodedata.category(c)
        kept = c in "\n\t" or category not in ("Cc", "Zl", "Zp")
        bidi = unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        nothing = 0xFDD0 <= ord(c) <= 0xFDEF or ord(c) & 0xFFFE == 0xFFFE
        odd = c in "\ufeff\ufff9\ufffa\ufffb\ufffc" or 0xE0000 <= ord(c) <= 0xE007F
        shown.append(c if kept and not (bidi or nothing or odd) else stand_in(c))
    return "".join(shown)


@pytest.fixture(scope="module")
def box(qapp: Any) -> PlainText:
    return PlainText()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, ends=st.tuples(st.floats(0, 1), st.floats(0, 1)), marks=st.booleans())
def test_what_is_shown_is_what_is_stored_for_any_text(
    box: PlainText, text: str, ends: tuple[float, float], marks: bool
) -> None:
    box.show_marks(False)
    box.set_text(text)
    shown = on_the_widget(box)
    assert shown == expected(text)
    assert box.text() == text and box.stored(0, len(shown)) == text
    box.view.selectAll()
    box.view.copy()
    if text:
        assert QGuiApplication.clipboard().text() == text
    box.show_marks(marks)
    shown = on_the_widget(box)
    assert box.stored(0, len(shown)) == text
    start, end = sorted(round(end * len(shown)) for end in ends)
    first, last = box._display.stored_at(start), box._display.stored_at(end)
    assert 0 <= first <= last <= len(text)  # any part of what is shown is a part of what is stored, in its place
    for stored in (first, last):
        if text[stored - 1 : stored + 1] != "\r\n":
            assert box._display.stored_at(box._display.shown_at(stored)) == stored


def test_long_lines_of_odd_characters_lose_nothing() -> None:
    rng = random.Random(1)
    for _ in range(30):
        text = "".join(rng.choices(ODD + "abc ", k=rng.randint(1, 9000)))
        display = Display()
        shown = display.add(text)
        assert max(map(len, shown.split("\n"))) <= LINE
        assert display.stored_at(len(shown)) == len(text) == display.length
        assert display.shown_length == len(shown)
        for swap in display.swaps:
            if swap.shown_length and swap.length:
                assert shown[swap.shown_at : swap.shown_at + swap.shown_length] == stand_in(text[swap.at])


def test_what_could_turn_the_reading_round_is_shown_and_not_obeyed(box: PlainText) -> None:
    box.set_text("pay \u202e001\u202c coins\x1b[2J\U000e0041")
    assert on_the_widget(box) == "pay ⟨RLO⟩001⟨PDF⟩ coins␛[2J⟨U+E0041⟩"
    assert len(box.view.extraSelections()) == 4  # each on a ground of its own: it is not the text that says so


def test_blanks_and_shapeless_characters_are_shown_on_request_only(box: PlainText) -> None:
    box.show_marks(False)
    box.set_text("a\u200bb \tc\xa0d\r\n")
    assert on_the_widget(box) == "a\u200bb \tc\xa0d\n"
    seen = QTextOption.Flag.ShowTabsAndSpaces
    assert not box.view.document().defaultTextOption().flags() & seen
    box.show_marks(True)
    assert on_the_widget(box) == "a⟨ZWSP⟩b \tc⟨NBSP⟩d␍\n"
    assert box.view.document().defaultTextOption().flags() & seen
    box.set_text("x\u3000y")
    assert on_the_widget(box) == "x⟨IDSP⟩y"
    box.show_marks(False)
    assert on_the_widget(box) == "x\u3000y"


def test_marks_lie_where_the_stored_words_are(box: PlainText) -> None:
    text = "🙂\u202e wide\r\n" + "x" * (LINE + 3) + " word"
    box.set_text(text)
    start = text.index("word")
    box.mark([(start, start + 4)])
    assert box.marked() == ["word"]
    assert [found.cursor.selectedText() for found in box.view.extraSelections()] == ["⟨RLO⟩", "word"]


@pytest.mark.parametrize("word", ["words ", "w🙂rd\u202e "], ids=["plain", "odd"])
def test_a_line_of_two_million_characters_opens_at_once(word: str, qtbot: Any) -> None:
    line = word * (2_000_000 // len(word))
    box = PlainText()
    qtbot.addWidget(box)
    box.resize(600, 400)
    box.show()
    qtbot.waitExposed(box)
    took = []
    for do in (lambda: box.set_text(line), box.more.click):
        begin = time.process_time()
        do()
        box.repaint()
        took.append(time.process_time() - begin)
    print(f"a line of {len(line):,} characters: {took[0]:.3f} s, all of it {took[1]:.3f} s")  # noqa: T201
    assert took[0] < 0.5
    assert box.stored(0, box._display.shown_length) == line


def test_a_widget_that_reads_markup_would_fail_the_same_test(qtbot: Any) -> None:
    told = "<s>[INST] hi"
    rich = QTextEdit()
    qtbot.addWidget(rich)
    rich.setText(told)
    assert rich.toPlainText() != expected(told)


def test_texts_too_long_for_words_are_compared_by_lines() -> None:
    same = "the same line of some words\n" * 2000
    ours, theirs = differences(same + "left\n" + same, same + "right\n" + same)
    assert [(same + "left\n" + same)[a:b].strip() for a, b in ours] == ["left"]
    assert [(same + "right\n" + same)[a:b].strip() for a, b in theirs] == ["right"]
    begin = time.process_time()
    assert differences("a " * 500_000, "b " * 500_000) == ([(0, 1_000_000)], [(0, 1_000_000)])
    assert time.process_time() - begin < 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_nothing_a_text_names_is_opened_whether_seen_marked_copied_or_clicked(tmp_path: Path, qtbot: Any) -> None:
    fifo = tmp_path / "CANARY"
    os.mkfifo(fifo)
    text = (
        f'<img src="file://{fifo}"><a href="file://{fifo}">x</a> ![]({fifo.as_uri()}) {fifo.as_uri()} '
        f'<link rel="stylesheet" href="file://{fifo}"><table background="{fifo}"><img src="data:image/png;base64,AAAA">'
    )
    box = PlainText(text)
    qtbot.addWidget(box)
    box.resize(700, 300)
    box.show()
    qtbot.waitExposed(box)
    box.show_marks(True)
    box.mark([(0, len(text))])
    for x in range(5, 600, 40):
        qtbot.mouseClick(box.view.viewport(), Qt.MouseButton.LeftButton, pos=box.view.viewport().rect().topLeft())
        qtbot.mouseMove(box.view.viewport())
        qtbot.mouseDClick(box.view.viewport(), Qt.MouseButton.LeftButton)
        assert x
    box.view.selectAll()
    box.view.copy()
    qtbot.wait(50)
    assert on_the_widget(box) == text
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):  # nobody reads from the pipe
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
