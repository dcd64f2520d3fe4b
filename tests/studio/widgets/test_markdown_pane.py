"""Markdown of somebody else is shown with its looks, and nothing in it is loaded, opened or taken for HTML."""

from __future__ import annotations

import os
from typing import Any

import pytest
from PySide6.QtGui import QTextFormat

from studio.widgets.markdown_pane import MOST, MarkdownPane


@pytest.fixture
def pane(qtbot: Any) -> MarkdownPane:
    made = MarkdownPane()
    qtbot.addWidget(made)
    made.show()
    return made


def blocks(pane: MarkdownPane) -> list[str]:
    block, found = pane.document().begin(), []
    while block.isValid():
        found.append(block.text())
        block = block.next()
    return found


def formats(pane: MarkdownPane) -> list[Any]:
    block, found = pane.document().begin(), []
    while block.isValid():
        place = block.begin()
        while not place.atEnd():
            found.append(place.fragment().charFormat())
            place += 1
        block = block.next()
    return found


def test_headings_lists_and_code_come_as_they_are_meant(pane: MarkdownPane) -> None:
    pane.show_markdown(
        "# How to judge\n\nOf *two* answers\nthe **true** one.\n\n1. Form\n2. Truth\n   - facts\n\n> said\n\n"
        "```\nif a<b:\n  x\n```"
    )
    assert blocks(pane) == [
        "How to judge", "Of two answers the true one.", "1. Form", "2. Truth", "• facts", "said", "if a<b:\u2028  x",
    ]  # fmt: skip
    looks = formats(pane)
    assert looks[0].fontWeight() > 500 and looks[0].fontPointSize() > pane.font().pointSizeF()
    assert any(look.fontItalic() for look in looks) and any(look.fontFixedPitch() for look in looks)


def test_html_is_text_and_pictures_and_links_are_words(pane: MarkdownPane, tmp_path: Any, qtbot: Any) -> None:
    fifo = tmp_path / "fifo.png"
    os.mkfifo(fifo)  # whoever opens it is seen
    pane.show_markdown(
        f'<img src="{fifo}"> <b>bold</b>\n\n![a cat]({fifo}) ![x](http://127.0.0.1:9/x.png)\n\n[words]({fifo})\n\n'
        f'<img src="file://{fifo}">\n\n&lt;b&gt; \ufffc [ref]\n\n[ref]: http://127.0.0.1:9/ "t"'
    )
    qtbot.wait(50)
    with pytest.raises(OSError, match="No such device"):  # nobody reads it
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    text = pane.toPlainText()
    assert f'<img src="{fifo}"> <b>bold</b>' in text and "[a cat]" in text and f"words ({fifo})" in text
    for look in formats(pane):
        assert not look.isAnchor() and not look.isImageFormat() and look.anchorHref() == ""
        assert look.objectType() == QTextFormat.ObjectTypes.NoObject


def test_what_is_too_long_is_cut_and_says_so(pane: MarkdownPane) -> None:
    pane.show_markdown("x" * (MOST + 5))
    assert blocks(pane)[-1] == "… 5 more characters are not shown."


def test_deep_nesting_and_broken_markdown_do_no_harm(pane: MarkdownPane) -> None:
    pane.show_markdown("> " * 3000 + "x\n\n" + "- " * 500 + "y\n\n" + "*" * 999 + "[" * 999)
    assert "y" in pane.toPlainText()  # shown as it is written


def test_it_keeps_its_words_when_the_theme_changes(pane: MarkdownPane, qapp: Any) -> None:
    from studio.theme import colors, theme

    pane.show_markdown("# A\n\nb")
    theme().apply("dark", 1.0)
    try:
        qapp.processEvents()
        assert blocks(pane) == ["A", "b"]
        assert formats(pane)[1].foreground().color().name() == colors().text.lower()
    finally:
        theme().apply("light", 1.0)
