"""The playground: one question, up to four models beside each other."""

from __future__ import annotations

from studio.panels.playground.panel import PlaygroundPanel

__all__ = ["PlaygroundPanel"]
