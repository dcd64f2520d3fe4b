"""The help: pages written by hand in resources/help, and pages made from specs, presets and metrics.

No torch and no Qt: the window and the terminal show the same Markdown.
"""

from __future__ import annotations

from rlhf_engine.help.finding import Hit, search
from rlhf_engine.help.pages import PAGES, Page, page_of_metric, read

__all__ = ["PAGES", "Hit", "Page", "page_of_metric", "read", "search"]
