"""A table over any number of records: rows are fetched by the page, and sorted and filtered at their source."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QGuiApplication, QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QStackedWidget,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from studio.theme import colors, mono_font
from studio.theme.tokens import S2
from studio.widgets.labels import PlainLabel, tooltip

PAGE = 100
Row = dict[str, Any]
_At = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `key` in the row, its title, first width (0 shares what is left), and how a value is written."""

    key: str
    title: str
    width: int = 0
    write: Callable[[Any], str] | None = None
    right: bool = False
    mono: bool = False
    sortable: bool = True
    tone: Callable[[Row], str] | None = None  # "", muted, good, warn, bad


@dataclass(frozen=True, slots=True)
class Query:
    """What the table wants to see. `sort` is a column's key, or empty for the source's own order."""

    offset: int = 0
    limit: int = PAGE
    text: str = ""
    sort: str = ""
    descending: bool = False


Page = Callable[[Query], Sequence[Row]]
Count = Callable[[Query], int]


class RecordModel(QAbstractTableModel):
    """Keeps the last twelve pages it was asked for."""

    def __init__(self, columns: Sequence[Column], page: Page, count: Count, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self.query = Query()
        self._page, self._count = page, count
        self._rows = 0
        self._pages: OrderedDict[int, Sequence[Row]] = OrderedDict()

    def set_source(self, page: Page, count: Count) -> None:
        self._page, self._count = page, count

    def reload(self) -> None:
        self.beginResetModel()
        self._pages.clear()
        self._rows = self._count(self.query)
        self.endResetModel()

    def ask(self, **changes: Any) -> None:
        self.query = replace(self.query, **changes)
        self.reload()

    def row(self, number: int) -> Row | None:
        start = number - number % PAGE
        if start not in self._pages:
            self._pages[start] = self._page(replace(self.query, offset=start, limit=PAGE))
            while len(self._pages) > 12:
                self._pages.popitem(last=False)
        self._pages.move_to_end(start)
        rows = self._pages[start]
        return rows[number - start] if number - start < len(rows) else None

    def refresh_page(self, offset: int) -> None:
        """Ask again for the page that begins at `offset`: its rows have come in the meantime."""
        self._pages.pop(offset, None)
        if offset < self._rows:
            last = min(offset + PAGE, self._rows) - 1
            self.dataChanged.emit(self.index(offset, 0), self.index(last, len(self.columns) - 1))

    def rowCount(self, parent: _At | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else self._rows

    def columnCount(self, parent: _At | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def data(self, index: _At, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        column = self.columns[index.column()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                row = self.row(index.row())
                return written(column, row)[:300].replace("\n", " ⏎ ") if row is not None else ""
            case Qt.ItemDataRole.ToolTipRole:
                row = self.row(index.row())
                return tooltip(written(column, row)) if row is not None else ""
            case Qt.ItemDataRole.TextAlignmentRole:
                side = Qt.AlignmentFlag.AlignRight if column.right else Qt.AlignmentFlag.AlignLeft
                return int(side | Qt.AlignmentFlag.AlignVCenter)
            case Qt.ItemDataRole.FontRole:
                return mono_font() if column.mono else None
            case Qt.ItemDataRole.ForegroundRole:
                row = self.row(index.row())
                tone = column.tone(row) if column.tone and row is not None else ""
                return QColor(getattr(colors(), tone)) if tone else None
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return self.columns[section].title
            if role == Qt.ItemDataRole.TextAlignmentRole:
                side = Qt.AlignmentFlag.AlignRight if self.columns[section].right else Qt.AlignmentFlag.AlignLeft
                return int(side | Qt.AlignmentFlag.AlignVCenter)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if 0 <= column < len(self.columns) and self.columns[column].sortable:
            self.ask(sort=self.columns[column].key, descending=order == Qt.SortOrder.DescendingOrder)


class RecordTable(QWidget):
    """A filter box (Ctrl+F) over the table; actions of the panel go to its right with `add_action()`.

    Rows are dicts. Either give `page` and `count`, called on the window's thread with a Query, or `set_rows()`.
    A row's "id" keeps it selected over a reload.

    Signals: selected(list of rows), activated(row) on Enter or double click, deleting(list of rows) on Del.
    """

    selected = Signal(list)
    activated = Signal(dict)
    deleting = Signal(list)

    def __init__(
        self,
        columns: Sequence[Column],
        page: Page | None = None,
        count: Count | None = None,
        parent: QWidget | None = None,
        *,
        filter_hint: str = "",
        multiple: bool = True,
    ) -> None:
        super().__init__(parent)
        self._memory: list[Row] = []
        self.model = RecordModel(columns, page or self._memory_page, count or self._memory_count, self)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText(filter_hint or self.tr("Filter (Ctrl+F)"))
        self.filter.setClearButtonEnabled(True)
        self.filter.setMaximumWidth(320)
        self.filter.setAccessibleName(self.tr("Filter"))
        self.counted = PlainLabel(tone="muted")
        self.view = _View(self)
        self.view.setModel(self.model)
        self._dress(multiple)
        self._empty: QWidget | None = None
        self._stack = QStackedWidget()
        self._stack.addWidget(self.view)
        self._bar = QHBoxLayout()
        self._bar.setSpacing(S2)
        self._bar.addWidget(self.filter, 1)
        self._bar.addWidget(self.counted)
        self._bar.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addLayout(self._bar)
        layout.addWidget(self._stack, 1)
        self._later = QTimer(self, singleShot=True, interval=150)
        self._later.timeout.connect(lambda: self._refilter())
        self.filter.textChanged.connect(lambda: self._later.start())
        find = QShortcut(QKeySequence.StandardKey.Find, self)
        find.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.activated.connect(self.filter.setFocus)
        self.model.modelReset.connect(self._count_again)

    def add_action(self, widget: QWidget) -> QWidget:
        self._bar.addWidget(widget)
        return widget

    def set_empty(self, widget: QWidget) -> None:
        """What to show instead of the table while there is no row and no filter; an EmptyState."""
        if self._empty is not None:
            self._stack.removeWidget(self._empty)
            self._empty.deleteLater()
        self._empty = widget
        self._stack.addWidget(widget)
        self._count_again()

    def set_source(self, page: Page, count: Count) -> None:
        self.model.set_source(page, count)
        self.reload()

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show rows that fit in memory; the table filters and sorts them itself."""
        self._memory = list(rows)
        self.reload()

    def reload(self) -> None:
        """Fetch again; what is selected and where one has scrolled stay."""
        chosen = {row.get("id") for row in self.selection() if row.get("id") is not None}
        place = self.view.verticalScrollBar().value()
        self.model.reload()
        self.view.verticalScrollBar().setValue(place)
        if chosen:
            self._choose(chosen)

    def selection(self) -> list[Row]:
        numbers = sorted(index.row() for index in self.view.selectionModel().selectedRows())
        rows = (self.model.row(number) for number in numbers)
        return [row for row in rows if row is not None]

    def current(self) -> Row | None:
        chosen = self.selection()
        return chosen[0] if chosen else None

    def select(self, row_id: Any) -> bool:
        """Select the row with this id, if it is within the first thousand."""
        return self._choose({row_id})

    def _choose(self, ids: set[Any]) -> bool:
        model = self.view.selectionModel()
        flags = QItemSelectionModel.SelectionFlag
        found = False
        for number in range(min(self.model.rowCount(), 1000)):
            row = self.model.row(number)
            if row is not None and row.get("id") in ids:
                index = self.model.index(number, 0)
                model.select(index, (flags.Select if found else flags.ClearAndSelect) | flags.Rows)
                if not found:
                    model.setCurrentIndex(index, flags.NoUpdate)
                found = True
        return found

    def _dress(self, multiple: bool) -> None:
        view = self.view
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        modes = QAbstractItemView.SelectionMode
        view.setSelectionMode(modes.ExtendedSelection if multiple else modes.SingleSelection)
        view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        view.setAlternatingRowColors(False)
        view.setShowGrid(False)
        view.setWordWrap(False)
        view.setTabKeyNavigation(False)
        view.verticalHeader().hide()
        view.verticalHeader().setDefaultSectionSize(30)
        header = view.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(48)
        header.setSortIndicatorClearable(False)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        view.setSortingEnabled(True)
        for number, column in enumerate(self.model.columns):
            modes_ = QHeaderView.ResizeMode
            header.setSectionResizeMode(number, modes_.Interactive if column.width else modes_.Stretch)
            if column.width:
                header.resizeSection(number, max(column.width, header.sectionSizeHint(number)))
        view.selectionModel().selectionChanged.connect(lambda *_: self.selected.emit(self.selection()))
        view.doubleClicked.connect(lambda _: self._activate())

    def _activate(self) -> None:
        row = self.current()
        if row is not None:
            self.activated.emit(row)

    def _refilter(self) -> None:
        self.model.ask(text=self.filter.text().strip())

    def _count_again(self) -> None:
        rows = self.model.rowCount()
        filtered = bool(self.model.query.text)
        words = self.tr("{0} found") if filtered else self.tr("1 row") if rows == 1 else self.tr("{0} rows")
        self.counted.setText(words.format(f"{rows:,}"))
        nothing = rows == 0 and not filtered and self._empty is not None
        self._stack.setCurrentWidget(self._empty if nothing and self._empty else self.view)
        self.filter.setVisible(not nothing)
        self.counted.setVisible(not nothing)

    def _found(self, query: Query) -> list[Row]:
        rows = self._memory
        if query.text:
            words = query.text.casefold().split()
            shown = [" ".join(written(column, row) for column in self.model.columns).casefold() for row in rows]
            rows = [row for row, text in zip(rows, shown, strict=True) if all(word in text for word in words)]
        if query.sort:
            rows = sorted(rows, key=lambda row: _orderly(row.get(query.sort)), reverse=query.descending)
        return rows

    def _memory_page(self, query: Query) -> list[Row]:
        return self._found(query)[query.offset : query.offset + query.limit]

    def _memory_count(self, query: Query) -> int:
        return len(self._found(query))


class _View(QTableView):
    def __init__(self, owner: RecordTable) -> None:
        super().__init__(owner)
        self._owner = owner

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            lines = (json.dumps(row, ensure_ascii=False, default=str) for row in self._owner.selection())
            QGuiApplication.clipboard().setText("\n".join(lines))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._owner._activate()
        elif event.key() == Qt.Key.Key_Delete and self._owner.selection():
            self._owner.deleting.emit(self._owner.selection())
        else:
            super().keyPressEvent(event)


def written(column: Column, row: Row) -> str:
    value = row.get(column.key)
    if column.write is not None:
        return column.write(value)
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _orderly(value: Any) -> tuple[int, float, str]:
    """Numbers before text before nothing."""
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (2, 0.0, "") if value is None else (1, 0.0, str(value).casefold())
