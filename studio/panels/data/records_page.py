"""One kind of record of the project: a table, and beside it the record that is selected."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.data.records import text_of, unpack_prompt
from studio.annotator import annotator
from studio.panels.data.files import ask_where, export_labels
from studio.panels.data.record_detail import RecordDetail
from studio.panels.data.record_editor import RecordEditor
from studio.panels.data.record_rows import RecordRows, columns
from studio.panels.data.slices import Slices
from studio.panels.data.words import COUNTED, KINDS, counted, word
from studio.session import Session, sentence
from studio.theme.tokens import S2, S3, S4
from studio.widgets import (
    EmptyState,
    PlainLabel,
    RecordTable,
    StageBar,
    button,
    ghost_button,
    icon_button,
)

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Changed

Row = dict[str, Any]
Undo = Callable[[], object]


class RecordsPage(QWidget):
    """Signals: done(text, undo) after every change a person made; importing() when they want a file read."""

    done = Signal(str, object)
    importing = Signal()

    def __init__(self, session: Session, kind: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self.kind = session, kind
        self._slices: Slices | None = None
        self._replaced: dict[str, str] = {}
        self.table = RecordTable(columns(kind))
        self.rows = RecordRows(session, kind, self.table)
        self.retired = QCheckBox(self.tr("Show retired"))
        self.retired.toggled.connect(self._show_retired)
        self.table.add_action(self.retired)
        self.waiting = ghost_button("", lambda: session.go("compare"), icon="scale-balance")
        self.waiting.hide()
        self.table.add_action(self.waiting)
        self.export_button = icon_button("export", self.tr("Export to a file…"), self.export)
        self.outward_button = icon_button(
            "package-variant-closed",
            self.tr("Make a dataset of these records and export it: for TRL, HH-RLHF, Argilla or the Hub"),
            self.export_outward,
        )
        self.freeze_button = icon_button(
            "snowflake", self.tr("Freeze: make an immutable dataset of these records, as training does"), self.freeze
        )
        for made in (self.export_button, self.outward_button, self.freeze_button):
            self.table.add_action(made)
        self.table.filter.setMinimumWidth(120)
        self.add_button = button(self.tr("Add"), self.add, icon="plus")
        self.table.add_action(self.add_button)
        self.table.set_empty(self._nothing())
        self.detail = RecordDetail()
        self.editor = RecordEditor()
        self.editor.saved.connect(self._save)
        self.editor.cancelled.connect(self._leave_editor)
        self.many = PlainLabel(wrap=True)
        self.bar = StageBar()
        self.bar.hide()
        self.side = QStackedWidget()
        for widget in (self._hint(), self._detail_side(), self.editor, self._many_side()):
            self.side.addWidget(widget)
        self._lay_out()
        self.table.selected.connect(self._show_selected)
        self.table.activated.connect(lambda _: self.edit())
        self.table.deleting.connect(lambda _: self.retire())

    # --- reading -------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Fetch the table again; what is selected stays."""
        self.rows.forget()
        self.table.reload()
        if self.kind == "comparisons" and self._session.project is not None:
            waits = self._session.labels.tally()[""]
            self.waiting.setText(self.tr("Pairs to be judged: {0}").format(f"{waits:,}"))
            self.waiting.setVisible(waits > 0)
        if self.side.currentIndex() != 2:
            self._show_selected(self.table.selection())
        self._show_what_helps()

    def _show_what_helps(self) -> None:
        """An empty table needs no room beside it, and no buttons that would do nothing."""
        total, labels = self.total(), self._session.labels if self._session.project is not None else None
        retired = labels.count(self.kind, include_retired=True) - total if labels is not None else 0
        self.retired.setVisible(retired > 0 or self.rows.with_retired)
        for made in (self.export_button, self.outward_button, self.freeze_button):
            made.setVisible(total > 0)
        self.add_button.setVisible(total + retired > 0)
        self._frame.setVisible(total + retired > 0 or self.side.currentIndex() == 2)

    def _show_retired(self, yes: bool) -> None:
        self.rows.with_retired = yes
        self.reload()

    def total(self) -> int:
        """How many records there are, without the retired ones."""
        return self.rows.total()

    # --- writing -------------------------------------------------------------------------------------------------

    def add(self) -> None:
        self.editor.begin(self.kind)
        self.side.setCurrentIndex(2)
        self._show_what_helps()

    def edit(self) -> None:
        row = self.table.current()
        if row is not None and not row["hidden"]:
            self.editor.begin(self.kind, row)
            self.side.setCurrentIndex(2)
            self.editor.prompt.setFocus() if self.kind != "comparisons" else self.editor.winner.setFocus()

    def retire(self) -> None:
        """Leave the selected records out of tables and training; they stay on record."""
        self._mark([row for row in self.table.selection() if not row["hidden"]], retire=True)

    def restore(self) -> None:
        self._mark([row for row in self.table.selection() if row["hidden"] == "retired"], retire=False)

    def export(self) -> None:
        path = ask_where(self, self.tr("Export {0}").format(word(KINDS[self.kind])), self.kind)
        if path is not None:
            export_labels(self._session, self.kind, path)

    def export_outward(self) -> None:
        """Freeze the records, and open the export of the dataset that they have become."""
        self.outward_button.setEnabled(False)
        self._session.freeze(self.kind, "", self._frozen_outward, self._not_frozen)

    def _frozen_outward(self, ref: str) -> None:
        self.outward_button.setEnabled(True)
        self._session.go("data", dataset=ref, export=True)

    def freeze(self) -> None:
        self.freeze_button.setEnabled(False)
        self._session.freeze(self.kind, "", self._frozen, self._not_frozen)

    def _frozen(self, ref: str) -> None:
        self.freeze_button.setEnabled(True)
        text = self.tr("A dataset of these {0} was made.").format(word(KINDS[self.kind]).lower())
        self._session.toast(text, "good", self.tr("Show"), lambda: self._session.go("data", dataset=ref))

    def _not_frozen(self, error: BaseException) -> None:
        for made in (self.freeze_button, self.outward_button):
            made.setEnabled(True)
        self._session.say(error)

    def _save(self) -> None:
        labels, row, values = self._session.labels, self.editor.row, self.editor.values()
        who = annotator(self._session)
        try:
            if row is not None:
                id_ = self._edit(row["id"], values)
                old = {name: _old(row, name) for name in values}
                undo: Undo = partial(self._undo_edit, id_, old)
                text = self.tr("The record was replaced.")
            elif self.kind == "prompts":
                id_, changed = labels.add_prompt(values["prompt"], "human", who)
                undo = partial(self._undo_add, id_)
                text = self.tr("The prompt was added.")
                if not changed:
                    self.editor.show_error(self.tr("This prompt is there already."))
                    return
            elif self.kind == "demonstrations":
                id_, _ = labels.add_demonstration(values["prompt"], values["completion"], "human", who)
                undo = partial(self._undo_add, id_)
                text = self.tr("The demonstration was added.")
            elif self.kind == "ratings":
                id_, _ = labels.add_rating(**values, source="human", author=who)
                undo = partial(self._undo_add, id_)
                text = self.tr("The rating was added.")
            else:
                labels.add_many("comparisons", [values], "human", who)
                id_ = labels.page("comparisons", limit=1, descending=True)[0]["id"]
                undo = partial(self._undo_add, id_)
                text = self.tr("The comparison was added.")
        except EngineError as error:
            self.editor.show_error(sentence(error))
            return
        self.side.setCurrentIndex(0)
        self._announce()
        self.table.select(id_)
        self.done.emit(text, undo)

    def _edit(self, id_: str, values: dict[str, Any]) -> str:
        new = self._session.labels.edit(self.kind, id_, annotator(self._session), **values)
        self._replaced[id_] = new
        return new

    def _standing(self, id_: str) -> str:
        """The record that has taken this one's place: an edit, and taking an edit back, are later rows."""
        while id_ in self._replaced:
            id_ = self._replaced[id_]
        return id_

    def _undo_edit(self, id_: str, old: dict[str, Any]) -> None:
        self._edit(self._standing(id_), old)

    def _undo_add(self, id_: str) -> None:
        self._session.labels.retire(self.kind, self._standing(id_), annotator(self._session))

    def _mark(self, rows: list[Row], retire: bool) -> None:
        if not rows or self._slices is not None:
            return
        labels, who = self._session.labels, annotator(self._session)
        ids = [row["id"] for row in rows]
        there, back = (labels.retire, labels.restore) if retire else (labels.restore, labels.retire)

        def write(some: list[str]) -> None:
            for id_ in some:
                there(self.kind, id_, who)

        def undo() -> None:
            for id_ in ids[: slices.done]:
                back(self.kind, self._standing(id_), who)

        def finished(done: int) -> None:
            self._slices = None
            self.bar.hide()
            self._announce()
            words = self.tr("{0} retired.") if retire else self.tr("{0} restored.")
            self.done.emit(words.format(counted(self.kind, done)), undo)

        slices = self._slices = Slices(ids, write, self)
        slices.progressed.connect(lambda done, of: self._show_marking(done, of))
        slices.finished.connect(finished)
        slices.failed.connect(self._marking_failed)

    def _show_marking(self, done: int, of: int) -> None:
        if of > 50:
            self.bar.show()
            self.bar.show_stage(self.tr("Writing"), done, of)

    def _stop_marking(self) -> None:
        if self._slices is not None:
            self._slices.stop()

    def _marking_failed(self, error: BaseException) -> None:
        self._slices = None
        self.bar.hide()
        self._announce()
        self._session.say(error)

    def _announce(self) -> None:
        from rlhf_engine.store.labels import Changed

        changed = Changed.COMPARISONS | Changed.PAIRS if self.kind == "comparisons" else Changed[self.kind.upper()]
        self._session.announce(changed)

    # --- showing -------------------------------------------------------------------------------------------------

    def _show_selected(self, rows: list[Row]) -> None:
        if self.side.currentIndex() == 2 and self.side.isVisible() and rows and self.editor.row is None:
            return  # a record is being written: looking something up must not throw it away
        if len(rows) == 1:
            self.detail.show_row(self.kind, rows[0])
            retired = rows[0]["hidden"] == "retired"
            self.edit_button.setVisible(not retired)
            self.retire_button.setVisible(not retired)
            self.restore_button.setVisible(retired)
            self.side.setCurrentIndex(1)
        elif rows:
            words = self.tr("{0} selected").format(word(COUNTED[self.kind]).format(f"{len(rows):,}"))
            self.many.setText(words)
            self.side.setCurrentIndex(3)
        else:
            self.side.setCurrentIndex(0)

    def _leave_editor(self) -> None:
        self.side.setCurrentIndex(0)
        self._show_selected(self.table.selection())
        self._show_what_helps()
        self.table.view.setFocus()

    def _ask_model(self) -> None:
        row = self.table.current()
        if row is not None:
            self._session.go("playground", prompt=text_of(unpack_prompt(row["prompt"], row["turns"])))

    def _hint(self) -> QWidget:
        label = PlainLabel(self.tr("Select a record to read it whole."), tone="muted", wrap=True)
        label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        return label

    def _detail_side(self) -> QWidget:
        side = QWidget()
        self.edit_button = button(self.tr("Edit"), self.edit, icon="pencil-outline", tip=self.tr("Enter"))
        self.retire_button = button(self.tr("Retire"), self.retire, icon="archive-outline", tip=self.tr("Del"))
        self.restore_button = button(self.tr("Restore"), self.restore, icon="archive-arrow-up-outline")
        ask = ghost_button(self.tr("Ask a model"), self._ask_model)
        line = QHBoxLayout()
        line.setSpacing(S2)
        for made in (self.edit_button, self.retire_button, self.restore_button):
            line.addWidget(made)
        line.addStretch()
        line.addWidget(ask)
        layout = QVBoxLayout(side)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(self.detail, 1)
        layout.addLayout(line)
        return side

    def _many_side(self) -> QWidget:
        side = QWidget()
        layout = QVBoxLayout(side)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(self.many)
        line = QHBoxLayout()
        line.setSpacing(S2)
        line.addWidget(button(self.tr("Retire"), self.retire, icon="archive-outline"))
        line.addWidget(button(self.tr("Restore"), self.restore, icon="archive-arrow-up-outline"))
        line.addStretch()
        layout.addLayout(line)
        layout.addWidget(self.bar)
        layout.addStretch()
        self.bar.cancelled.connect(self._stop_marking)
        return side

    def _nothing(self) -> EmptyState:
        sentences = {
            "prompts": self.tr("Questions that the model should learn to answer belong here."),
            "demonstrations": self.tr("Prompts with an answer worth imitating belong here."),
            "comparisons": self.tr("Pairs of answers of which a person has said which is better belong here."),
            "ratings": self.tr("Single answers of which a person has said whether they like them belong here."),
        }
        icons = {
            "prompts": "comment-question-outline",
            "demonstrations": "school-outline",
            "ratings": "thumbs-up-down-outline",
        }
        other = [(self.tr("Write one"), self.add)]
        if self.kind == "comparisons":
            other.append((self.tr("Judge pairs"), lambda: self._session.go("compare")))
        return EmptyState(
            icons.get(self.kind, "scale-balance"),
            sentences[self.kind],
            (self.tr("Import a file…"), self.importing.emit),
            other,
            detail=self.tr("JSONL, JSON, CSV, TSV, Parquet or text, also gzipped. Drop a file anywhere on this page."),
        )

    def _lay_out(self) -> None:
        frame = self._frame = QWidget()
        inner = QVBoxLayout(frame)
        inner.setContentsMargins(S4, 0, 0, 0)
        inner.addWidget(self.side)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(self.table)
        splitter.addWidget(frame)
        splitter.setStretchFactor(0, 3)
        splitter.setStretchFactor(1, 2)
        splitter.setChildrenCollapsible(False)
        sizes = self._session.recall("data/splitter", [680, 420])
        splitter.setSizes(sizes if isinstance(sizes, list) else [680, 420])
        splitter.splitterMoved.connect(lambda *_: self._session.remember("data/splitter", splitter.sizes()))
        frame.setMinimumWidth(300)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(splitter)

    def touches(self, changed: Changed) -> bool:
        """Whether a write changed what this page shows."""
        from rlhf_engine.store.labels import Changed

        mine = Changed.COMPARISONS | Changed.PAIRS if self.kind == "comparisons" else Changed[self.kind.upper()]
        return bool(changed & mine)


def _old(row: Row, name: str) -> Any:
    if name == "prompt":
        return unpack_prompt(row["prompt"], row["turns"])
    return bool(row[name]) if name == "liked" else row[name]
