"""Reading what people said: pages for tables, the next pairs to judge, and records to train on.

A reader has a connection of its own, and one thread at a time asks it: while another thread writes through the same
connection (`Labels`), whoever asks waits, so that nothing is seen which may yet be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any

from sqlite_utils import Database

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.data.records import TIE, Comparison, Demonstration, PromptRecord, Rating, Record, unpack_prompt
from rlhf_engine.store.database import open_database, store_errors
from rlhf_engine.store.judgement_meta import unpack_meta
from rlhf_engine.store.migrations import require_known, version_of
from rlhf_engine.store.schema import FACTS, SEARCHED, SEARCHED_PAIR, STEPS

TABLES = ("prompts", "demonstrations", "pairs", "comparisons", "ratings")
WINNERS = ("a", "b", "tie", "both_bad", "skip")
SORTS = {
    "created": "t.row",
    "prompt": "t.prompt",
    "source": "t.source",
    "author": "t.author",
    "completion": "t.completion",
    "liked": "t.liked",
    "a": "t.a",
    "b": "t.b",
    "winner": "t.winner",
    "strength": "t.strength",
    "seconds": "t.seconds",
    "comment": "t.comment",
}
_FROM = {table: f"{table} AS t LEFT JOIN standings AS s ON s.kind = '{table}' AND s.record = t.row" for table in TABLES}
_FROM["comparisons"] += (
    " CROSS JOIN pairs AS p ON p.id = t.pair_id"  # CROSS: from the judgements to the pairs, never back
)
_STANDS = "coalesce(s.hidden, '') AS hidden, coalesce(s.flagged, 0) AS flagged"
_COLUMNS = dict.fromkeys(TABLES, f"t.*, {_STANDS}")
_SAID = ", ".join(f"t.{column}" for column in ("row", *FACTS["comparisons"]) if column != "meta")
_COLUMNS["comparisons"] = f"{_SAID}, t.meta AS judgement_meta, {_STANDS}, p.prompt, p.turns, p.a, p.b, p.meta"
_VISIBLE = "coalesce(s.hidden, '') = ''"


class LabelReader:
    """Everything that can be asked of labels.db without changing it. Made by `Labels(path, write=False)`."""

    path: Path
    _db: Database
    _turn: RLock

    def _open_reader(self, path: Path) -> Database:
        db = open_database(path, write=False)
        require_known(db, STEPS, path)
        if version_of(db) < len(STEPS):
            raise StoreError(
                f"{path} was written by an older version.",
                "Open the project in the studio once, which brings it up to date.",
            )
        return db

    def _rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        with self._turn, store_errors(self.path):
            return list(self._db.query(sql, values))

    def _one(self, sql: str, **values: Any) -> Any:
        """The only value of the only row."""
        return next(iter(self._rows(sql, **values)[0].values()))

    def get(self, kind: str, id: str) -> dict[str, Any] | None:
        """One record with `hidden` ("" or why it is not shown) and `flagged`; None if there is no such id."""
        found = self._rows(f"SELECT {_COLUMNS[kind]} FROM {_FROM[kind]} WHERE t.id = :id", id=id)
        return found[0] if found else None

    def page(
        self,
        kind: str,
        offset: int = 0,
        limit: int = 100,
        filter_text: str = "",
        sort: str | None = None,
        descending: bool = False,
        include_retired: bool = False,
    ) -> list[dict[str, Any]]:
        """Records `offset` to `offset + limit` as dicts, oldest first unless sorted (see SORTS) or `descending`.

        Rows of "comparisons" also carry their pair's prompt, turns, a, b and meta; their own is `judgement_meta`. In
        the order of time and without a filter a page is found by its number, however many records there are.
        """
        where = self._where(kind, filter_text, include_retired)
        direction = "DESC" if descending else "ASC"
        order = f"ORDER BY {self._sort_key(kind, sort)} {direction}, t.row {direction}"
        select = f"SELECT {_COLUMNS[kind]} FROM {_FROM[kind]}"
        if filter_text or sort not in (None, "created"):
            values = {"like": like_pattern(filter_text), "limit": limit, "offset": offset}
            return self._rows(f"{select} WHERE {where} {order} LIMIT :limit OFFSET :offset", **values)
        start = self._row_at(kind, offset, descending, include_retired)
        edge = "t.row <= :start" if descending else "t.row >= :start"
        return self._rows(f"{select} WHERE {edge} AND {where} {order} LIMIT :limit", start=start, limit=limit)

    def count(self, kind: str, filter_text: str = "", include_retired: bool = False) -> int:
        if filter_text:
            where = self._where(kind, filter_text, include_retired)
            return int(self._one(f"SELECT count(*) FROM {_FROM[kind]} WHERE {where}", like=like_pattern(filter_text)))
        return self._last_row(kind) - self._hidden_between(kind, 1, self._last_row(kind), include_retired)

    def next_pairs(
        self, limit: int = 1, skip_ids: tuple[str, ...] | list[str] = (), no_person_yet: bool = False
    ) -> list[dict[str, Any]]:
        """Pairs without a standing judgement, oldest first; those in `skip_ids` are passed over.

        `no_person_yet` adds those that only a rule, a model or an import has judged; `said`, `said_strength` and
        `said_source` tell what was said.
        """
        if no_person_yet:
            sql = (
                "SELECT p.*, c.winner AS said, c.strength AS said_strength, c.source AS said_source "
                "FROM verdicts AS v INDEXED BY verdicts_unheard CROSS JOIN pairs AS p ON p.row = v.pair "
                "LEFT JOIN comparisons AS c ON c.row = v.judgement "
                "WHERE v.hidden = 0 AND v.source <> 'human' ORDER BY v.pair LIMIT :limit"
            )
        else:
            sql = (
                "SELECT p.* FROM verdicts AS v INDEXED BY verdicts_pending CROSS JOIN pairs AS p ON p.row = v.pair "
                "WHERE v.judgement IS NULL AND v.hidden = 0 ORDER BY v.pair LIMIT :limit"
            )
        found = self._rows(sql, limit=limit + len(skip_ids))
        passed = set(skip_ids)
        return [pair for pair in found if pair["id"] not in passed][:limit]

    def judged_by_people(self) -> dict[str, int]:
        """How many pairs stand at each winner because a person said so, and under "" how many no person has judged."""
        found = self._rows("SELECT winner, pairs FROM people_tallies")
        return dict.fromkeys(("", *WINNERS), 0) | {row["winner"]: row["pairs"] for row in found}

    def tally(self) -> dict[str, int]:
        """How many pairs stand at each winner, and under "" how many wait to be judged."""
        found = self._rows("SELECT winner, pairs FROM tallies")
        return dict.fromkeys(("", *WINNERS), 0) | {row["winner"]: row["pairs"] for row in found}

    def progress(self) -> tuple[int, int, int]:
        """(judged, total, skipped): pairs with a standing judgement other than a skip, all pairs, skipped pairs."""
        tally = self.tally()
        total = sum(tally.values())
        return total - tally[""] - tally["skip"], total, tally["skip"]

    def standing_comparisons(self) -> Iterator[dict[str, Any]]:
        """The judgement that counts of each pair judged a, b or tie, with the pair's texts; retired ones left out."""
        yield from self._each(
            f"SELECT {_COLUMNS['comparisons']} FROM verdicts AS v JOIN comparisons AS t ON t.row = v.judgement "
            "JOIN pairs AS p ON p.id = t.pair_id "
            "LEFT JOIN standings AS s ON s.kind = 'comparisons' AND s.record = t.row "
            f"WHERE v.hidden = 0 AND v.winner IN ('a', 'b', 'tie') AND {_VISIBLE} ORDER BY t.row"
        )

    def records(self, kind: str) -> Iterator[Record]:
        """What can be trained on, in the order it was said. A tie is a comparison of strength 0; a skip is none."""
        if kind == "comparisons":
            yield from (_comparison(row) for row in self.standing_comparisons())
            return
        sql = f"SELECT {_COLUMNS[kind]} FROM {_FROM[kind]} WHERE {_VISIBLE} ORDER BY t.row"
        yield from (_MADE[kind](row) for row in self._each(sql))

    def ai_comparisons(self, alone: bool = False) -> Iterator[Comparison]:
        """What models said last of each pair, skips and what was taken back left out, in the order it was said.

        Judgements by people, rules and imports on the same pairs make no difference, unless only pairs are meant on
        which a model stands `alone`.
        """
        stands = "v.source = 'model'" if alone else "1"
        sql = (
            f"SELECT {_COLUMNS['comparisons']} FROM {_FROM['comparisons']} JOIN verdicts AS v ON v.pair = p.row "
            "WHERE t.source = 'model' AND t.undoes = '' AND t.winner IN ('a', 'b', 'tie') "
            f"AND v.hidden = 0 AND {stands} "
            "AND coalesce(s.hidden, '') IN ('', 'replaced') AND t.row = (SELECT max(u.row) FROM comparisons AS u "
            "WHERE u.pair_id = t.pair_id AND u.source = 'model' AND u.undoes = '') ORDER BY t.row"
        )
        for row in self._each(sql):
            made = _comparison(row)
            assert isinstance(made, Comparison)
            yield made

    def count_by_models(self) -> int:
        """How many labels models have given; an estimate where some were taken back."""
        sql = "SELECT count(*) FROM comparisons INDEXED BY comparisons_author WHERE source = 'model' AND undoes = ''"
        return int(self._one(sql))

    def judges_told(self) -> dict[str, Any]:
        """The templates and principles of all labels by models, for a dataset's card."""
        templates: dict[str, None] = {}
        principles: dict[str, None] = {}
        sql = "SELECT meta FROM comparisons INDEXED BY comparisons_author WHERE source = 'model'"
        for row in self._each(sql):
            meta = unpack_meta(row["meta"])
            templates.update(dict.fromkeys(filter(None, [str(meta.get("template", ""))])))
            said = meta.get("principles")
            principles.update(dict.fromkeys(said if isinstance(said, dict) else {}))
        return {"templates": list(templates), "principles": list(principles)}

    def models(self) -> list[dict[str, Any]]:
        """Models that people added: id, ref, title, created (seconds since 1970)."""
        return self._rows(
            "SELECT t.* FROM models AS t LEFT JOIN standings AS s ON s.kind = 'models' AND s.record = t.row "
            f"WHERE {_VISIBLE} ORDER BY t.row"
        )

    def _each(self, sql: str, **values: Any) -> Iterator[dict[str, Any]]:
        with store_errors(self.path):
            yield from self._db.query(sql, values)

    def _where(self, kind: str, filter_text: str, include_retired: bool) -> str:
        shown = "coalesce(s.hidden, '') IN ('', 'retired')" if include_retired else _VISIBLE
        if not filter_text:
            return shown
        found = _matches(SEARCHED[kind])
        if kind == "comparisons":  # one walk through the pairs, rather than a jump to one for each judgement
            found += f" OR t.pair_id IN (SELECT q.id FROM pairs AS q WHERE {_matches(SEARCHED_PAIR)})"
        return f"{shown} AND ({found})"

    def _sort_key(self, kind: str, sort: str | None) -> str:
        if sort is None:
            return "t.row"
        key = SORTS[sort]
        return key.replace("t.", "p.") if kind == "comparisons" and sort in ("prompt", "a", "b") else key

    def _last_row(self, kind: str) -> int:
        return int(self._one(f"SELECT max(row) FROM {kind}") or 0)  # a bare max() is looked up, anything more is a scan

    def _hidden_between(self, kind: str, first: int, last: int, include_retired: bool) -> int:
        but = "AND hidden <> 'retired'" if include_retired else ""
        sql = (
            "SELECT count(*) FROM standings INDEXED BY standings_hidden "
            f"WHERE kind = :kind AND record BETWEEN :first AND :last AND hidden <> '' {but}"
        )
        return int(self._one(sql, kind=kind, first=first, last=last))

    def _row_at(self, kind: str, offset: int, descending: bool, include_retired: bool) -> int:
        """The row number of the visible record at `offset`, by halving: numbers have no gaps but the hidden ones."""
        last = self._last_row(kind)
        low, high = 0, last  # how many rows to pass over from the end that comes first

        def visible_before(passed: int) -> int:
            first, final = (last - passed + 1, last) if descending else (1, passed)
            return passed - self._hidden_between(kind, first, final, include_retired)

        if not self._hidden_between(kind, 1, last, include_retired):
            low = min(offset, last)
            return last - low if descending else low + 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if visible_before(middle) < offset else (low, middle)
        return last - low if descending else low + 1


