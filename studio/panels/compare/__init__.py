"""Judging pairs of answers: one at a time, by one key each."""

from __future__ import annotations

from studio.panels.compare.panel import ComparePanel

__all__ = ["ComparePanel"]
