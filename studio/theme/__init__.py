"""How the window looks: one Theme per process; widgets ask it for colours and icons and hear when it changes."""

from __future__ import annotations

from studio.theme.theme import Theme, colors, icon, mono_font, set_icon, theme

__all__ = ["Theme", "colors", "icon", "mono_font", "set_icon", "theme"]
