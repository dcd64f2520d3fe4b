"""The AI feedback panel: a model as the judge, its principles, and answers revised by them."""

from __future__ import annotations

from studio.panels.feedback.panel import FeedbackPanel

__all__ = ["FeedbackPanel"]
