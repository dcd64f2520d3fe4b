"""The table: pages, filtering, sorting, selection and keys."""

from __future__ import annotations

import json
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from studio.widgets import Column, EmptyState, Query, RecordTable

COLUMNS = [Column("title", "Title"), Column("score", "Score", 80, right=True)]


def shown(table: RecordTable, column: int = 0) -> list[str]:
    return [table.model.data(table.model.index(row, column)) for row in range(table.model.rowCount())]


def test_a_large_source_is_asked_for_pages_only(qtbot: Any) -> None:
    asked: list[Query] = []

    def page(query: Query) -> list[dict[str, Any]]:
        asked.append(query)
        return [{"id": i, "title": f"row {i}", "score": i} for i in range(query.offset, query.offset + query.limit)]

    table = RecordTable(COLUMNS, page, lambda _: 1_000_000)
    qtbot.addWidget(table)
    table.resize(500, 400)
    table.reload()
    table.show()
    qtbot.waitExposed(table)
    assert len(asked) <= 2
    assert table.model.data(table.model.index(777_777, 0)) == "row 777777"
    assert asked[-1].offset == 777_700 and asked[-1].limit == 100


def test_sorting_and_filtering_are_done_by_the_source(qtbot: Any) -> None:
    asked: list[Query] = []

    def count(query: Query) -> int:
        asked.append(query)
        return 0

    table = RecordTable(COLUMNS, lambda _: [], count)
    qtbot.addWidget(table)
    table.model.sort(1, Qt.SortOrder.DescendingOrder)
    table.filter.setText("  loss ")
    qtbot.waitUntil(lambda: asked[-1].text == "loss")
    assert (asked[-1].sort, asked[-1].descending) == ("score", True)


def test_rows_in_memory_are_sorted_with_nothing_last_and_filtered_by_words(qtbot: Any) -> None:
    table = RecordTable(COLUMNS)
    qtbot.addWidget(table)
    table.set_rows(
        [
            {"id": 1, "title": "PPO second", "score": None},
            {"id": 2, "title": "sft", "score": 2.0},
            {"id": 3, "title": "ppo First", "score": 10},
        ]
    )
    table.model.sort(1)
    assert shown(table) == ["sft", "ppo First", "PPO second"]
    table.filter.setText("first ppo")
    qtbot.waitUntil(lambda: shown(table) == ["ppo First"])
    assert table.counted.text() == "1 found"
    table.filter.clear()
    qtbot.waitUntil(lambda: table.counted.text() == "3 rows")
    table.set_rows([{"id": 1, "title": "alone", "score": 1.0}])
    assert table.counted.text() == "1 row"


def test_a_selected_row_stays_selected_when_rows_come_and_go(qtbot: Any) -> None:
    table = RecordTable(COLUMNS)
    qtbot.addWidget(table)
    table.set_rows([{"id": "a", "title": "A"}, {"id": "b", "title": "B"}])
    assert table.select("b")
    table.set_rows([{"id": "new", "title": "N"}, {"id": "a", "title": "A"}, {"id": "b", "title": "B2"}])
    current = table.current()
    assert current is not None and current["title"] == "B2"


def test_an_empty_table_says_what_belongs_there(qtbot: Any) -> None:
    table = RecordTable(COLUMNS)
    qtbot.addWidget(table)
    empty = EmptyState("database-outline", "Nothing yet.", ("Add", lambda: None))
    table.set_empty(empty)
    assert table._stack.currentWidget() is empty and table.filter.isHidden()
    table.set_rows([{"id": 1, "title": "x"}])
    assert table._stack.currentWidget() is table.view
    table.filter.setText("zzz")
    qtbot.waitUntil(lambda: table.model.rowCount() == 0)
    assert table._stack.currentWidget() is table.view  # nothing found is not the same as nothing there


def test_keys_open_delete_and_copy(qtbot: Any) -> None:
    table = RecordTable(COLUMNS)
    qtbot.addWidget(table)
    table.set_rows([{"id": 1, "title": "ünï", "score": 0.5}])
    table.select(1)
    with qtbot.waitSignal(table.activated) as opened:
        qtbot.keyClick(table.view, Qt.Key.Key_Return)
    assert opened.args[0]["id"] == 1
    with qtbot.waitSignal(table.deleting):
        qtbot.keyClick(table.view, Qt.Key.Key_Delete)
    qtbot.keyClick(table.view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert json.loads(QGuiApplication.clipboard().text()) == {"id": 1, "title": "ünï", "score": 0.5}


def test_a_cell_with_a_megabyte_is_cut_for_the_screen(qtbot: Any) -> None:
    table = RecordTable(COLUMNS)
    qtbot.addWidget(table)
    table.set_rows([{"id": 1, "title": "x\n" * 500_000}])
    assert len(shown(table)[0]) < 1000 and "\n" not in shown(table)[0]
