"""The words for what a key does."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from studio.panels.compare.keys import ACTIONS


def action_words(name: str) -> str:
    return QCoreApplication.translate("JudgingKeys", ACTIONS[name].words)
