"""From a file, or a split of the Hub, to a dataset: look at it, let the engine read it, see what was left out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.contract.events import Envelope, Produced, RunFinished, Stage
from rlhf_engine.data.reading import Preview
from studio.background import Errand
from studio.panels.data.hub_step import HubPart, HubStep
from studio.panels.data.import_report import ImportReport
from studio.panels.data.look_step import LookStep
from studio.panels.data.looking import first_look
from studio.panels.data.record_detail import empty
from studio.run_feed import RunFeed
from studio.session import Session
from studio.theme.tokens import S3
from studio.widgets import (
    Card,
    EmptyState,
    ErrorCard,
    PlainLabel,
    StageBar,
    button,
    ghost_button,
)

FILES = "*.jsonl *.json *.csv *.tsv *.parquet *.txt *.ndjson *.gz"


class ImportPage(QWidget):
    """Signals: left() when the person goes back to the tables; made(ref) when a dataset is there."""

    left = Signal()
    made = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.path: Path | None = None
        self.more: tuple[Path, ...] = ()
        self.hub: HubPart | None = None
        self.preview: Preview | None = None
        self.run_id = ""
        self._feed: RunFeed | None = None
        self._looking: Errand | None = None
        self._facts: dict[str, Any] = {}
        self.title = PlainLabel(bold=True, size=1.1)
        self.about = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideMiddle)
        self.steps = QStackedWidget()
        self.looking = LookStep(session)
        self.looking.accepted.connect(self.start)
        self.report = ImportReport(session)
        self.report.again.connect(self.begin)
        self.hub_step = HubStep(session)
        self.hub_step.arrived.connect(self.open_hub)
        self._drop_step = self._make_drop_step()
        self._wait_step = self._make_wait_step()
        self._failed_step = QWidget()
        self._failed_place = QVBoxLayout(self._failed_step)
        self._failed_place.setContentsMargins(0, 0, 0, 0)
        for step in (self._drop_step, self._wait_step, self.looking, self.report, self._failed_step, self.hub_step):
            self.steps.addWidget(step)
        self._lay_out()
        self.begin()

    # --- the steps -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Ask for a file."""
        self._stop_listening()
        self.path = self.preview = self.hub = None
        self.more = ()
        self.looking.clear()
        self.title.setText(self.tr("Import a file"))
        self.about.setText("")
        self._show(self._drop_step)

    def ask_hub(self, repo: str = "") -> None:
        """Ask for the name of a dataset of the Hub; with `repo`, look at it at once."""
        if self._importing():
            return
        self.title.setText(self.tr("Import from the Hub"))
        self.about.setText("")
        self._show(self.hub_step)
        if not self.hub_step.busy:
            self.hub_step.begin()
            self.hub_step.name.setFocus()
            if repo:
                self.hub_step.name.setText(repo)
                self.hub_step.look()

    def open_hub(self, part: HubPart) -> None:
        """Look at what has come from the Hub, if the person still waits for it."""
        if self.steps.currentWidget() is self.hub_step:
            self._open(list(part.files), part)

    def choose(self) -> None:
        start = str(self._session.recall("data/import_folder", "") or Path.home())
        chosen, _ = QFileDialog.getOpenFileNames(
            self, self.tr("Import a file"), start, self.tr("Data files ({0});;All files (*)").format(FILES)
        )
        if chosen:
            self.open(*map(Path, chosen))

    def open(self, path: Path, *more: Path) -> None:
        """Look at a file, at several that become one dataset, or at a folder of them; unless one is being imported."""
        if self._importing():
            return
        self._session.remember("data/import_folder", str(path.parent))
        self._open([path, *more])

    def _importing(self) -> bool:
        """Whether a file is being imported, which is then said."""
        if self.run_id and self._feed is not None:
            self._session.toast(self.tr("Wait until {0} has been imported.").format(self._name()), "warn")
            return True
        return False

    def _open(self, files: list[Path], hub: HubPart | None = None) -> None:
        self.path, self.more, self.hub = files[0], tuple(files[1:]), hub
        self.title.setText(self._name())
        at = self.tr("From the Hub, at {0}").format(hub.revision[:12]) if hub is not None else str(files[0].parent)
        self.about.setText(at)
        self.preview = None
        self.looking.clear()
        self._wait(self.tr("Looking at the first rows"), cancel=False)
        if self._looking is not None:
            self._looking.forget()
        self._looking = self._session.in_background(partial(first_look, files[0]), self._seen, self._unreadable)

    def start(self) -> None:
        """Let the engine read the whole file."""
        try:
            spec = self.looking.choices.spec()
            self.run_id = self._session.submit(spec, self.tr("Import {0}").format(self._name()))
        except EngineError as error:
            self._session.say(error)
            return
        self._facts = {}
        self._wait(self.tr("Waiting for the engine"), cancel=True)
        self._feed = self._session.run_feed(self.run_id, self)
        self._feed.event.connect(self.hear)

    def stop(self) -> None:
        if self.run_id:
            self._session.control(self.run_id).cancel()
            self.bar.show_stage(self.tr("Stopping"))

    def hear(self, envelope: Envelope) -> None:
        """What the import says."""
        match envelope.event:
            case Stage(text=text, done=done, total=total):
                rows = self.tr(", {0} rows").format(f"{done:,}") if done and not total else ""
                self.bar.show_stage(text + rows, done if total else 0, total)
            case Produced(what="dataset", facts=facts):
                self._facts = facts
            case RunFinished(outcome=outcome, message=message, hint=hint):
                run_id = self.run_id
                self._stop_listening()
                self._finish(run_id, outcome, message, hint)

    def _finish(self, run_id: str, outcome: str, message: str, hint: str) -> None:
        if outcome == "completed" and self._facts:
            self._show(self.report)
            self.report.show_import(run_id, self._name(), self._facts)
            self.made.emit(str(self._facts["ref"]))
        elif outcome == "cancelled":
            self._session.toast(self.tr("The import was stopped. Nothing was kept."), "info")
            self._show(self.looking)
        else:
            self._show_failure(self.tr("The import failed"), EngineError(message, hint))
            self.report.read_rejected(run_id)  # so that it can be looked at all the same

    # --- looking -------------------------------------------------------------------------------------------------

    def _seen(self, preview: Preview) -> None:
        assert self.path is not None
        self.preview = preview
        self.looking.begin(self.path, preview, self.more, self.hub)
        self._show(self.looking)

    def _unreadable(self, error: BaseException) -> None:
        self._show_failure(self.tr("This file cannot be read"), error)

    # --- parts ---------------------------------------------------------------------------------------------------

    def _show(self, step: QWidget) -> None:
        self.steps.setCurrentWidget(step)
        self.back.setVisible(step is not self._wait_step)
        self.from_hub.setVisible(step not in (self._drop_step, self._wait_step, self.hub_step))
        self.other.setVisible(step is not self._drop_step)

    def _wait(self, text: str, cancel: bool) -> None:
        self.bar.show_stage(text)
        self.bar.button.setVisible(cancel)
        self._show(self._wait_step)

    def _show_failure(self, title: str, error: BaseException) -> None:
        empty(self._failed_place)
        buttons = [(self.tr("Choose another file…"), self.choose)]
        if self.preview is not None:
            buttons.insert(0, (self.tr("Change the columns"), partial(self._show, self.looking)))
        self._failed_place.addWidget(ErrorCard.of(error, title, buttons))
        self._failed_place.addStretch()
        self._show(self._failed_step)

    def _stop_listening(self) -> None:
        if self._feed is not None:
            self._feed.stop()
            self._feed.deleteLater()
            self._feed = None
        self.run_id = ""

    def _name(self) -> str:
        if self.hub is not None:
            return self.hub.name
        if self.path is None or not self.more:
            return self.path.name if self.path is not None else ""
        return self.tr("{0} and {1} more").format(self.path.name, len(self.more))

    def _make_drop_step(self) -> QWidget:
        return EmptyState(
            "file-upload-outline",
            self.tr("Drop a file here, or choose one."),
            (self.tr("Choose a file…"), self.choose),
            (self.tr("From the Hub…"), self.ask_hub),
            detail=self.tr(
                "Prompts, demonstrations, comparisons or ratings as JSONL, JSON, CSV, TSV, Parquet or text, also "
                "gzipped. Several files or a folder of them become one dataset. Common layouts are recognised; the "
                "files themselves are not changed."
            ),
        )

    def _make_wait_step(self) -> QWidget:
        self.bar = StageBar()
        self.bar.cancelled.connect(self.stop)
        step = QWidget()
        card = Card()
        card.add(self.bar)
        layout = QVBoxLayout(step)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(card)
        layout.addStretch()
        return step

    def _lay_out(self) -> None:
        self.back = ghost_button(self.tr("Back to the records"), self.left.emit, icon="arrow-left")
        self.other = button(self.tr("Another file…"), self.choose)
        self.from_hub = button(self.tr("From the Hub…"), self.ask_hub, icon="cloud-download-outline")
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.title)
        words.addWidget(self.about)
        head = QHBoxLayout()
        head.setSpacing(S3)
        head.addLayout(words, 1)
        head.addWidget(self.back)
        head.addWidget(self.from_hub)
        head.addWidget(self.other)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addLayout(head)
        layout.addWidget(self.steps, 1)
