"""The step of an import in which a person sees what a file holds and what it would become, before anything is kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSplitter, QTabWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.data.reading import Preview
from rlhf_engine.data.records import text_of
from studio.background import Errand
from studio.panels.data.hub_step import HubPart
from studio.panels.data.import_choices import ImportChoices
from studio.panels.data.looking import LOOKED_AT, Look, look
from studio.panels.data.record_detail import RecordDetail
from studio.panels.data.words import COLUMNS, FIELDS, KINDS, LAYOUTS, cell, counted, why, word
from studio.session import Session
from studio.theme.tokens import S2, S3, S4
from studio.widgets import Column, EmptyState, PlainLabel, RecordTable, primary_button


class LookStep(QWidget):
    """`begin(path, preview, more, hub)` shows the first of the files; `look` is what their first rows would become as
    `choices` stand, None until that is known. `accepted` when the person wants them imported.
    """

    accepted = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._files: list[Path] = []
        self.look: Look | None = None
        self._looking: Errand | None = None
        self.choices = ImportChoices()
        self._soon = QTimer(self, singleShot=True, interval=120)
        self._soon.timeout.connect(self._look_now)
        self._lay_out()
        self.choices.changed.connect(self._look_soon)

    def clear(self) -> None:
        """Forget the file."""
        self._soon.stop()
        if self._looking is not None:
            self._looking.forget()
        self.look = None
        self.import_button.setEnabled(False)

    def begin(self, path: Path, preview: Preview, more: Sequence[Path] = (), hub: HubPart | None = None) -> None:
        self.clear()
        self._files = [path, *more]
        self._show_rows(preview)
        self.choices.begin(path, preview, more, hub)

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
        files = self._files
        self._looking = self._session.in_background(partial(look, spec, files), partial(self._looked, files))

    def _looked(self, files: list[Path], seen: Look) -> None:
        if files is not self._files:
            return
        self.look = seen
        rows = [
            {"id": number, "line": row.line, "field": row.field, "reason": why(row.reason, row.file)}
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

    def _lay_out(self) -> None:
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
        around = QVBoxLayout(right)
        around.setContentsMargins(S4, 0, 0, 0)
        around.addWidget(self.tabs)
        sides.addWidget(right)
        sides.setSizes([360, 740])
        sides.setStretchFactor(1, 1)
        sides.setChildrenCollapsible(False)
        self.verdict = PlainLabel(wrap=True)
        self.import_button = primary_button(self.tr("Import"), self.accepted.emit, icon="database-import-outline")
        bottom = QHBoxLayout()
        bottom.setSpacing(S4)
        bottom.addWidget(self.verdict, 1)
        bottom.addWidget(self.import_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(sides, 1)
        layout.addLayout(bottom)
