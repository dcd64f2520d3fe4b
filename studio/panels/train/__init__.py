"""Train: choose a method, its settings and its data; then watch the run."""

from __future__ import annotations

from studio.panels.train.panel import TrainPanel

__all__ = ["TrainPanel"]
