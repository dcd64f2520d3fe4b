"""Tells the other panels what was written, a moment later and in one go: the next pair comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Changed
    from studio.panels.compare.saving import Saving
    from studio.session import Session

LATER_MS = 300


class Announcer(QObject):
    """`is_speaking` while the others hear of it: what one said oneself is no news."""

    def __init__(self, session: Session, saving: Saving, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._saving = session, saving
        self._unsaid: Changed | None = None
        self.is_speaking = False
        self._soon = QTimer(self, singleShot=True, interval=LATER_MS)
        self._soon.timeout.connect(self.speak)

    def note(self, changed: Changed) -> None:
        """Something was written."""
        self._unsaid = changed if self._unsaid is None else self._unsaid | changed
        self._soon.start()

    def speak(self) -> None:
        """Now, such as when the panel is left."""
        self._soon.stop()
        if self._saving.is_waiting:  # whoever hears of it reads, and would wait for the disk
            self._soon.start()
            return
        changed, self._unsaid = self._unsaid, None
        if changed:
            self.is_speaking = True
            self._session.announce(changed)
            self.is_speaking = False

    def drop(self) -> None:
        """Another project is open: what was written belongs to the last one."""
        self._soon.stop()
        self._unsaid = None
