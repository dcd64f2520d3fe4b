"""From a file to a dataset in three steps on one page: look at it, let the engine read it, see what was left out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from rlhf_engine.contract.errors import EngineError, SpecError
from rlhf_engine.contract.events import Envelope, Produced, RunFinished, Stage
from rlhf_engine.data.reading import Preview
from rlhf_engine.data.records import text_of
from rlhf_engine.tasks.import_data.spec import ImportSpec
from studio.background import Errand
from studio.panels.data.import_choices import ImportChoices
from studio.panels.data.import_report import ImportReport
from studio.panels.data.looking import LOOKED_AT, Look, first_look, look
from studio.panels.data.record_detail import RecordDetail, empty
from studio.panels.data.words import COLUMNS, FIELDS, KINDS, LAYOUTS, cell, counted, word
from studio.run_feed import RunFeed
from studio.session import Session
from studio.theme.tokens import S2, S3, S4
from studio.widgets import (
    Card,
    Column,
    EmptyState,
    ErrorCard,
    PlainLabel,
    RecordTable,
    StageBar,
    button,
    ghost_button,
    primary_button,
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
        self.preview: Preview | None = None
        self.look: Look | None = None
        self.run_id = ""
        self._feed: RunFeed | None = None
        self._looking: Errand | None = None
        self._facts: dict[str, Any] = {}
        self.title = PlainLabel(bold=True, size=1.1)
        self.about = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideMiddle)
        self.steps = QStackedWidget()
        self.choices = ImportChoices()
        self.report = ImportReport(session)
        self.report.again.connect(self.begin)
        self._soon = QTimer(self, singleShot=True, interval=120)
        self._soon.timeout.connect(self._look_now)
        self.choices.changed.connect(self._look_soon)
        self._drop_step = self._make_drop_step()
        self._wait_step = self._make_wait_step()
        self._look_step = self._make_look_step()
        self._failed_step = QWidget()
        self._failed_place = QVBoxLayout(self._failed_step)
        self._failed_place.setContentsMargins(0, 0, 0, 0)
        for step in (self._drop_step, self._wait_step, self._look_step, self.report, self._failed_step):
            self.steps.addWidget(step)
        self._lay_out()
        self.begin()

    # --- the steps -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Ask for a file."""
        self._stop_listening()
        self.path = self.preview = self.look = None
        self.title.setText(self.tr("Import a file"))
        self.about.setText("")
        self._show(self._drop_step)

    def choose(self) -> None:
        start = str(self._session.recall("data/import_folder", "") or Path.home())
        chosen, _ = QFileDialog.getOpenFileName(
            self, self.tr("Import a file"), start, self.tr("Data files ({0});;All files (*)").format(FILES)
        )
        if chosen:
            self.open(Path(chosen))

    def open(self, path: Path) -> None:
        """Look at a file, unless one is being imported just now."""
        if self.run_id and self._feed is not None:
            self._session.toast(self.tr("Wait until {0} has been imported.").format(self._name()), "warn")
            return
        self._session.remember("data/import_folder", str(path.parent))
        self.path = path
        self.title.setText(path.name)
        self.about.setText(str(path.parent))
        self.preview = self.look = None
        self.import_button.setEnabled(False)
        self._wait(self.tr("Looking at the first rows"), cancel=False)
        if self._looking is not None:
            self._looking.forget()
        self._looking = self._session.in_background(partial(first_look, path), self._seen, self._unreadable)

    def start(self) -> None:
        """Let the engine read the whole file."""
        try:
            spec = self.choices.spec()
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
            self._show(self._look_step)
        else:
            self._show_failure(self.tr("The import failed"), EngineError(message, hint))
            self.report.read_rejected(run_id)  # so that it can be looked at all the same

    # --- looking -------------------------------------------------------------------------------------------------

    def _seen(self, preview: Preview) -> None:
        assert self.path is not None
        self.preview = preview
        self._show_rows(preview)
        self.choices.begin(self.path, preview)
        self._show(self._look_step)

    def _unreadable(self, error: BaseException) -> None:
        self._show_failure(self.tr("This file cannot be read"), error)

    def _look_soon(self) -> None:
        self.import_button.setEnabled(False)
        self.verdict.setText(self.tr("Reading the first {0} rows…").format(f"{LOOKED_AT:,}"))
        self.verdict.set_tone("muted")
        self._soon.start()

    def _look_now(self) -> None:
        try:
            spec = self.choices.spec()
        except SpecError as error:
            self._judge(Look(error=None, kind=""), str(error))
            return
        if self._looking is not None:
            self._looking.forget()
        self._looking = self._session.in_background(partial(look, spec), partial(self._looked, spec))

    def _looked(self, spec: ImportSpec, seen: Look) -> None:
        if self.path is None or spec.path != str(self.path):
            return
        self.look = seen
        rows = [
            {"id": number, "line": row.line, "field": row.field, "reason": row.reason}
            for number, row in enumerate(seen.rejected)
        ]
        self.issues.set_rows(rows)
        self.records.set_rows(
            [
                {"id": number, "prompt": text_of(record.prompt), "record": record}
                for number, record in enumerate(seen.records)
            ]
        )
        if seen.records:
            self.records.select(0)
        else:
            self.record.clear()
        self.choices.unknown.setVisible(not seen.layout)
        self.tabs.setTabText(2, self.tr("Issues ({0})").format(len(rows)) if rows else self.tr("Issues"))
        self._judge(seen)

    def _judge(self, seen: Look, why: str = "") -> None:
        """Say in one line what the file would become, and whether it can be imported."""
        told = why or (" ".join(filter(None, (str(seen.error), seen.error.hint))) if seen.error else "")
        if told:
            self.verdict.setText(told)
            self.verdict.set_tone("bad")
            if not seen.good:
                self.tabs.setCurrentIndex(0)
        elif not seen.good:
            self.verdict.setText(self.tr("None of these rows can be used. The issues say why."))
            self.verdict.set_tone("bad")
            self.tabs.setCurrentIndex(2)
        else:
            which = (
                self.tr("All {0} rows").format(f"{seen.total:,}")
                if seen.whole
                else self.tr("First {0} rows").format(f"{seen.total:,}")
            )
            words = self.tr("{0}: {1}, {2} left out. Layout: {3}.").format(
                which, counted(seen.kind, seen.good), f"{seen.total - seen.good:,}", word(LAYOUTS[seen.layout])
            )
            if seen.quoting:
                words += " " + self.tr("{0} quote a model's control tokens, and are kept as ordinary text.").format(
                    seen.quoting
                )
            self.verdict.setText(words)
            self.verdict.set_tone("warn" if seen.total > seen.good else "good")
        able = bool(seen.good) and seen.error is None and not why
        self.import_button.setEnabled(able)
        kind = word(KINDS[seen.kind]).lower() if seen.kind else ""
        self.import_button.setText(self.tr("Import the {0}").format(kind) if able and kind else self.tr("Import"))

    def _show_rows(self, preview: Preview) -> None:
        width = 0 if len(preview.columns) < 7 else 180
        columns = [Column(str(number), name[:60], width, cell) for number, name in enumerate(preview.columns)]
        table = RecordTable(columns, multiple=False)
        table.set_rows(
            [
                {"id": at, **{str(number): row.get(name) for number, name in enumerate(preview.columns)}}
                for at, row in enumerate(preview.rows)
            ]
        )
        old = self.tabs.widget(0)
        self.tabs.removeTab(0)
        if old is not None:
            old.deleteLater()
        self.tabs.insertTab(0, table, self.tr("First rows of the file"))
        self.tabs.setCurrentIndex(0)

    def _show_record(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            self.record.show_record(rows[0]["record"])

    # --- parts ---------------------------------------------------------------------------------------------------

    def _show(self, step: QWidget) -> None:
        self.steps.setCurrentWidget(step)
        self.back.setVisible(step is not self._wait_step)

    def _wait(self, text: str, cancel: bool) -> None:
        self.bar.show_stage(text)
        self.bar.button.setVisible(cancel)
        self._show(self._wait_step)

    def _show_failure(self, title: str, error: BaseException) -> None:
        empty(self._failed_place)
        buttons = [(self.tr("Choose another file…"), self.choose)]
        if self.preview is not None:
            buttons.insert(0, (self.tr("Change the columns"), partial(self._show, self._look_step)))
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
        return self.path.name if self.path is not None else ""

    def _make_drop_step(self) -> QWidget:
        return EmptyState(
            "file-upload-outline",
            self.tr("Drop a file here, or choose one."),
            (self.tr("Choose a file…"), self.choose),
            detail=self.tr(
                "Prompts, demonstrations or comparisons as JSONL, JSON, CSV, TSV, Parquet or text, also gzipped. "
                "Common layouts are recognised; the file itself is not changed."
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

    def _make_look_step(self) -> QWidget:
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget()
        inside.setObjectName("plain")
        inner = QVBoxLayout(inside)
        inner.setContentsMargins(0, 0, S2, 0)
        inner.addWidget(self.choices)
        scroll.setWidget(inside)
        scroll.setMinimumWidth(340)
        self.records = RecordTable([Column("prompt", word(FIELDS["prompt"]))], multiple=False)
        self.records.selected.connect(self._show_record)
        self.record = RecordDetail()
        read = QSplitter(Qt.Orientation.Horizontal)
        read.addWidget(self.records)
        beside = QWidget()
        inner_place = QVBoxLayout(beside)
        inner_place.setContentsMargins(S3, S2, 0, 0)
        inner_place.addWidget(self.record)
        read.addWidget(beside)
        read.setChildrenCollapsible(False)
        read.setSizes([300, 420])
        self.issues = RecordTable(
            [
                Column("line", word(COLUMNS["line"]), 72, right=True),
                Column("field", word(COLUMNS["field"]), 120),
                Column("reason", word(COLUMNS["reason"])),
            ]
        )
        self.issues.set_empty(EmptyState("check-circle-outline", self.tr("Nothing is wrong with the rows looked at.")))
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        self.tabs.addTab(QWidget(), "")
        self.tabs.addTab(read, self.tr("As records"))
        self.tabs.addTab(self.issues, self.tr("Issues"))
        sides = QSplitter(Qt.Orientation.Horizontal)
        sides.addWidget(scroll)
        right = QWidget()
        place = QVBoxLayout(right)
        place.setContentsMargins(S4, 0, 0, 0)
        place.addWidget(self.tabs)
        sides.addWidget(right)
        sides.setSizes([360, 740])
        sides.setStretchFactor(1, 1)
        sides.setChildrenCollapsible(False)
        self.verdict = PlainLabel(wrap=True)
        self.import_button = primary_button(self.tr("Import"), self.start, icon="database-import-outline")
        bottom = QHBoxLayout()
        bottom.setSpacing(S4)
        bottom.addWidget(self.verdict, 1)
        bottom.addWidget(self.import_button)
        step = QWidget()
        layout = QVBoxLayout(step)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(sides, 1)
        layout.addLayout(bottom)
        return step

    def _lay_out(self) -> None:
        self.back = ghost_button(self.tr("Back to the records"), self.left.emit, icon="arrow-left")
        self.other = button(self.tr("Another file…"), self.choose)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.title)
        words.addWidget(self.about)
        head = QHBoxLayout()
        head.setSpacing(S3)
        head.addLayout(words, 1)
        head.addWidget(self.back)
        head.addWidget(self.other)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addLayout(head)
        layout.addWidget(self.steps, 1)
