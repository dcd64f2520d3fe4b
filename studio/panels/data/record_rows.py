"""Where a table of records gets its rows: at once where that takes less than a frame, else from another thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlhf_engine.data.records import split_of, unpack_prompt
from studio.panels.data.sources import BackgroundSource
from studio.panels.data.words import COLUMNS, FIELDS, SPLITS, liked_word, source_word, verdict, when, word
from studio.session import Session
from studio.widgets import Column, Query, RecordTable

DIRECT = 5_000  # records that can be searched and sorted within a frame
Row = dict[str, Any]


class RecordRows:
    """Feeds `table` with the project's records of a kind; `with_retired` shows those that were put aside too."""

    def __init__(self, session: Session, kind: str, table: RecordTable) -> None:
        self._session, self._kind = session, kind
        self.with_retired = False
        self._background = BackgroundSource(session, table, self._far_page, self._far_count)
        table.set_source(self.page, self.count)

    def forget(self) -> None:
        """What was fetched is out of date."""
        self._background.forget()

    def total(self) -> int:
        """How many records there are, without the retired ones."""
        return self._session.labels.count(self._kind) if self._session.project is not None else 0

    def page(self, query: Query) -> Sequence[Row]:
        if self._session.project is None:
            return []
        if not self._near(query):
            return self._background.page(query)
        return rows_of(self._session.labels, self._kind, query, self.with_retired)

    def count(self, query: Query) -> int:
        if self._session.project is None:
            return 0
        if not self._near(Query(text=query.text)):
            return self._background.count(query)
        return self._session.labels.count(self._kind, query.text, self.with_retired)

    def _near(self, query: Query) -> bool:
        """Whether the answer comes at once: pages in order of time are found by their number, however many."""
        return (not query.text and query.sort in ("", "created")) or self.total() <= DIRECT

    def _far_page(self, query: Query) -> Sequence[Row]:
        """Called on another thread."""
        with _reading(self._database()) as labels:
            return rows_of(labels, self._kind, query, self.with_retired)

    def _far_count(self, query: Query) -> int:
        with _reading(self._database()) as labels:
            return int(labels.count(self._kind, query.text, self.with_retired))

    def _database(self) -> Path:
        assert self._session.project is not None
        return self._session.project.root / "labels.db"


def rows_of(labels: Any, kind: str, query: Query, retired: bool) -> list[Row]:
    """A page of records, the newest first unless sorted, with the side of the split that each is on."""
    descending = query.descending if query.sort else True
    found: list[Row] = labels.page(
        kind, query.offset, query.limit, query.text, query.sort or None, descending, include_retired=retired
    )
    for row in found:
        row["split"] = split_of(unpack_prompt(row["prompt"], row["turns"]))
        if kind == "comparisons":
            row["verdict"] = verdict(row["winner"], row["strength"])
    return found


def columns(kind: str) -> list[Column]:
    prompt = Column("prompt", word(FIELDS["prompt"]), tone=_tone)
    texts = {
        "prompts": [prompt],
        "demonstrations": [prompt, Column("completion", word(FIELDS["completion"]), tone=_tone)],
        "comparisons": [
            prompt,
            Column("a", word(FIELDS["a"]), tone=_tone),
            Column("b", word(FIELDS["b"]), tone=_tone),
            Column("verdict", word(COLUMNS["verdict"]), 136, sortable=False, tone=_tone),
        ],
        "ratings": [
            prompt,
            Column("completion", word(FIELDS["completion"]), tone=_tone),
            Column("liked", word(COLUMNS["verdict"]), 88, liked_word, tone=_tone),
        ],
    }[kind]
    split = Column("split", word(COLUMNS["split"]), 76, _split_word, sortable=False, tone=_tone)
    return [
        *texts,
        *([] if kind == "comparisons" else [split]),  # there the texts need the room
        Column("source", word(FIELDS["source"]), 72, source_word, tone=_tone),
        Column("created", word(COLUMNS["created"]), 104, when, tone=_tone),
    ]


@contextmanager
def _reading(database: Path) -> Iterator[Any]:
    """A read-only connection for as long as a block, on the thread that opens it."""
    from rlhf_engine.store.labels import Labels

    labels = Labels(database, write=False)
    try:
        yield labels
    finally:
        labels.close()


def _tone(row: Row) -> str:
    if row.get("hidden"):
        return "muted"
    return "warn" if row.get("flagged") else ""


def _split_word(split: Any) -> str:
    return word(SPLITS.get(str(split), ""))
