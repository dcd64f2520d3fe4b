"""Runs: all runs of the project, one of them, or several side by side."""

from __future__ import annotations

from studio.panels.runs.panel import RunsPanel

__all__ = ["RunsPanel"]
