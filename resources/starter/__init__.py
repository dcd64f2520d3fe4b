"""The embedded base model and sample project: where they lie. No torch in this file: the window reads it."""

from __future__ import annotations

from pathlib import Path

STARTER = Path(__file__).resolve().parent
MODEL: Path = STARTER / "model"
PROJECT: Path = STARTER / "project"

__all__ = ["MODEL", "PROJECT", "STARTER"]
