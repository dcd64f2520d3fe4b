"""What a look at a dataset found: each kind with its number, a few rows that show it, and what to do."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.contract.events import Envelope, Produced, RunFinished, Stage
from rlhf_engine.tasks.check_data.spec import CheckSpec
from studio import engine_words
from studio.run_feed import RunFeed
from studio.session import Session
from studio.theme.tokens import S1, S2, S3
from studio.widgets import Card, PlainLabel, StageBar, ghost_button


class CheckView(QWidget):
    """`check(ref, name)` lets the engine look at a dataset and shows what it says. Signals: closed()."""

    closed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._feed: RunFeed | None = None
        self._run_id = ""
        self.ref = ""
        self.findings: list[dict[str, Any]] | None = None
        self.title = PlainLabel(bold=True, wrap=True)
        self.bar = StageBar()
        self.bar.cancelled.connect(self.stop)
        self._cards = QVBoxLayout()
        self._cards.setContentsMargins(0, 0, S2, 0)
        self._cards.setSpacing(S2)
        self._lay_out()

    @property
    def busy(self) -> bool:
        return self._feed is not None

    def check(self, ref: str, name: str) -> None:
        """Look at a dataset, unless one is being looked at."""
        if self.busy:
            return
        try:
            self._run_id = self._session.submit(CheckSpec(dataset=ref), self.tr("Check {0}").format(name))
        except EngineError as error:
            self._session.say(error)
            return
        self.ref, self.findings = ref, None
        self._clear()
        self.title.setText(self.tr("Looking at {0}").format(name))
        self.bar.show()
        self.bar.show_stage(self.tr("Waiting for the engine"))
        self._feed = self._session.run_feed(self._run_id, self)
        self._feed.event.connect(self.hear)

    def stop(self) -> None:
        if self.busy:
            self._session.control(self._run_id).cancel()
            self.bar.show_stage(self.tr("Stopping"))

    def hear(self, envelope: Envelope) -> None:
        match envelope.event:
            case Stage(text=text, done=done, total=total):
                self.bar.show_stage(text, done if total else 0, total)
            case Produced(what="check", facts=facts):
                self.show_findings(facts)
            case RunFinished(outcome=outcome, message=message, hint=hint):
                self._leave()
                if outcome == "cancelled":
                    self.closed.emit()
                elif outcome != "completed":
                    self.title.setText(self.tr("The check failed"))
                    self._cards.addWidget(PlainLabel(f"{message} {hint}".strip(), tone="bad", wrap=True))

    def show_findings(self, facts: dict[str, Any]) -> None:
        self._clear()
        self.findings = list(facts["findings"])
        rows = f"{facts['rows']:,}"
        if not self.findings:
            self.title.setText(self.tr("Nothing odd was found in {0} rows.").format(rows))
            return
        self.title.setText(self.tr("Found in {0} rows of {1}").format(rows, facts["name"]))
        for finding in self.findings:
            self._cards.addWidget(_card(finding, self.tr("Row {0}"), self.tr("Rows {0} and {1}")))
        if facts.get("estimated"):
            note = self.tr("Lengths are estimated: four characters for a token.")
            self._cards.addWidget(PlainLabel(note, tone="muted", wrap=True))

    def _leave(self) -> None:
        feed, self._feed = self._feed, None
        self.bar.hide()
        if feed is not None:
            feed.stop()
            feed.deleteLater()

    def _clear(self) -> None:
        while (item := self._cards.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()

    def _lay_out(self) -> None:
        inside = QWidget()
        inside.setObjectName("plain")
        around = QVBoxLayout(inside)
        around.setContentsMargins(0, 0, 0, 0)
        around.addLayout(self._cards)
        around.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(ghost_button(self.tr("Back to the rows"), self.closed.emit, icon="arrow-left"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addLayout(head)
        layout.addWidget(self.bar)
        layout.addWidget(scroll, 1)
        self.bar.hide()


def _card(finding: dict[str, Any], row: str, rows: str) -> Card:
    card = Card()
    card.body.setSpacing(S1)
    tone = "warn" if finding["level"] == "warning" else "muted"
    count = PlainLabel(f"{finding['count']:,} / {finding['of']:,}", tone=tone, bold=True)
    head = QHBoxLayout()
    head.addWidget(PlainLabel(engine_words.word(finding["title"]), bold=True, wrap=True), 1)
    head.addWidget(count, 0, Qt.AlignmentFlag.AlignTop)
    card.body.addLayout(head)
    card.add(PlainLabel(engine_words.word(finding["advice"]), tone="muted", wrap=True))
    for example in finding["examples"]:
        where = row.format(f"{example['row']:,}")
        if "other" in example:
            where = rows.format(f"{example['row']:,}", f"{example['other']:,}")
        text = " ".join(str(example["text"]).split())
        card.add(PlainLabel(f"{where}: {text[:200]}", wrap=True, selectable=True))
    return card
