"""Keeps what is being written about a pair, half a second after the last key and whenever one leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

from rlhf_engine.contract.errors import EngineError
from studio.panels.compare.editing import EditCard
from studio.panels.compare.remarks import NoteLine
from studio.panels.compare.saving import Saving

if TYPE_CHECKING:
    from studio.session import Session

SOON_MS = 500


class DraftSaver(QObject):
    """`load` shows what was begun about a pair, `keep` writes it down, `said` forgets it: it has been said.

    While `saving` waits for the disk, this waits too.
    """

    def __init__(
        self, session: Session, saving: Saving, note: NoteLine, edit: EditCard | None, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._session, self._saving, self._note, self._edit = session, saving, note, edit
        self._author = ""
        self._pair = ""
        self._body: dict[str, str] = {}  # what is on the disk
        self._soon = QTimer(self, singleShot=True, interval=SOON_MS)
        self._soon.timeout.connect(self.keep)
        note.changed.connect(self._soon.start)
        if edit is not None:
            edit.changed.connect(self._soon.start)

    def load(self, pair_id: str, author: str) -> None:
        """Another pair is on the screen: keep what was written about the last one, and show what there is of this."""
        self.keep()
        self._pair, self._author = pair_id, author
        self._body = self._session.labels.draft(pair_id, author) if pair_id else {}
        self._note.put(str(self._body.get("note", "")))

    def edit_of(self, pair_id: str) -> str:
        """The begun demonstration for a pair's prompt."""
        body = self._body if pair_id == self._pair else self._session.labels.draft(pair_id, self._author)
        return str(body.get("edit", ""))

    def keep(self) -> None:
        """Write down what has changed. Where that fails it is said, and tried again with the next key."""
        self._soon.stop()
        if not self._pair or self._session.project is None:
            return
        if self._saving.is_waiting:
            self._soon.start()
            return
        body = {**self._body, "note": self._note.text()}
        edit = self._edit
        if edit is not None and not edit.isHidden() and edit.shown is not None:
            if edit.shown.id == self._pair:
                body["edit"] = edit.draft()
            else:  # of a pair that was judged before
                self._put(edit.shown.id, {"edit": edit.draft()})
        self._write(body)

    def drop_edit(self) -> None:
        """The demonstration was saved."""
        self._soon.stop()
        edit = self._edit
        if edit is not None and edit.shown is not None and edit.shown.id != self._pair:
            self._put(edit.shown.id, {})
        else:
            self._write({**self._body, "edit": ""})

    def said(self) -> None:
        """The pair was judged, and its note went with the verdict; a begun demonstration stays begun."""
        self._soon.stop()
        self._note.clear()
        self._write({**self._body, "note": ""})
        self._pair, self._body = "", {}

    def forget_project(self) -> None:
        self._soon.stop()
        self._pair, self._body = "", {}

    def _write(self, body: dict[str, str]) -> None:
        told = {key: text for key, text in body.items() if text}
        if self._pair and told != self._body and self._put(self._pair, told):
            self._body = told

    def _put(self, pair_id: str, body: dict[str, str]) -> bool:
        try:
            self._session.labels.keep_draft(pair_id, body, self._author)
        except EngineError as error:
            self._session.say(error)
            return False
        return True
