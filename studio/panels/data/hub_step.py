"""A dataset of the Hub: its name, the parts that it has, and the fetching of one of them with its bytes and a stop."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.contract.events import Envelope, Produced, RunFinished, Stage
from rlhf_engine.tasks.download.spec import DownloadSpec
from studio.panels.data.record_detail import empty
from studio.panels.data.words import COLUMNS, word
from studio.panels.models.adding import SITE
from studio.panels.models.words import size
from studio.run_feed import RunFeed
from studio.session import Session, sentence
from studio.theme.tokens import S2, S3
from studio.widgets import Card, Column, ErrorCard, PlainLabel, RecordTable, StageBar, primary_button


@dataclass(frozen=True, slots=True)
class HubPart:
    """One split of a dataset of the Hub at one commit, with its files on this machine."""

    repo: str
    revision: str
    config: str
    split: str
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        config = "" if self.config == "default" else f" {self.config}"
        return f"{self.repo}{config} {self.split}"


class HubStep(QWidget):
    """Signals: arrived(HubPart) when the files of a part are on this machine."""

    arrived = Signal(object)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._feed: RunFeed | None = None
        self.run_id = self.repo = self.revision = ""
        self.error = PlainLabel(tone="bad", wrap=True)
        self.name = QLineEdit()
        self.name.setPlaceholderText(self.tr("owner/name, or the address of its page"))
        self.name.setAccessibleName(self.tr("Name of the dataset"))
        self.name.returnPressed.connect(self.look)
        self.name.textChanged.connect(lambda _: self.error.hide())
        self.look_button = primary_button(self.tr("Look"), self.look, icon="magnify")
        self.bar = StageBar()
        self.bar.cancelled.connect(self.stop)
        self.said = PlainLabel(tone="muted", wrap=True)
        self.fetch_button = primary_button(self.tr("Fetch this split"), self.fetch, icon="download")
        self.parts = RecordTable(
            [
                Column("config", self.tr("Configuration")),
                Column("split", word(COLUMNS["split"]), 180),
                Column("size", self.tr("Size"), 110, size, right=True),
                Column("note", self.tr("Note"), 240),
            ],
            multiple=False,
        )
        self.parts.selected.connect(lambda rows: self.fetch_button.setEnabled(bool(rows) and not self.busy))
        self.parts.activated.connect(lambda _: self.fetch())
        self._failure = QVBoxLayout()
        self._lay_out()
        self.begin()
        session.project_changed.connect(self.begin)

    @property
    def busy(self) -> bool:
        return bool(self.run_id)

    def begin(self) -> None:
        """Ask for a name. Another project's engine knows nothing of what was being fetched."""
        self._end()
        self._clear()

    def look(self) -> None:
        """Ask the Hub which parts a dataset has."""
        if not self.busy:
            self._clear()
            self._submit(dataset_in(self.name.text()), list_only=True)

    def fetch(self) -> None:
        """Bring the files of the part that is selected onto this machine."""
        row = self.parts.current()
        if row is not None and not self.busy:
            empty(self._failure)
            self._submit(self.repo, config=row["config"], split=row["split"], revision=self.revision)

    def stop(self) -> None:
        if self.busy:
            self._session.control(self.run_id).cancel()
            self.bar.show_stage(self.tr("Stopping"))

    def hear(self, envelope: Envelope) -> None:
        """What the engine says of the Hub."""
        match envelope.event:
            case Stage(text=text, done=done, total=total):
                fetched = self.tr(": {0} of {1}").format(size(done) or "0", size(total)) if total else ""
                self.bar.show_stage(text + fetched, done, total)
            case Produced(what="hub dataset", facts=facts):
                if "files" in facts:
                    files = tuple(map(Path, facts["files"]))
                    part = HubPart(self.repo, facts["revision"], facts["config"], facts["split"], files)
                    self._end()
                    self.arrived.emit(part)
                else:
                    self._show_parts(facts)
            case RunFinished(outcome=outcome, message=message, hint=hint):
                was_busy = self.busy
                self._end()
                if outcome == "failed":
                    self._fail(EngineError(message, hint))
                elif outcome == "cancelled" and was_busy:
                    self._session.toast(self.tr("Stopped; what has arrived is kept."), "info")

    def _submit(self, repo: str, **about: Any) -> None:
        try:
            spec = DownloadSpec(repo=repo, kind="dataset", **about)
            words = self.tr("Look at {0}") if spec.list_only else self.tr("Fetch {0}")
            self.run_id = self._session.submit(spec, words.format(repo))
        except EngineError as error:
            self.error.setText(sentence(error))
            self.error.show()
            return
        self.repo = repo
        self._feed = self._session.run_feed(self.run_id, self)
        self._feed.event.connect(self.hear)
        going = self._session.activity.current()
        waits = self.tr("Waiting until {0} has ended").format(going.title) if going else self.tr("Asking the engine")
        self.bar.show_stage(waits)
        self._show_busy()

    def _show_parts(self, facts: dict[str, Any]) -> None:
        self.revision = str(facts["revision"])
        kept = (
            self.tr("as the Hub has converted them to Parquet")
            if facts["converted"]
            else self.tr("as their owner wrote them")
        )
        text = self.tr("{0} at {1}: its files, {2}. Choose a split.")
        self.said.setText(text.format(facts["repo"], self.revision[:12], kept))
        beginning = self.tr("only its beginning is converted")
        self.parts.set_rows(
            [{"id": at, **part, "note": beginning if part["partial"] else ""} for at, part in enumerate(facts["parts"])]
        )
        self._found.show()
        self.parts.select(0)

    def _fail(self, error: EngineError) -> None:
        again = self.fetch if self._found.isVisible() else self.look
        page = QUrl(f"{SITE}/datasets/{self.repo}")
        buttons: list[tuple[str, Callable[[], object]]] = [
            (self.tr("Try again"), again),
            (self.tr("Open its page"), lambda: QDesktopServices.openUrl(page)),
            (self.tr("Account…"), lambda: self._session.go("settings")),
        ]
        title = self.tr("{0} could not be read").format(self.repo)
        self._failure.addWidget(ErrorCard.of(error, title, buttons))

    def _clear(self) -> None:
        empty(self._failure)
        self.error.hide()
        self._found.hide()
        self.parts.set_rows([])

    def _end(self) -> None:
        if self._feed is not None:
            self._feed.stop()
            self._feed.deleteLater()
            self._feed = None
        self.run_id = ""
        self._show_busy()

    def _show_busy(self) -> None:
        self.bar.setVisible(self.busy)
        for widget in (self.name, self.look_button, self.parts):
            widget.setEnabled(not self.busy)
        self.fetch_button.setEnabled(not self.busy and self.parts.current() is not None)

    def _lay_out(self) -> None:
        card = Card()
        line = QHBoxLayout()
        line.setSpacing(S2)
        line.addWidget(self.name, 1)
        line.addWidget(self.look_button)
        card.body.addLayout(line)
        note = self.tr(
            "Only files of data are fetched, into the cache that all tools of this machine share. No program of a "
            "dataset is ever run."
        )
        for widget in (self.error, self.bar, PlainLabel(note, tone="muted", wrap=True)):
            card.add(widget)
        self._found = QWidget()
        bottom = QHBoxLayout()
        bottom.addWidget(self.said, 1)
        bottom.addWidget(self.fetch_button)
        found = QVBoxLayout(self._found)
        found.setContentsMargins(0, 0, 0, 0)
        found.setSpacing(S3)
        found.addWidget(self.parts, 1)
        found.addLayout(bottom)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(card)
        layout.addLayout(self._failure)
        layout.addWidget(self._found, 1)
        layout.addStretch()


def dataset_in(text: str) -> str:
    """The name in what a person typed or pasted: owner/name, or an address of the Hub."""
    plain = text.strip().removeprefix("hub:")
    plain = re.sub(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co|hf-mirror\.com)/", "", plain)
    plain = plain.removeprefix("datasets/")
    found = re.match(r"[^/\s?#]+/[^/\s?#]+", plain)
    return found.group() if found else plain
