"""The Models panel: base models, and what runs of this project made of them."""

from __future__ import annotations

from studio.panels.models.panel import ModelsPanel

__all__ = ["ModelsPanel"]
