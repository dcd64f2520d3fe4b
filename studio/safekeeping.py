"""Looks after the open project's labels while one works: takes snapshots, and looks over what is stored once a day."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer

from rlhf_engine.contract.errors import EngineError
from studio.session import sentence

if TYPE_CHECKING:
    from studio.session import Session

MINUTE = 60_000  # ms
LARGEST = 64 << 20  # bytes; of a larger labels.db, `rlhf project check` does the looking over
REST = 20  # a snapshot that took a second is not followed by another for so many


class Safekeeping(QObject):
    """Made by the window. Nothing here waits for the disk: all of it is done on another thread."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent or session)
        self._session = session
        self._going = False
        self._known = False  # whether the project's last snapshot has been found
        self._before = 0  # facts that the last snapshot lacks, but for those written since the project was opened
        self._last = 0.0
        self._rested = 0.0
        self._told = False
        self._clock = QTimer(self, interval=MINUTE)
        self._clock.timeout.connect(self.see_to_it)
        self._over = QTimer(self, singleShot=True, interval=MINUTE // 2)
        self._over.timeout.connect(self.look_over)
        session.project_changed.connect(self._begin)
        session.labels_changed.connect(lambda _changed: self.see_to_it())

    def stop(self) -> None:
        self._clock.stop()
        self._over.stop()

    def see_to_it(self) -> None:
        """Take a snapshot where one is due."""
        from rlhf_engine.store.snapshots import is_due

        project, now = self._session.project, time.monotonic()
        if project is None or self._going or not self._known or now < self._rested:
            return
        said = project.labels.written
        if not is_due(self._before + said, now - self._last):
            return
        self._going = True

        def taken(_path: Any) -> None:
            if self._session.project is project:
                self._before, self._last = -said, now
                self._rested = now + REST * (time.monotonic() - now)
            self._going = self._told = False

        self._session.in_background(project.snapshot, taken, self._not_taken)

    def look_over(self) -> None:
        """Whether all labels are as they were written; once a day for each project."""
        project = self._session.project
        if project is None or (project.root / "labels.db").stat().st_size > LARGEST:
            return
        key, today = f"looked-over:{project.id}", date.today().isoformat()
        if self._session.recall(key) == today:
            return

        def looked(check: Any) -> None:
            if self._session.project is not project:
                return
            self._session.remember(key, today)
            if not check.healthy:
                self.offer_repair(self.tr("The labels are not as they were written: {0}").format(check), project.root)

        self._session.in_background(project.check, looked, self._session.say)

    def offer_repair(self, text: str, root: Path) -> None:
        self._session.toast(text, "bad", self.tr("Repair"), lambda: self.repair(root))

    def repair(self, root: Path) -> None:
        """Put back what is damaged or gone. The project is closed meanwhile, and opened again."""
        from rlhf_engine.store.project import Project

        if self._session.root is not None and self._session.root != root:
            return  # another one has been opened since
        self._session.leave_project()

        def repaired(done: Any) -> None:
            several = self.tr("{0} rows were put back.").format(f"{done.restored:,}")
            words = self.tr("1 row was put back.") if done.restored == 1 else several
            if done.lost:
                words += " " + self.tr("In no copy, and hidden: {0}.").format(f"{len(done.lost):,}")
            self._session.toast(words, "warn" if done.lost else "good")
            try:
                self._session.open_project(root)
            except EngineError as error:
                self._session.say(error)

        self._session.in_background(lambda: Project.repair(root), repaired, self._session.say)

    def _begin(self) -> None:
        """Another project is open, or none."""
        self._known = self._told = False
        self._rested = 0.0
        self.stop()
        project = self._session.project
        if project is None:
            return
        self._clock.start()
        self._over.start()
        if project.labels.put_back:
            text = self.tr("{0} rows were in the journal alone, after a crash. They were put back.")
            one = self.tr("1 row was in the journal alone, after a crash. It was put back.")
            back = project.labels.put_back
            self._session.toast(one if back == 1 else text.format(f"{back:,}"), "good")

        from rlhf_engine.store.project import BACKUPS
        from rlhf_engine.store.snapshots import said_since_last

        written = project.labels.written

        def found(said: tuple[int, float]) -> None:
            if self._session.project is project:
                self._before, self._last = said[0] - written, time.monotonic() - said[1]
                self._known = True
                self.see_to_it()

        self._session.in_background(
            lambda: said_since_last(project.root / "labels.db", project.root / BACKUPS), found, self._not_taken
        )

    def _not_taken(self, error: BaseException) -> None:
        self._going = False
        self._rested = time.monotonic() + MINUTE / 1000
        if not self._told:
            self._told = True
            self._session.toast(self.tr("No snapshot of the labels: {0}").format(sentence(error)), "warn")
