"""What is written beside judging: a note that goes with the verdict, and a better answer kept as a demonstration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.data.records import unpack_prompt
from studio.panels.compare.draft_saver import DraftSaver
from studio.panels.compare.editing import EditCard
from studio.panels.compare.queue import PairQueue
from studio.panels.compare.remarks import NoteLine
from studio.panels.compare.saving import Saving

if TYPE_CHECKING:
    from studio.session import Session


class Writing(QObject):
    """The note, the editor and their drafts. `asked` gives the queue that is judged.

    Signals: opened() when the editor takes the keys; saved(Changed) when a demonstration was; closed() when done.
    """

    opened = Signal()
    saved = Signal(object)
    closed = Signal()

    def __init__(
        self, session: Session, saving: Saving, asked: Callable[[], PairQueue | None], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._session, self._asked = session, asked
        self.edit = EditCard()
        self.edit.hide()
        self.edit.saved.connect(self._save)
        self.edit.closed.connect(self.closed)
        self.note = NoteLine()
        self.drafts = DraftSaver(session, saving, self.note, self.edit, self)

    @property
    def is_busy(self) -> bool:
        """Whether somebody writes."""
        return not self.edit.isHidden() or self.note.field.isVisible()

    def open_note(self) -> None:
        queue = self._asked()
        if queue is not None and queue.current is not None:
            self.note.open()

    def open_edit(self) -> None:
        queue = self._asked()
        if queue is not None and queue.current is not None:
            here = queue.current
            self.edit.open(here, draft=self.drafts.edit_of(here.id))
            self.opened.emit()

    def edit_winner(self) -> None:
        """Begin a demonstration with the answer that won the last verdict."""
        queue = self._asked()
        given = queue.said if queue is not None else []
        last = next((said for said in reversed(given) if said.winner in ("a", "b")), None)
        if last is None:
            self._session.toast(self.tr("Give a verdict first: its winner can then be edited."))
            return
        side = 0 if last.winner == last.shown.left else 1
        self.edit.open(last.shown, side, self.drafts.edit_of(last.shown.id))
        self.opened.emit()

    def close(self) -> None:
        """Put everything away; what was begun stays a draft."""
        self.drafts.keep()
        self.edit.hide()
        self.note.close_field()

    def _save(self, text: str) -> None:
        queue = self._asked()
        if queue is None or self.edit.shown is None:
            return
        pair = self.edit.shown.pair
        try:
            prompt = unpack_prompt(pair["prompt"], pair["turns"])
            _, changed = self._session.labels.add_demonstration(prompt, text, author=queue.author)
        except EngineError as error:
            self._session.say(error)
            return
        self.saved.emit(changed)
        self.drafts.drop_edit()
        self._session.toast(self.tr("Saved as a demonstration."), "good")
        self.edit.hide()
        self.closed.emit()
