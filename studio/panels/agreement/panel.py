"""The page of agreement: worked out on another thread, shown anew when verdicts were added since."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from rlhf_engine.judging.report import Fairness, Person, fairness_of
from studio.annotator import annotator
from studio.background import Errand
from studio.commands import Command
from studio.forms import Combo
from studio.panels.agreement.cards import (
    disputes_card,
    judges_card,
    meters_card,
    rated_card,
    raters_card,
    rubric_card,
    sittings_card,
    together_card,
)
from studio.session import Session
from studio.theme.tokens import S4, S6
from studio.widgets import EmptyState, ErrorCard, PanelHeader, PlainLabel, button

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Changed


class AgreementPanel(QWidget):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.found: Fairness | None = None
        self._stale = True
        self._errand: Errand | None = None
        header = PanelHeader(self.tr("Agreement"), self.tr("How consistent verdicts are, and how far annotators agree"))
        self.people = Combo()
        self.people.setAccessibleName(self.tr("Annotator"))
        self.people.activated.connect(lambda _: self._show())
        header.add(self.people)
        header.add(button(self.tr("Compare"), lambda: session.go("compare"), icon="scale-balance"))
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(header)
        layout.addWidget(self.area, 1)
        self._show()
        session.project_changed.connect(self._project_changed)
        session.labels_changed.connect(self._labels_changed)

    def on_shown(self) -> None:
        if self._stale:
            self.read()

    def read(self) -> None:
        """Work it out anew; what is shown stays until then."""
        self._stale = False
        if self._errand is not None:
            self._errand.forget()
            self._errand = None
        root = self._session.root
        if root is None:
            self.found = None
            self._show()
            return
        self._errand = self._session.in_background(lambda: _read(root / "labels.db"), self._came, self._failed)

    def _came(self, found: Fairness) -> None:
        self._errand = None
        here = self.people.currentData() or (annotator(self._session) if self._session.root is not None else "")
        self.found = found
        self.people.clear()
        for person in found.people:
            self.people.addItem(person.name or self.tr("Without a name"), person.name)
        self.people.setCurrentIndex(max(0, self.people.findData(here)))
        self._show()

    def _failed(self, error: BaseException) -> None:
        self._errand = None
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(S6, S4, S6, S4)
        title = self.tr("The verdicts could not be read")
        layout.addWidget(ErrorCard.of(error, title, [(self.tr("Try again"), self.read)]))
        layout.addStretch()
        self._put(page)

    @property
    def person(self) -> Person | None:
        """The annotator that is chosen."""
        people = self.found.people if self.found is not None else []
        return people[self.people.currentIndex()] if 0 <= self.people.currentIndex() < len(people) else None

    def _show(self) -> None:
        self.people.setVisible(self.found is not None and len(self.found.people) > 1)
        found, person = self.found, self.person
        if self._session.project is None:
            home = (self.tr("Go to Home"), lambda: self._session.go("home"))
            self._put(EmptyState("account-check-outline", self.tr("Open a project to see how it is judged."), home))
            return
        if found is None:
            waiting = PlainLabel(self.tr("Reading the verdicts…"), tone="muted")
            waiting.setAlignment(Qt.AlignmentFlag.AlignCenter)
            self._put(waiting)
            return
        if person is None and not found.raters:
            sentence = self.tr("Nobody has judged here yet. After some thirty verdicts habits begin to show.")
            judge = (self.tr("Judge pairs"), lambda: self._session.go("compare"))
            self._put(EmptyState("account-check-outline", sentence, judge))
            return
        page = QWidget()
        page.setObjectName("plain")
        layout = QVBoxLayout(page)
        layout.setContentsMargins(S6, 0, S6, S4)
        layout.setSpacing(S4)
        if person is not None:
            layout.addWidget(meters_card(person))
            if len(person.sittings) > 1:
                layout.addWidget(sittings_card(person))
            layout.addWidget(together_card(found.together))
        if found.together.disputes:
            layout.addWidget(disputes_card(found.together, self._settle))
        if found.rubrics:
            layout.addWidget(rubric_card(found.rubrics))
        if found.raters:
            layout.addWidget(raters_card(found.raters))
        if found.rated:
            layout.addWidget(rated_card(found.rated))
        if found.judges:
            layout.addWidget(judges_card(found.judges))
        layout.addStretch()
        self._put(page)

    def _put(self, page: QWidget) -> None:
        place = self.area.verticalScrollBar().value()
        self.area.setWidget(page)  # the one before is deleted
        self.area.verticalScrollBar().setValue(place)

    def _settle(self, pair_ids: list[str]) -> None:
        self._session.go("compare", settle=pair_ids)

    def _project_changed(self) -> None:
        self.found = None
        self._stale = True
        self._show()
        if self.isVisible():
            self.read()

    def _labels_changed(self, changed: Changed) -> None:
        if changed & (type(changed).PAIRS | type(changed).COMPARISONS | type(changed).RATINGS):
            self._stale = True
            if self.isVisible():
                self.read()

    def commands(self) -> list[Command]:
        return [Command(self.tr("Settle what annotators disagree on"), self._settle_all)]

    def _settle_all(self) -> None:
        waiting = self.found.together.open_disputes if self.found is not None else []
        if not waiting:
            self._session.toast(self.tr("There is nothing to settle."))
            return
        self._settle([dispute.pair for dispute in waiting])

    def help_topic(self) -> str:
        return "agreement"


def _read(database: Path) -> Fairness:
    """Called on another thread, with a connection of its own."""
    from rlhf_engine.store.labels import Labels

    labels = Labels(database, write=False)
    try:
        return fairness_of(labels)
    finally:
        labels.close()
