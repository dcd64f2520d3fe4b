"""Help: the pages of the engine, searchable, and linked to each other."""

from __future__ import annotations

from studio.panels.help.panel import HelpPanel

__all__ = ["HelpPanel"]
