"""Takes the labels that runs have written into the open project, since only the window may write to it meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

from rlhf_engine.contract.events import Envelope, Produced

if TYPE_CHECKING:
    from studio.panels.data.slices import Slices
    from studio.session import Session


class Taking(QObject):
    """Made by the window. Reading is done on another thread, writing in slices that are shorter than a frame."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent or session)
        self._session = session
        self._slices: Slices | None = None
        self._reading = self._again = False
        session.project_changed.connect(self._begin)
        session.received.connect(self._hear)

    def look(self) -> None:
        """Take in what waits, one file after the other."""
        project = self._session.project
        if project is None:
            return
        if self._slices is not None or self._reading:
            self._again = True
            return
        from rlhf_engine.store.taking import read_labels, waiting_labels

        root = project.root

        def read() -> tuple[Path, list[dict[str, Any]]] | None:
            found = waiting_labels(root)
            return (found[0], read_labels(found[0])) if found else None

        self._reading, self._again = True, False
        self._session.in_background(read, self._write, self._failed)

    def stop(self) -> None:
        slices, self._slices = self._slices, None
        if slices is not None:
            slices.blockSignals(True)
            slices.stop()
            slices.deleteLater()

    def _begin(self) -> None:
        self.stop()
        self._reading = False
        self.look()

    def _hear(self, envelope: Envelope) -> None:
        if isinstance(envelope.event, Produced) and envelope.event.what == "labels":
            self.look()

    def _write(self, found: tuple[Path, list[dict[str, Any]]] | None) -> None:
        self._reading = False
        project = self._session.project
        if found is None or project is None or not found[0].is_relative_to(project.root):
            return
        path, rows = found
        labels = project.labels
        from studio.panels.data.slices import Slices

        self._slices = Slices(rows, labels.take, self)
        self._slices.finished.connect(lambda _: self._done(path, rows))
        self._slices.failed.connect(self._failed)

    def _done(self, path: Path, rows: list[dict[str, Any]]) -> None:
        from rlhf_engine.store.labels import Changed
        from rlhf_engine.store.taking import taken

        self.stop()
        taken(path)
        self._session.announce(Changed.COMPARISONS | Changed.PAIRS)
        judged = sum(row["kind"] == "comparisons" for row in rows)
        self._session.toast(self.tr("{0} AI labels are in the project.").format(f"{judged:,}"), "good")
        self.look()

    def _failed(self, error: BaseException) -> None:
        self._reading = False
        self.stop()
        self._session.say(error)
