"""The Export panel: a result as files that others can load, here and on the Hub."""

from __future__ import annotations

from studio.panels.export.panel import ExportPanel

__all__ = ["ExportPanel"]
