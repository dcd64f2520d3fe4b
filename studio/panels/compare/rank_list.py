"""Answers by their place, to be dragged into order or picked one after the other."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QWidget

from studio.panels.compare.ranking_queue import Group

NUMBER = Qt.ItemDataRole.UserRole
ROW = 44  # pixels, enough for a finger


class RankList(QListWidget):
    """`dragged(numbers)` when the answers were put in another order, `picked(number)` when one was pressed."""

    dragged = Signal(list)
    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.itemClicked.connect(lambda item: self.picked.emit(item.data(NUMBER)))

    def dropEvent(self, event: QDropEvent) -> None:
        super().dropEvent(event)
        QTimer.singleShot(0, self, self.say_order)  # the moved row is taken from its old place after this

    def say_order(self) -> None:
        self.dragged.emit([self.item(row).data(NUMBER) for row in range(self.count())])

    def show_order(self, group: Group | None) -> None:
        self.clear()
        if group is None:
            return
        places = places_of(group)
        for number in [*(number for tied in group.ranked for number in tied), *group.left]:
            place = places.get(number, "-")
            begins = " ".join(group.answers[number].split())[:60]
            item = QListWidgetItem(self.tr("{0}  Answer {1}: {2}").format(place, number + 1, begins))
            item.setData(NUMBER, number)
            item.setSizeHint(QSize(0, ROW))
            self.addItem(item)


def places_of(group: Group) -> dict[int, str]:
    """Of the answers that have a place, which: "2=" for one that shares it; after two seconds comes "4"."""
    found: dict[int, str] = {}
    place = 1
    for tied in group.ranked:
        found |= dict.fromkeys(tied, f"{place}=" if len(tied) > 1 else str(place))
        place += len(tied)
    return found
