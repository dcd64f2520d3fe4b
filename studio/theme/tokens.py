"""Colours, distances and type sizes: the only place that holds such numbers."""

from __future__ import annotations

from dataclasses import dataclass

S1, S2, S3, S4, S6, S8 = 4, 8, 12, 16, 24, 32  # everything stands on a grid of 4 pixels
CONTROL = 30  # height of a button or field


@dataclass(frozen=True, slots=True)
class Colors:
    """One palette. Text on its ground has a contrast of at least 4.5:1 everywhere (a test works it out)."""

    dark: bool
    window: str  # behind everything
    surface: str  # cards, tables, fields
    raised: str  # buttons, hovered rows
    rail: str
    border: str
    text: str
    muted: str
    accent: str  # filled buttons, selection
    on_accent: str
    link: str  # the accent where it is text
    good: str
    warn: str
    bad: str
    selected: str  # ground of a selected row or the current panel
    series: tuple[str, ...]  # Okabe and Ito's eight, adjusted to the ground


DARK = Colors(
    dark=True,
    window="#1b1d22",
    surface="#23262d",
    raised="#2e323b",
    rail="#16181c",
    border="#3a3f4a",
    text="#e8eaee",
    muted="#a3a9b6",
    accent="#2f6fe4",
    on_accent="#ffffff",
    link="#7fb0ff",
    good="#4cc38a",
    warn="#f0b429",
    bad="#ff8078",
    selected="#2a3a57",
    series=("#56b4e9", "#e69f00", "#2dbf92", "#e58fc0", "#f0e442", "#ff8a4c", "#7ea6ff", "#c8ccd4"),
)
LIGHT = Colors(
    dark=False,
    window="#f4f5f7",
    surface="#ffffff",
    raised="#eceef2",
    rail="#e9ebef",
    border="#d3d7de",
    text="#1c1f26",
    muted="#5a6270",
    accent="#2563eb",
    on_accent="#ffffff",
    link="#1d4fd7",
    good="#11703f",
    warn="#8a5a00",
    bad="#b3261e",
    selected="#dbe6ff",
    series=("#0072b2", "#c77700", "#00805a", "#b0508a", "#8a7d00", "#c24a00", "#3b5bdb", "#4a4f59"),
)
