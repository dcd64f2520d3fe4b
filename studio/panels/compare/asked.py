"""Which pairs are asked: the queue that fits who judges, what is wished for in which order, and what changed since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

from rlhf_engine.contract.errors import EngineError
from studio.panels.compare.queue import PairQueue, Said

if TYPE_CHECKING:
    from studio.panels.compare.desk import Desk
    from studio.panels.compare.next_row import NextRow
    from studio.panels.compare.pair_page import PairPage
    from studio.panels.compare.queue_list import QueueList
    from studio.panels.compare.source_row import SourceRow


class Asked(QObject):
    """Gives the page of pairs its queue. Nothing is read while a verdict is on its way to the disk: `stale` then."""

    def __init__(self, desk: Desk, pairs: PairPage, sources: SourceRow, order: NextRow, listed: QueueList) -> None:
        super().__init__(pairs)
        self._desk, self._session, self._saving = desk, desk.session, desk.saving
        self._pairs, self._sources, self._order, self._listed = pairs, sources, order, listed
        self.stale = True
        sources.changed.connect(self.reload)
        order.planned.connect(self._take_order)
        desk.beside.changed.connect(self.reload)
        desk.saving.waits.connect(self._saved)
        pairs.said.connect(self._go_through)

    @property
    def queue(self) -> PairQueue | None:
        return self._pairs.queue

    def reload(self) -> None:
        """Read the pairs anew."""
        if self._saving.is_waiting:
            self.stale = True
            return
        self.stale = False
        self._pairs.forget_failure()
        if self._session.project is None:
            self._pairs.queue = None
        else:
            self._read()
        self.count()
        self._pairs.show_current()

    def refresh(self) -> None:
        """Take in what changed elsewhere; the pair on the screen stays while it still waits."""
        if self._saving.is_waiting:
            self.stale = True
            return
        self.stale = False
        here = self.queue.current if self.queue is not None else None
        pair = self._session.labels.get("pairs", here.id) if here is not None else None
        if self.queue is None or pair is None or pair["hidden"]:
            self.reload()
            return
        self.queue.start(keep=here)
        self.count()

    def count(self) -> None:
        """Show how many pairs each source has."""
        self._sources.count(self._session.labels if self._session.project is not None else None)

    def open(self, pair_id: str) -> bool:
        """Show a pair now, whether it waits or is to be judged again; whether it is still there."""
        pair = self._session.labels.pair_as_judged(pair_id, self.queue.author) if self.queue is not None else None
        if self.queue is None or pair is None:
            return False
        self.queue.open(pair)
        self._pairs.show_current()
        return True

    def settle(self, pair_ids: Sequence[str]) -> bool:
        """Ask for pairs on which annotators differ; whether any is still there."""
        found = bool(self.queue is not None and self.queue.settle(pair_ids))
        self._pairs.show_current()
        return found

    def put_first(self, pair_ids: Sequence[str]) -> None:
        """Ask for waiting pairs before all others."""
        if self._saving.is_waiting:
            return
        self._sources.waiting.setChecked(True)  # another queue, if it was not
        if self.queue is not None:
            self.queue.first = pair_ids
            self.queue.start()
            self._pairs.show_current()

    def add_one(self) -> None:
        """A pair was made: it is asked last, or at once where none is left."""
        self._order.touch()
        if self.queue is not None:
            self.queue.tally.total += 1
            if self.queue.current is None:
                self.queue.start()
                self._pairs.show_current()

    def _read(self) -> None:
        said, before = (self.queue.said, self.queue.first) if self.queue is not None else ([], ())
        first = self.queue is None
        author, again = self._desk.beside.who.author, self._sources.again.isChecked()
        queue = self._pairs.queue = PairQueue(self._session.labels, author, again, said=said, first=before)
        self._desk.beside.mix(queue, lambda: self._pairs.view.layout_name)
        self._listed.author = author
        self._ask_for_order(queue, first)
        try:
            queue.start()
            if first:
                self._go_on(queue)
        except EngineError as error:
            self._pairs.queue = None
            self._session.say(error)

    def _go_on(self, queue: PairQueue) -> None:
        """Where one stopped, if that pair still waits."""
        if queue.current is None:
            return
        pair = self._session.labels.pair_as_judged(self._desk.looks.stopped_at, queue.author)
        if pair is not None and not pair["winner"] and pair["id"] != queue.current.id:
            queue.open(pair)

    def _go_through(self, said: Said) -> None:
        """Of a list that is gone through (skipped, flagged, …) the next pair; else the next that waits."""
        if self.queue is None or self._listed.isHidden() or self._listed.view == "waiting":
            return
        pair = self._session.labels.pair_as_judged(self._listed.after(said.shown.id), self.queue.author)
        if pair is not None:
            self.queue.open(pair)

    def _ask_for_order(self, queue: PairQueue, first: bool) -> None:
        """The order that is known is followed until the one that fits the pairs of now is worked out."""
        plan, again = self._order.plan, queue.no_person_yet
        fits = not first and self._order.no_person_yet == again and plan is not None
        if fits and plan is not None:
            queue.order, queue.ordered = plan.ids, plan.made
        self._order.no_person_yet = again
        if self._order.wanted:
            self._order.read(chosen=not fits)

    def _take_order(self, chosen: bool) -> None:
        if self.queue is None or self._order.plan is None:
            return
        self.queue.order, self.queue.ordered = self._order.plan.ids, self._order.plan.made
        if self._saving.is_waiting:
            self.stale = True
            return
        try:
            self.queue.start(None if chosen else self.queue.current)
        except EngineError as error:
            self._session.say(error)
            return
        if chosen:
            self._pairs.show_current()
        else:
            self._order.show_reason(self.queue)

    def _saved(self, waits: bool) -> None:
        """A slow disk has kept what was said: take in what had to wait, once the next pair is there."""
        if not waits:
            QTimer.singleShot(0, self, lambda: self.refresh() if self.stale else None)
