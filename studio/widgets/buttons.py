"""Buttons by their role, so that every panel's look alike."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton, QToolButton

from studio.theme import set_icon
from studio.widgets.labels import set_tooltip


def button(
    text: str, do: Callable[[], object] | None = None, *, role: str = "", icon: str = "", tip: str = ""
) -> QPushButton:
    """A push button. `role` is "", primary (one per panel), ghost or danger; `do` takes no argument."""
    made = QPushButton(text)
    if role:
        made.setProperty("role", role)
    made.setAutoDefault(False)
    made.setCursor(Qt.CursorShape.PointingHandCursor if role == "ghost" else Qt.CursorShape.ArrowCursor)
    if icon:
        tints = {"primary": "on_accent", "ghost": "link", "danger": "bad"}
        set_icon(made, icon, tints.get(role, "text"))
    if tip:
        set_tooltip(made, tip)
    if do is not None:
        made.clicked.connect(lambda: do())
    return made


def primary_button(text: str, do: Callable[[], object] | None = None, *, icon: str = "", tip: str = "") -> QPushButton:
    return button(text, do, role="primary", icon=icon, tip=tip)


def ghost_button(text: str, do: Callable[[], object] | None = None, *, icon: str = "", tip: str = "") -> QPushButton:
    return button(text, do, role="ghost", icon=icon, tip=tip)


def icon_button(
    icon: str, text: str, do: Callable[[], object] | None = None, *, checkable: bool = False
) -> QToolButton:
    """A small button that shows only an icon; `text` is its tooltip and what a screen reader says."""
    made = QToolButton()
    made.setAccessibleName(text)
    made.setCheckable(checkable)
    set_tooltip(made, text)
    set_icon(made, icon)
    if do is not None:
        made.clicked.connect(lambda: do())
    return made
