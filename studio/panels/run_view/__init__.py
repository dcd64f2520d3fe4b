"""The view of one run, shared by Train and Runs."""

from __future__ import annotations

from studio.panels.run_view.story import RunStory
from studio.panels.run_view.view import RunView

__all__ = ["RunStory", "RunView"]
