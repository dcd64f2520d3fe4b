"""Taking the records of a dataset into the project's own, a slice at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget
from shiboken6 import isValid

from rlhf_engine.data.datasets import open_dataset
from rlhf_engine.data.records import Comparison, Record, canonical
from studio.background import Errand
from studio.panels.data.slices import Slices
from studio.panels.data.words import KINDS, counted, word
from studio.session import Session
from studio.theme.tokens import S2
from studio.widgets import PlainLabel, StageBar, button


class AddToProject(QWidget):
    """A button that adds a dataset's records, the way it has gone, and a way to stop it.

    What was added before is remembered per dataset: going on begins where it stopped, and nothing is added twice.
    Signals: added(kind, count) when it is over.
    """

    added = Signal(str, int)

    def __init__(self, session: Session, parent: QWidget | None = None, *, primary: bool = False) -> None:
        super().__init__(parent)
        self._session = session
        self._ref = self._kind = ""
        self._rows = self._new = 0
        self.slices: Slices | None = None
        self._reading: Errand | None = None
        self._place, self._begun = "", 0  # where the way gone is remembered, and how far it was at the beginning
        self.button = button("", self.add, role="primary" if primary else "", icon="database-plus-outline")
        self.said = PlainLabel(tone="muted", wrap=True)
        self.bar = StageBar()
        self.bar.cancelled.connect(self.stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self.bar)
        layout.addWidget(self.said)
        self.bar.hide()
        self.said.hide()
        session.project_changed.connect(self._leave)

    def offer(self, ref: str, kind: str, rows: int) -> None:
        """Offer to add this dataset. While another is being added the offer waits for its end."""
        if self.slices is not None:
            return
        self._ref, self._kind, self._rows = ref, kind, rows
        self.bar.hide()
        self._show_offer()

    @property
    def busy(self) -> bool:
        return self.slices is not None

    def add(self) -> None:
        assert self._session.project is not None
        root, ref = self._session.project.root, self._ref
        self.button.setEnabled(False)
        self.bar.show()
        self.bar.show_stage(self.tr("Reading the dataset"))
        self._reading = self._session.in_background(partial(_records, root, ref), self._begin, self._failed)

    def stop(self) -> None:
        if self.slices is not None:
            self.slices.stop()

    def _begin(self, records: Sequence[Record]) -> None:
        begun, labels, kind = self._done_before(), self._session.labels, self._kind
        self._place, self._begun = self._key(), begun
        self._new = 0

        def write(some: list[Record]) -> None:
            rows = [as_row(record) for record in some]
            count, _ = labels.add_many(kind, rows, source="import")
            self._new += count

        self.slices = Slices(_Rest(records, begun), write, self)
        self.slices.progressed.connect(self._progressed)
        self.slices.finished.connect(self._finished)
        self.slices.failed.connect(self._failed)

    def _leave(self) -> None:
        """Another project is open: nothing of the one before may go into it. What was added is remembered there."""
        if self._reading is not None:
            self._reading.forget()
        slices, self.slices = self.slices, None
        if slices is not None:
            slices.blockSignals(True)
            slices.stop()
            self._session.remember(self._place, self._begun + slices.done)
            slices.deleteLater()
        self.bar.hide()

    def _progressed(self, done: int, total: int) -> None:
        words = word(KINDS[self._kind]).lower()
        self.bar.show_stage(self.tr("Adding {0}").format(words), done, total)

    def _finished(self, done: int) -> None:
        self._end(done)
        self.added.emit(self._kind, self._new)

    def _failed(self, error: BaseException) -> None:
        if not isValid(self):
            return
        self._end(self.slices.done if self.slices else 0)
        self._session.say(error)

    def _end(self, done: int) -> None:
        from rlhf_engine.store.labels import Changed

        slices, self.slices = self.slices, None
        if slices is not None:
            self._session.remember(self._key(), self._done_before() + done)
            slices.deleteLater()
        self.bar.hide()
        self._show_offer()
        if done:
            pairs = Changed.COMPARISONS | Changed.PAIRS
            self._session.announce(pairs if self._kind == "comparisons" else Changed[self._kind.upper()])

    def _show_offer(self) -> None:
        before, kind = self._done_before(), self._kind
        rest = self._rows - before
        here = word(KINDS[kind]).lower()
        self.button.setEnabled(rest > 0)
        if before and rest > 0:
            self.button.setText(self.tr("Add the other {0}").format(f"{rest:,}"))
            self.said.setText(self.tr("{0} of {1} were added.").format(f"{before:,}", f"{self._rows:,}"))
        elif before:
            self.button.setText(self.tr("Added to the project's {0}").format(here))
            passed = before - self._new if kind == "prompts" and self._new else 0
            words = self.tr("All {0} are among the project's records.").format(counted(kind, before))
            twice = self.tr(" {0} had been there before.").format(f"{passed:,}") if passed > 0 else ""
            self.said.setText(words + twice)
        else:
            self.button.setText(self.tr("Add these to the project's {0}").format(here))
        self.said.setVisible(before > 0)

    def _key(self) -> str:
        root = str(self._session.root or "")
        return f"data/added/{hashlib.sha256(root.encode()).hexdigest()[:12]}/{self._ref}"

    def _done_before(self) -> int:
        before = self._session.recall(self._key(), 0)
        return before if isinstance(before, int) else 0


def as_row(record: Record) -> Mapping[str, Any] | Record:
    """A record as `Labels.add_many` takes it.

    Which of two answers becomes A is drawn from the prompt: whoever judges the pair again must not learn that A wins.
    """
    if not isinstance(record, Comparison):
        return record
    first = hashlib.sha256(canonical(record.prompt).encode()).digest()[0] % 2 == 0
    a, b = (record.chosen, record.rejected) if first else (record.rejected, record.chosen)
    about = {"prompt": record.prompt, "source": record.source, "strength": record.strength}
    return {**about, "a": a, "b": b, "winner": "tie" if record.tied else "a" if first else "b"}


def _records(root: Any, ref: str) -> Sequence[Record]:
    """The rows of the dataset; of a large one each is read when its turn comes."""
    return open_dataset(root, ref).rows(ties=True)


class _Rest(Sequence[Record]):
    """What comes after the first `begun` of some records, without copying them."""

    def __init__(self, records: Sequence[Record], begun: int) -> None:
        self._records, self._begun = records, begun

    def __len__(self) -> int:
        return max(0, len(self._records) - self._begun)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            start, stop, _ = number.indices(len(self))
            return self._records[self._begun + start : self._begun + stop]
        return self._records[self._begun + range(len(self))[number]]
