"""After an import: what was kept, every row that was left out and why, and what to do with the records now."""

from __future__ import annotations

import csv
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from rlhf_engine.data.writing import guarded
from studio.panels.data.adding import AddToProject
from studio.panels.data.files import ask_where, open_folder
from studio.panels.data.words import COLUMNS, LAYOUTS, counted, why, word
from studio.session import Session
from studio.theme.tokens import S2, S3
from studio.widgets import Card, Column, EmptyState, Pill, PlainLabel, RecordTable, button, ghost_button

MOST = 100_000  # rows of a report that are shown
Row = dict[str, Any]


class ImportReport(QWidget):
    """`show_import(run_id, file, facts)` takes what the import produced. Signals: again(), added(kind, count)."""

    again = Signal()
    added = Signal(str, int)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._file, self._ref = "", ""
        self._report: Path | None = None
        self.summary = PlainLabel(size=1.1, bold=True, wrap=True)
        self.about = PlainLabel(tone="muted", wrap=True)
        self.kept, self.left_out = Pill("", "good"), Pill("", "warn")
        self.adding = AddToProject(session, primary=True)
        self.adding.added.connect(self.added)
        self.show_dataset = button(self.tr("Show the dataset"), self._go_to_dataset, icon="database-outline")
        self.save = button(self.tr("Save the report…"), self._save, icon="content-save-outline")
        self.table = RecordTable(
            [
                Column("line", word(COLUMNS["line"]), 80, right=True),
                Column("field", word(COLUMNS["field"]), 140),
                Column("reason", word(COLUMNS["reason"]), write=lambda reason: reason[:1].upper() + reason[1:]),
            ]
        )
        self.table.set_empty(EmptyState("check-circle-outline", self.tr("No row was left out.")))
        self.table.add_action(self.save)
        self._lay_out()

    def show_import(self, run_id: str, file: str, facts: dict[str, Any]) -> None:
        self._file, self._ref = file, str(facts["ref"])
        rows, out = int(facts["rows"]), int(facts["rejected"])
        self.summary.setText(self.tr("{0} were imported from {1}.").format(counted(facts["kind"], rows), file))
        layout = word(LAYOUTS.get(str(facts["layout"]), str(facts["layout"])))
        told = ""
        if ties := facts.get("ties"):
            told = self.tr(" Ties: {0}.").format(f"{ties:,}")
        elif "liked" in facts:
            told = self.tr(" {0} are liked, {1} are not.").format(f"{facts['liked']:,}", f"{rows - facts['liked']:,}")
        self.about.setText(
            self.tr("{0} to train on, {1} held out by prompt. Layout: {2}. Kept as the dataset {3}.").format(
                f"{facts['train']:,}", f"{facts['heldout']:,}", layout, self._ref.removeprefix("dataset:")
            )
            + told
        )
        self.kept.set(self.tr("{0} kept").format(f"{rows:,}"))
        self.left_out.set(self.tr("{0} of {1} left out").format(f"{out:,}", f"{facts['total']:,}"))
        self.left_out.setVisible(out > 0)
        self.adding.offer(self._ref, str(facts["kind"]), rows)
        self.table.set_rows([])
        if out:
            self.read_rejected(run_id)

    def read_rejected(self, run_id: str) -> None:
        """Show the rows that a run has left out, from its own report."""
        if self._session.root is None:
            return
        self._report = self._session.root / "runs" / run_id / "rejected.jsonl"
        self._session.in_background(partial(read_report, self._report), self._show_rejected)

    def _show_rejected(self, rows: list[Row]) -> None:
        self.table.set_rows(rows)

    def _go_to_dataset(self) -> None:
        self._session.go("data", dataset=self._ref)

    def _save(self) -> None:
        report = self._report
        if report is None:
            return
        stem = self.tr("{0} left out").format(self._file)
        path = ask_where(self, self.tr("Save the report"), stem, ("csv", "jsonl"))
        if path is not None:
            self._session.in_background(partial(save_report, report, path), lambda _: self._saved(path))

    def _saved(self, path: Path) -> None:
        text = self.tr("The report was saved as {0}.").format(path.name)
        self._session.toast(text, "good", self.tr("Show folder"), lambda: open_folder(path.parent))

    def _lay_out(self) -> None:
        card = Card()
        pills = QHBoxLayout()
        pills.setSpacing(S2)
        pills.addWidget(self.kept)
        pills.addWidget(self.left_out)
        pills.addStretch()
        actions = QHBoxLayout()
        actions.setSpacing(S2)
        top = Qt.AlignmentFlag.AlignTop
        actions.addWidget(self.adding, 1)
        actions.addWidget(self.show_dataset, 0, top)
        actions.addWidget(ghost_button(self.tr("Import another file"), self.again.emit), 0, top)
        card.add(self.summary)
        card.body.addLayout(pills)
        card.add(self.about)
        card.body.addLayout(actions)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(card)
        layout.addWidget(self.table, 1)


def read_report(path: Path) -> list[Row]:
    """The rows that were left out; called on another thread."""
    rows: list[Row] = []
    if not path.is_file():
        return rows
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number == MOST:
                break
            row = json.loads(line)
            rows.append({"id": number, **row, "reason": why(row["reason"], row.get("file", ""))})
    return rows


def save_report(report: Path, path: Path) -> None:
    """Copy a report, as it is or as CSV for a spreadsheet; called on another thread."""
    if path.suffix.lower() != ".csv":
        shutil.copyfile(report, path)
        return
    with report.open(encoding="utf-8") as lines, path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        for number, line in enumerate(lines):
            row = json.loads(line)
            names = [name for name in ("file", "line", "field", "reason") if name in row]  # a file where there are more
            if not number:
                writer.writerow(names)
            writer.writerow([guarded(str(row[name])) for name in names])
