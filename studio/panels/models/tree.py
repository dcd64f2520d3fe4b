"""The family drawn as a tree: a base, and under it what was made of it."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeView, QWidget

from studio.panels.models.family import Family, Member
from studio.panels.models.words import kind_icon, numbers
from studio.theme import colors, icon, theme
from studio.widgets import tooltip

REF = Qt.ItemDataRole.UserRole
_COLUMNS = ("kind", "parameters", "size", "context", "template", "dtype")
_WIDTHS = (112, 98, 78, 74, 82, 68)
_RIGHT = {"parameters", "size", "context"}


class ModelTree(QTreeView):
    """Signals: chosen(ref), "" for none; activated_ref(ref) on Enter or double click; removing(ref) on Del."""

    chosen = Signal(str)
    activated_ref = Signal(str)
    removing = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._family = Family()
        self._items = QStandardItemModel(self)
        self.setModel(self._items)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setUniformRowHeights(True)
        self.setIconSize(QSize(18, 18))
        self.setIndentation(20)
        self.setAllColumnsShowFocus(True)
        self.setExpandsOnDoubleClick(False)
        self.setAccessibleName(self.tr("Models"))
        self.selectionModel().selectionChanged.connect(lambda *_: self.chosen.emit(self.current()))
        self.doubleClicked.connect(lambda _: self.activated_ref.emit(self.current()))
        theme().changed.connect(self.redraw)

    def show_family(self, family: Family) -> None:
        self._family = family
        self.redraw()

    def redraw(self) -> None:
        chosen = self.current()
        blocked = self.selectionModel().blockSignals(True)
        self._items.clear()
        titles = (
            self.tr("Model"),
            self.tr("Kind"),
            self.tr("Parameters"),
            self.tr("On disk"),
            self.tr("Context"),
            self.tr("Template"),
            self.tr("Format"),
        )
        self._items.setHorizontalHeaderLabels(list(titles))
        for column, key in enumerate(_COLUMNS, 1):
            if key in _RIGHT:
                right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                self._items.setHeaderData(
                    column, Qt.Orientation.Horizontal, int(right), Qt.ItemDataRole.TextAlignmentRole
                )
        for member in self._family.children(""):
            self._draw(self._items.invisibleRootItem(), member, 0)
        self.expandAll()
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, width in enumerate(_WIDTHS, 1):
            header.resizeSection(column, width)
        self.selectionModel().blockSignals(blocked)
        if not (chosen and self.select(chosen)):
            self.chosen.emit("")

    def current(self) -> str:
        indexes = self.selectionModel().selectedRows()
        return str(indexes[0].data(REF) or "") if indexes else ""

    def select(self, ref: str) -> bool:
        found = self._items.match(
            self._items.index(0, 0), REF, ref, 1, Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchRecursive
        )
        if not found:
            return False
        self.setCurrentIndex(found[0])
        self.chosen.emit(ref)
        return True

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current():
            self.activated_ref.emit(self.current())
        elif event.key() == Qt.Key.Key_Delete and self.current():
            self.removing.emit(self.current())
        else:
            super().keyPressEvent(event)

    def _draw(self, parent: QStandardItem, member: Member, depth: int) -> None:
        said = numbers(member)
        first = QStandardItem(icon(kind_icon(member.kind), "bad" if member.fault else "muted"), member.title)
        first.setData(member.ref, REF)
        first.setSizeHint(QSize(0, 34))
        cells = [first]
        for key in _COLUMNS:
            cell = QStandardItem(said[key])
            if key in _RIGHT:
                cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            cells.append(cell)
        tone = "bad" if member.fault else "" if member.listed and (member.folder or member.adapter) else "muted"
        for cell in cells:
            cell.setToolTip(tooltip(member.fault or member.ref))
            if tone:
                cell.setForeground(QColor(getattr(colors(), tone)))
        parent.appendRow(cells)
        if depth < 32:
            for child in self._family.children(member.ref):
                self._draw(first, child, depth + 1)