def _matches(columns: tuple[str, ...]) -> str:
    return " OR ".join(f"{column} LIKE :like ESCAPE '\\'" for column in columns)


def like_pattern(text: str) -> str:
    """For LIKE ... ESCAPE '\\': what contains `text` as it is."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _prompt(row: dict[str, Any]) -> PromptRecord:
    return PromptRecord(unpack_prompt(row["prompt"], row["turns"]), row["source"], row["id"])


def _demonstration(row: dict[str, Any]) -> Demonstration:
    return Demonstration(unpack_prompt(row["prompt"], row["turns"]), row["completion"], row["source"], row["id"])


def _comparison(row: dict[str, Any]) -> Comparison:
    chosen, rejected = (row["b"], row["a"]) if row["winner"] == "b" else (row["a"], row["b"])
    prompt = unpack_prompt(row["prompt"], row["turns"])
    strength = TIE if row["winner"] == "tie" else row["strength"]
    made = Comparison(prompt, chosen, rejected, strength, row["source"], row["id"])
    if row["source"] not in ("human", "model"):  # a rule has seen no sides, and an import does not say
        return made
    first = "rejected" if (row["winner"] == "b") == (row["left_side"] == "a") else "chosen"
    session = str(unpack_meta(row["judgement_meta"]).get("session", ""))
    return replace(made, first=first if row["seconds"] > 0 else "", annotator=row["author"], session=session)


def _rating(row: dict[str, Any]) -> Rating:
    prompt = unpack_prompt(row["prompt"], row["turns"])
    return Rating(prompt, row["completion"], bool(row["liked"]), row["source"], row["id"])


_MADE: dict[str, Callable[[dict[str, Any]], Record]] = {
    "prompts": _prompt,
    "demonstrations": _demonstration,
    "ratings": _rating,
}
