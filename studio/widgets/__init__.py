"""The parts that panels are made of. All text they show is shown as it is."""

from __future__ import annotations

from studio.widgets.buttons import button, ghost_button, icon_button, primary_button
from studio.widgets.labels import PlainLabel, set_tooltip, tooltip
from studio.widgets.markdown_pane import MarkdownPane
from studio.widgets.plain_text import PlainText
from studio.widgets.record_table import Column, Query, RecordTable
from studio.widgets.stage_bar import StageBar, duration
from studio.widgets.surfaces import Card, EmptyState, ErrorCard, Icon, Line, PanelHeader, Pill
from studio.widgets.toast import Toast, Toasts

__all__ = [
    "Card",
    "Column",
    "EmptyState",
    "ErrorCard",
    "Icon",
    "Line",
    "MarkdownPane",
    "PanelHeader",
    "Pill",
    "PlainLabel",
    "PlainText",
    "Query",
    "RecordTable",
    "StageBar",
    "Toast",
    "Toasts",
    "button",
    "duration",
    "ghost_button",
    "icon_button",
    "primary_button",
    "set_tooltip",
    "tooltip",
]
