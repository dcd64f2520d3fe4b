"""The project's datasets, what is known of each, and its rows."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from rlhf_engine.data.datasets import Dataset, DatasetInfo, list_datasets
from rlhf_engine.data.records import Comparison, Rating, Record, split_of, text_of
from studio.panels.data.adding import AddToProject
from studio.panels.data.check_view import CheckView
from studio.panels.data.export_view import ExportView
from studio.panels.data.record_detail import RecordDetail
from studio.panels.data.sources import BackgroundSource
from studio.panels.data.words import COLUMNS, FIELDS, KINDS, LAYOUTS, SPLITS, degree, liked_word, when, word
from studio.session import Session
from studio.theme.tokens import S2, S3, S4
from studio.widgets import Column, EmptyState, PlainLabel, Query, RecordTable, button, ghost_button

Row = dict[str, Any]
_MOST_FOUND = 8  # searches whose numbers are kept: 8 MB each for a million rows
LABELS = "labels"  # the origin of what Session.freeze makes


class DatasetsPage(QWidget):
    """Signals: importing() when the person wants a file read; added(kind, count) when rows became records."""

    importing = Signal()
    added = Signal(str, int)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._shown: DatasetInfo | None = None
        self._infos: dict[str, DatasetInfo] = {}
        self.table = RecordTable(_columns(), multiple=False)
        self.table.set_empty(
            EmptyState(
                "database-outline",
                self.tr(
                    "Immutable sets of records belong here: imported files, and the labels that runs were made of."
                ),
                (self.tr("Import a file…"), self.importing.emit),
                detail=self.tr("Starting a run on this project's records makes a dataset of them by itself."),
            )
        )
        self.table.selected.connect(self._show_selected)
        self.name = PlainLabel(bold=True, size=1.1, elide=Qt.TextElideMode.ElideMiddle)
        self.facts = PlainLabel(tone="muted", wrap=True, selectable=True)
        self.viewer: RecordTable | None = None
        self._viewer_place = QVBoxLayout()
        self._viewer_place.setContentsMargins(0, 0, 0, 0)
        self.detail = RecordDetail()
        self.adding = AddToProject(session)
        self.adding.added.connect(self.added)
        self.checking = CheckView(session)
        self.checking.closed.connect(self._show_rows_again)
        self.exporting = ExportView(session)
        self.exporting.closed.connect(lambda: self._places.setCurrentIndex(0))
        self._lay_out()

    def reload(self) -> None:
        """Read the list of datasets again, on another thread: each has a file that says what it is."""
        if self._session.project is None:
            self._show_list([])
            return
        self._session.in_background(partial(list_datasets, self._session.project.root), self._show_list)

    def select(self, ref: str, export: bool = False) -> None:
        """Show the dataset that "dataset:<hash>" names, as soon as it is in the list; with `export`, its export."""
        self._wanted = ref.removeprefix("dataset:")
        self._to_export = self._wanted if export else ""
        self._select_wanted()

    def _select_wanted(self) -> None:
        if self.table.select(self._wanted):
            self._wanted = ""
            self._export_what_is_wanted()

    def _export_what_is_wanted(self) -> None:
        if self._shown is not None and self._shown.hash == self._to_export:
            self._to_export = ""
            self.export()

    _wanted = _to_export = ""

    def _show_list(self, infos: list[DatasetInfo]) -> None:
        self._infos = {info.hash: info for info in infos}
        self.side.setVisible(bool(infos))
        self.table.set_rows([{**asdict(info), "id": info.hash} for info in infos])
        if self._wanted:
            self._select_wanted()
        elif not self.table.selection():
            self._show_selected([])

    def _show_selected(self, rows: list[Row]) -> None:
        info = self._infos.get(rows[0]["id"]) if rows else None
        if info is None:
            self._shown = None
            self.side.setCurrentIndex(0)
            return
        self.side.setCurrentIndex(1)
        if self._shown is not None and info.hash == self._shown.hash:
            return
        self._shown = info
        self.name.setText(info.name or info.hash)
        parts = [
            self.tr("{0}: {1} to train on, {2} held out").format(
                word(KINDS[info.kind]), f"{info.train:,}", f"{info.heldout:,}"
            ),
        ]
        if ties := info.facts.get("ties"):
            parts.append(self.tr("Ties: {0}").format(f"{ties:,}"))
        if info.kind == "ratings":
            liked = int(info.facts.get("liked", 0))
            parts.append(self.tr("{0} liked, {1} not").format(f"{liked:,}", f"{info.rows - liked:,}"))
        if layout := info.facts.get("layout"):
            parts.append(word(LAYOUTS.get(str(layout), str(layout))))
        if revision := info.facts.get("revision"):
            parts.append(self.tr("Hub, at {0}").format(str(revision)[:12]))
        self.facts.setText("  ·  ".join(parts))
        self.adding.setVisible(info.origin != LABELS)  # whose rows came from the records in the first place
        self.adding.offer(info.ref, info.kind, info.rows)
        self._show_rows(info)
        self._places.setCurrentIndex(1 if self.checking.ref == info.ref else 0)
        self._export_what_is_wanted()

    def _check(self) -> None:
        """Let the engine look for duplicates, leaks and the like in the dataset that is shown."""
        if self._shown is not None:
            self.checking.check(self._shown.ref, self._shown.name or self._shown.hash)
            self._places.setCurrentIndex(1 if self.checking.ref == self._shown.ref else 0)

    def _show_rows_again(self) -> None:
        if not self.checking.busy:
            self.checking.ref = ""
        self._places.setCurrentIndex(0)

    def _show_rows(self, info: DatasetInfo) -> None:
        if self.viewer is not None:
            self._viewer_place.removeWidget(self.viewer)
            self.viewer.hide()
            self.viewer.deleteLater()
        rows = DatasetRows(info)
        self.viewer = RecordTable(_row_columns(info.kind), multiple=False)
        source = BackgroundSource(self._session, self.viewer, rows.page, rows.count)
        self.viewer.set_source(source.page, source.count)
        self.viewer.selected.connect(self._show_record)
        self._viewer_place.addWidget(self.viewer)
        self._beside.hide()

    def _show_record(self, rows: list[Row]) -> None:
        self._beside.setVisible(bool(rows))
        if rows:
            self.detail.show_record(rows[0]["record"])

    def export(self) -> None:
        """Ask how the dataset that is shown is to be written for others."""
        if self._shown is not None:
            self.exporting.offer(self._shown.ref, self._shown.name or self._shown.hash)
            self._places.setCurrentIndex(2 if self.exporting.ref == self._shown.ref else 0)

    def _train(self) -> None:
        if self._shown is not None:
            self._session.go("train", dataset=self._shown.ref)

    def _lay_out(self) -> None:
        hint = PlainLabel(self.tr("Select a dataset to see its rows."), tone="muted", wrap=True)
        hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.name)
        words.addWidget(self.facts)
        top = Qt.AlignmentFlag.AlignTop
        head = QHBoxLayout()
        head.setSpacing(S2)
        head.addLayout(words, 1)
        head.addWidget(ghost_button(self.tr("Train with it"), self._train, icon="school-outline"), 0, top)
        head.addWidget(button(self.tr("Check"), self._check, icon="clipboard-check-outline"), 0, top)
        head.addWidget(button(self.tr("Export…"), self.export, icon="export"), 0, top)
        head.addWidget(self.adding, 0, top)
        viewer_frame = QWidget()
        viewer_frame.setLayout(self._viewer_place)
        self._beside = QWidget()
        beside = QVBoxLayout(self._beside)
        beside.setContentsMargins(S4, 0, 0, 0)
        beside.addWidget(self.detail)
        rows = QSplitter(Qt.Orientation.Horizontal)
        rows.addWidget(viewer_frame)
        rows.addWidget(self._beside)
        rows.setChildrenCollapsible(False)
        rows.setSizes([640, 460])
        self._beside.setMinimumWidth(280)
        self._beside.hide()
        shown = QWidget()
        inner = QVBoxLayout(shown)
        inner.setContentsMargins(0, S3, 0, 0)
        inner.setSpacing(S3)
        inner.addLayout(head)
        self._places = QStackedWidget()
        self._places.addWidget(rows)
        self._places.addWidget(self.checking)
        self._places.addWidget(self.exporting)
        inner.addWidget(self._places, 1)
        self.side = QStackedWidget()
        self.side.addWidget(hint)
        self.side.addWidget(shown)
        self.side.hide()
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(self.table)
        splitter.addWidget(self.side)
        splitter.setSizes([220, 420])
        splitter.setStretchFactor(1, 1)
        splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(splitter)


class DatasetRows:
    """Rows of one dataset for a table; called on other threads. What is searched for is kept by its numbers only."""

    def __init__(self, info: DatasetInfo) -> None:
        self._dataset = Dataset(info)
        self._alone = threading.Lock()  # one search at a time, and the next one may be the same
        self._found: dict[tuple[str, str, bool], Sequence[int]] = {}
        self._rows: Sequence[Record] | None = None

    def page(self, query: Query) -> Sequence[Row]:
        if not query.text and not query.sort:
            records = self._dataset.page(query.offset, query.limit)
            return [_row(number, record) for number, record in enumerate(records, query.offset + 1)]
        with self._alone:
            found = self._numbers(query)[query.offset : query.offset + query.limit]
            if self._rows is None:
                self._rows = self._dataset.rows(ties=True)
            return [_row(int(number) + 1, self._rows[int(number)]) for number in found]

    def count(self, query: Query) -> int:
        if not query.text:
            return self._dataset.info.rows
        with self._alone:
            return len(self._numbers(Query(text=query.text)))

    def _numbers(self, query: Query) -> Sequence[int]:
        sort = {"verdict": "strength" if self._dataset.info.kind == "comparisons" else "liked"}.get(
            query.sort, query.sort
        )
        key = (query.text, sort, query.descending)
        if key not in self._found:
            by = "" if sort == "id" else sort
            found = self._dataset.find(query.text, by, query.descending)
            if len(self._found) >= _MOST_FOUND:
                del self._found[next(iter(self._found))]
            self._found[key] = found[::-1] if sort == "id" and query.descending else found
        return self._found[key]


def _row(number: int, record: Record) -> Row:
    texts = {name: getattr(record, name, "") for name in ("completion", "chosen", "rejected")}
    prompt = text_of(record.prompt)
    return {
        "id": number,
        "record": record,
        "prompt": prompt,
        **texts,
        "verdict": _verdict(record),
        "split": split_of(record.prompt),
        "source": record.source,
    }


def _verdict(record: Record) -> str:
    if isinstance(record, Comparison):
        return degree(record.strength)
    return liked_word(record.liked) if isinstance(record, Rating) else ""


def _columns() -> list[Column]:
    def title(key: str) -> str:
        return word(COLUMNS[key])

    def kind_word(kind: Any) -> str:
        return word(KINDS.get(str(kind), str(kind)))

    def number(value: Any) -> str:
        return f"{value:,}"

    return [
        Column("name", title("name")),
        Column("kind", title("kind"), 128, kind_word),
        Column("rows", title("rows"), 64, number, right=True),
        Column("train", title("train"), 64, number, right=True),
        Column("heldout", title("heldout"), 76, number, right=True),
        Column("origin", title("origin"), 180),
        Column("created", title("created"), 104, when),
        Column("hash", title("hash"), 148, mono=True),
    ]


def _row_columns(kind: str) -> list[Column]:
    texts = {
        "prompts": (),
        "demonstrations": ("completion",),
        "comparisons": ("chosen", "rejected"),
        "ratings": ("completion",),
    }[kind]
    verdict = Column("verdict", word(COLUMNS["verdict"]), 116 if kind == "comparisons" else 88)
    return [
        Column("id", "#", 60, right=True),
        Column("prompt", word(FIELDS["prompt"])),
        *(Column(name, word(FIELDS[name])) for name in texts),
        *([verdict] if kind in ("comparisons", "ratings") else []),
        Column("split", word(COLUMNS["split"]), 76, lambda side: word(SPLITS.get(str(side), ""))),
    ]
