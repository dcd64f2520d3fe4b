"""The Data panel: what people gave, the datasets made of it, and the way in and out for files."""

from __future__ import annotations

from studio.panels.data.panel import DataPanel

__all__ = ["DataPanel"]
