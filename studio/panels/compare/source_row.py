"""Which pairs are asked: those that wait, or also those that only a rule has judged; and how far one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QWidget

from studio.panels.compare.progress_ring import ProgressRing
from studio.panels.compare.queue import PairQueue
from studio.panels.compare.telling import progress_line, sitting_lines
from studio.theme.tokens import S2
from studio.widgets import PlainLabel, button, set_tooltip

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels


class SourceRow(QWidget):
    """`changed` when the other source is chosen. How far one is stands elsewhere: in `progress` and `ring`."""

    changed = Signal()

    def __init__(self, progress: PlainLabel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.waiting = button(self.tr("Waiting"))
        self.again = button(self.tr("Judge these yourself"))
        set_tooltip(self.again, self.tr("Pairs that a rule, an import or a model has judged, but no person yet"))
        sources = QButtonGroup(self)
        for made in (self.waiting, self.again):
            made.setCheckable(True)
            sources.addButton(made)
        self.waiting.setChecked(True)
        self.again.toggled.connect(lambda _: self.changed.emit())
        self.ring = ProgressRing()
        self.progress, self._tagline = progress, progress.text()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addWidget(self.waiting)
        layout.addWidget(self.again)

    def count(self, labels: Labels | None) -> None:
        """Read how many pairs each source has; None is no project."""
        waiting = labels.tally()[""] if labels is not None else 0
        again = labels.judged_by_people()[""] if labels is not None else 0
        self._write(self.waiting, waiting)
        self._write(self.again, again)
        self.waiting.setEnabled(labels is not None)
        self.again.setEnabled(again > 0 or self.again.isChecked())

    def follow(self, queue: PairQueue | None, days: int = 0) -> None:
        """Show how far a queue is, without reading anything; `days` in a row were judged on."""
        self.progress.setText(progress_line(queue) if queue else self._tagline)
        set_tooltip(self.progress, sitting_lines(queue, days) if queue else "")
        self.ring.setVisible(queue is not None)
        if queue is not None:
            self.ring.show_share(queue.tally.judged, queue.tally.total)
            self._write(self.again if queue.no_person_yet else self.waiting, queue.tally.left)

    def _write(self, made: QPushButton, count: int) -> None:
        text = self.tr("Waiting  {0}") if made is self.waiting else self.tr("Judge these yourself  {0}")
        made.setText(text.format(f"{count:,}"))
