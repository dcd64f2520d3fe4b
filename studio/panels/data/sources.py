"""Pages for a table that take too long for the window's thread: fetched on another, shown when they come."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

from PySide6.QtCore import QObject
from shiboken6 import isValid

from studio.session import Session
from studio.widgets import Query, RecordTable

Row = dict[str, Any]
FetchPage = Callable[[Query], Sequence[Row]]
FetchCount = Callable[[Query], int]
_MOST_PAGES = 64


class BackgroundSource(QObject):
    """Give `page` and `count` to a RecordTable. What is not here yet is empty at first and follows.

    `fetch_page` and `fetch_count` run on other threads: they must open connections of their own.
    """

    def __init__(self, session: Session, table: RecordTable, fetch_page: FetchPage, fetch_count: FetchCount) -> None:
        super().__init__(table)
        self._session, self._table = session, table
        self._fetch_page, self._fetch_count = fetch_page, fetch_count
        self._pages: dict[Hashable, Sequence[Row]] = {}
        self._counts: dict[str, int] = {}
        self._asked: set[Hashable] = set()
        self._known = 0
        self._generation = 0

    def forget(self) -> None:
        """What is kept is out of date."""
        self._generation += 1
        self._pages.clear()
        self._counts.clear()
        self._asked.clear()

    def page(self, query: Query) -> Sequence[Row]:
        key = (query.text, query.sort, query.descending, query.offset)
        if key in self._pages:
            return self._pages[key]
        self._ask(key, partial(self._fetch_page, query), partial(self._page_came, self._generation, key))
        return []

    def count(self, query: Query) -> int:
        if query.text in self._counts:
            return self._counts[query.text]
        self._ask(query.text, partial(self._fetch_count, query), partial(self._count_came, self._generation, query))
        return self._known

    @property
    def waiting(self) -> bool:
        return bool(self._asked)

    def _ask(self, key: Hashable, function: Callable[[], Any], done: Callable[[Any], None]) -> None:
        if key not in self._asked:
            self._asked.add(key)
            self._session.in_background(function, done, partial(self._failed, self._generation, key))

    def _page_came(self, generation: int, key: tuple[str, str, bool, int], rows: Sequence[Row]) -> None:
        if not isValid(self) or generation != self._generation:
            return
        self._asked.discard(key)
        while len(self._pages) >= _MOST_PAGES:
            del self._pages[next(iter(self._pages))]
        self._pages[key] = rows
        query = self._table.model.query
        if key[:3] == (query.text, query.sort, query.descending):
            self._table.model.refresh_page(key[3])

    def _count_came(self, generation: int, query: Query, count: int) -> None:
        if not isValid(self) or generation != self._generation:
            return
        self._asked.discard(query.text)
        self._counts[query.text] = self._known = count
        if self._table.model.query.text == query.text:
            self._table.reload()

    def _failed(self, generation: int, key: Hashable, error: BaseException) -> None:
        if isValid(self) and generation == self._generation:
            self._pages[key] = []  # asked once: an error must not be repeated with every repaint
            if isinstance(key, str):
                self._counts[key] = 0
            self._session.say(error)
