"""Labels and answers by models, and the principles they go by."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtWidgets import QStackedWidget, QTabBar, QVBoxLayout, QWidget

from studio.commands import Command
from studio.panels.feedback.batch_page import BatchPage
from studio.panels.feedback.judge_page import JudgePage
from studio.panels.feedback.principles_page import PrinciplesPage
from studio.panels.feedback.steps_page import StepsPage
from studio.session import Session
from studio.theme.tokens import S4, S6
from studio.widgets import PanelHeader


class FeedbackPanel(QWidget):
    """Hints: page="judge", "principles", "steps" or "batch"."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.judge, self.principles = JudgePage(session), PrinciplesPage(session)
        self.steps, self.batch = StepsPage(session), BatchPage(session)
        self.pages: dict[str, QWidget] = {
            "judge": self.judge,
            "principles": self.principles,
            "steps": self.steps,
            "batch": self.batch,
        }
        self.titles = (self.tr("Judge"), self.tr("Principles"), self.tr("One prompt"), self.tr("All prompts"))
        self.tabs = QTabBar()
        self.tabs.setExpanding(False)
        self.tabs.setDrawBase(False)
        self.stack = QStackedWidget()
        for title, page in zip(self.titles, self.pages.values(), strict=True):
            self.tabs.addTab(title)
            self.stack.addWidget(page)
        self.tabs.currentChanged.connect(self.stack.setCurrentIndex)
        session.labels_changed.connect(self._labels_changed)
        session.project_changed.connect(self.refresh)
        content = QVBoxLayout()
        content.setContentsMargins(S6, 0, S6, S4)
        content.setSpacing(S4)
        content.addWidget(self.tabs)
        content.addWidget(self.stack, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(
            PanelHeader(self.tr("AI feedback"), self.tr("Labels and revised answers by a model, apart from people's"))
        )
        layout.addLayout(content, 1)
        self.refresh()

    def refresh(self) -> None:
        self.principles.refresh()
        self.judge.refresh()

    def on_shown(self) -> None:
        self.judge.refresh()

    def help_topic(self) -> str:
        return "ai-feedback"

    def receive(self, hints: dict[str, Any]) -> None:
        if (page := str(hints.get("page", ""))) in self.pages:
            self.show_page(page)

    def show_page(self, page: str) -> None:
        self.tabs.setCurrentIndex(list(self.pages).index(page))

    def commands(self) -> list[Command]:
        return [
            Command(title, partial(self._session.go, "feedback", page=page), panel=self.tr("AI feedback"))
            for page, title in zip(self.pages, self.titles, strict=True)
        ]

    def _labels_changed(self, _changed: object) -> None:
        if self.isVisible():
            self.judge.refresh()
