"""What stands beside the judging: who judges, the rubric, the question for a name; and what a verdict keeps of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from rlhf_engine.contract.errors import EngineError
from studio.panels.compare.guidelines import Guidelines, GuidelinesPane
from studio.panels.compare.mixing import Mixing
from studio.panels.compare.queue import PairQueue
from studio.panels.compare.rubric import Rubric
from studio.panels.compare.side_column import SideColumn
from studio.panels.compare.who_judges import NameQuestion, WhoJudges

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels
    from studio.session import Session

MEMORY = "judging column"


class Beside(QObject):
    """`changed` when other pairs are to be asked, or under another name."""

    changed = Signal()

    def __init__(self, panel: QWidget, session: Session) -> None:
        super().__init__(panel)
        self._panel, self._session = panel, session
        self.who = WhoJudges(session, panel)
        self.rubric = Rubric(panel, self.who)
        self.question = NameQuestion(panel)
        self.guidelines = GuidelinesPane(session)
        self.column = SideColumn(panel)
        self.column.add("guidelines", self.tr("Guidelines"), self.guidelines, opened=False)
        self.column.add("who", self.tr("Who judges"), self.who)
        self.column.add("rubric", self.tr("Rubric"), self.rubric)
        self.column.folded.connect(lambda *_: self._read_guidelines())
        self.guidelines.asked.connect(lambda: self.write_guidelines(True))
        self.who.changed.connect(self._changed)
        self.who.left.connect(panel.setFocus)
        self.question.said.connect(self._take_name)
        self._mixing: Mixing | None = None
        self._shown = True
        self._for_guidelines = False  # whether the column is there for them alone
        self.read()

    @property
    def opened(self) -> bool:
        return bool(self._session.recall(MEMORY, False))

    def toggle(self) -> None:
        """Show or hide the column."""
        self._for_guidelines = False
        self._session.remember(MEMORY, not self.opened)
        self.show(self._shown)

    def toggle_guidelines(self, keys: Sequence[str] = ()) -> None:
        """Show or hide the guidelines beside the answers; where only the answers are to be seen, over them."""
        if not self._shown:
            self.write_guidelines(False, keys)
        elif self.opened and self.column.is_open("guidelines"):
            self.column.open("guidelines", False)
            if self._for_guidelines:
                self.toggle()
        else:
            if not self.opened:
                self.toggle()
                self._for_guidelines = True
            self.column.open("guidelines")

    def write_guidelines(self, edit: bool, keys: Sequence[str] = ()) -> None:
        """Show them in a window of their own; with `edit` to be written."""
        dialog = Guidelines(self._session, self._panel, keys)
        dialog.finished.connect(lambda _: self._read_guidelines())
        if edit:
            dialog.begin()
        dialog.open()

    def _read_guidelines(self) -> None:
        if self.column.is_open("guidelines"):
            self.guidelines.read()

    def show(self, on: bool) -> None:
        """Show what is opened, or nothing, as while only the answers are to be seen."""
        self._shown = on
        self.column.setVisible(on and self.opened)
        asked = self._session.project is None or bool(self.who.settings.annotator)
        self.question.setVisible(on and not asked)

    def read(self) -> None:
        """Another project is open, or none."""
        self._mixing = None
        self.who.read()
        self.rubric.read()
        self._read_guidelines()
        self.show(self._shown)
        root = self._session.root
        if root is not None:
            self._session.in_background(lambda: _names(root / "labels.db"), self._show_names)

    def mix(self, queue: PairQueue, layout: Callable[[], str]) -> None:
        """Let a queue ask also for what does not wait, and keep with each verdict how it was given."""
        queue.mixing = self.mixing_for(queue.labels, queue.author)
        queue.about = lambda shown: {"layout": layout(), "attributes": self.rubric.attributes(shown.left)}

    def mixing_for(self, labels: Labels, author: str) -> Mixing:
        """What is asked beside what waits; the same person goes on in the same sitting, whatever they judge."""
        before = self._mixing
        self._mixing = Mixing(labels, self.who.settings, author, self.who.other)
        if before is not None and before.author == author:
            self._mixing.go_on(before)
        return self._mixing

    def _take_name(self, name: str) -> None:
        self.who.call(name)
        self.show(self._shown)
        self._panel.setFocus()

    def _changed(self) -> None:
        self.rubric.read()
        self.show(self._shown)
        self.changed.emit()

    def _show_names(self, names: list[str]) -> None:
        self.who.show_others([name for name in names if name and name != self.who.author])


def _names(database: Path) -> list[str]:
    """Called on another thread."""
    from rlhf_engine.store.labels import Labels

    try:
        labels = Labels(database, write=False)
    except EngineError:  # closed or gone in the meantime: there is nobody to offer
        return []
    try:
        return list(labels.annotators())
    finally:
        labels.close()
