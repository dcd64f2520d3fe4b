"""Both palettes can be read, and switching them reaches everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QApplication

import studio.theme
from studio.theme import theme
from studio.theme.tokens import DARK, LIGHT, Colors
from studio.widgets import PlainLabel, button


def luminance(color: str) -> float:
    """WCAG 2.1, relative luminance."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_black_on_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


@pytest.mark.parametrize("c", [DARK, LIGHT], ids=["dark", "light"])
def test_text_can_be_read_on_every_ground(c: Colors) -> None:
    for ground in (c.window, c.surface, c.raised, c.rail, c.selected):
        assert contrast(c.text, ground) >= 4.5, ground
    for ground in (c.window, c.surface, c.rail):
        for name in ("muted", "link", "good", "warn", "bad"):
            assert contrast(getattr(c, name), ground) >= 4.5, (name, ground)
    assert contrast(c.on_accent, c.accent) >= 4.5


@pytest.mark.parametrize("c", [DARK, LIGHT], ids=["dark", "light"])
def test_curves_stand_out_and_differ(c: Colors) -> None:
    assert len(set(c.series)) == 8
    assert all(contrast(color, c.surface) >= 3.0 for color in c.series)


def test_switching_reaches_the_application_and_says_so(qapp: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(theme().changed):
        theme().apply("dark")
    assert QApplication.palette().color(QPalette.ColorRole.Window).name() == DARK.window
    theme().apply("light")
    assert QApplication.palette().color(QPalette.ColorRole.Window).name() == LIGHT.window


def test_larger_text_reaches_labels_with_a_size_of_their_own(qtbot: Any) -> None:
    theme().apply("light", 1.0)
    label = PlainLabel("x", size=1.5, bold=True)
    qtbot.addWidget(label)
    small = label.font().pointSizeF()
    theme().apply("light", 2.0)
    assert label.font().pointSizeF() == pytest.approx(2 * small)
    assert label.font().bold()
    theme().apply("light", 1.0)


def test_icons_take_the_new_colours(qtbot: Any) -> None:
    theme().apply("light")
    theme().load_icons()
    made = button("Go", icon="play")
    qtbot.addWidget(made)
    before = made.icon().pixmap(16, 16).toImage()
    theme().apply("dark")
    assert made.icon().pixmap(16, 16).toImage() != before
    theme().apply("light")


def test_the_style_sheet_is_short_and_complete() -> None:
    text = (Path(studio.theme.__file__).parent / "studio.qss").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert "@" not in studio.theme.theme.__globals__["style_sheet"](DARK)
