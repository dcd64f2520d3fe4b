"""How things stand, worked out from the facts: which judgement of a pair counts, and which records are not shown.

All of it can be thrown away and worked out again; it is kept so that no page and no next pair needs a search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from rlhf_engine.store.database import transaction
from rlhf_engine.store.judgement_meta import unpack_meta
from rlhf_engine.store.migrations import migrate, version_of
from rlhf_engine.store.schema import FACTS, STEPS, VOTES, standing_judgement

# No mark can change these.
_STRUCTURAL = ("replaced", "undone", "undo", "lost", "repeat", "seconded", "outvoted", "split")
_TABLES = ("prompts", "demonstrations", "pairs", "comparisons", "ratings", "models")


def hide_replaced(db: Database, kind: str, id: str) -> None:
    """A record has been said again: the old one is no longer shown."""
    _hide(db, kind, _row_of(db, kind, id), "replaced")


def hide_repeat(db: Database, rating: Mapping[str, Any]) -> None:
    """A rating that only shows how consistent a person is does not stand."""
    if _is_repeat(rating["meta"]):
        _hide(db, "ratings", rating["row"], "repeat")


def restate_pair(db: Database, pair_id: str) -> None:
    """Which of a pair's judgements counts now."""
    columns = "row, id, winner, undoes, source, author, meta"
    rows = list(db.query(f"SELECT {columns} FROM comparisons WHERE pair_id = ? ORDER BY row", [pair_id]))
    standing, hidden = standing_judgement(rows)
    for row, why in hidden.items():
        _hide(db, "comparisons", row, why)
    if standing and standing["row"] not in hidden:
        _hide(db, "comparisons", standing["row"], _marked(db, "comparisons", standing["id"]))
    pair = _row_of(db, "pairs", pair_id)
    if pair is not None:
        with _recount(db, pair):
            said = [standing["row"], standing["winner"], standing["source"]] if standing else [None, "", ""]
            db.execute("UPDATE verdicts SET judgement = ?, winner = ?, source = ? WHERE pair = ?", [*said, pair])


def bring_up_to_date(db: Database, path: Path) -> None:
    """Take the steps that are missing; where pairs were judged by several before votes counted, count them."""
    before = version_of(db)
    migrate(db, STEPS, path)
    if 0 < before < VOTES:
        several = "SELECT pair_id FROM comparisons GROUP BY pair_id HAVING count(DISTINCT source || ' ' || author) > 1"
        with transaction(db, path):
            for found in list(db.query(several)):
                restate_pair(db, found["pair_id"])


def await_verdict(db: Database, pair: int) -> None:
    """A new pair, by its row number, waits to be judged."""
    with _recount(db, pair):
        db.execute("INSERT INTO verdicts VALUES (?, NULL, '', 0, '')", [pair])


def restate_mark(db: Database, kind: str, id: str) -> None:
    """What the marks on a record make of it; the latest of each sort counts."""
    row = _row_of(db, kind, id)
    if row is None:
        return
    current = list(db.query("SELECT hidden FROM standings WHERE kind = ? AND record = ?", [kind, row]))
    hidden = current[0]["hidden"] if current else ""
    if kind == "ratings" and hidden in ("repeat", "retired"):  # what it is when nothing is said against it
        meta = next(iter(db.query("SELECT meta FROM ratings WHERE row = ?", [row])))["meta"]
        _hide(db, kind, row, _marked(db, kind, id) or ("repeat" if _is_repeat(meta) else ""))
    elif hidden not in _STRUCTURAL:
        _hide(db, kind, row, _marked(db, kind, id))
    flags = "SELECT mark FROM marks WHERE record_id = ? AND kind = ? AND mark IN ('flagged', 'unflagged')"
    latest = list(db.query(f"{flags} ORDER BY row DESC LIMIT 1", [id, kind]))
    if latest:
        db.execute(
            "INSERT INTO standings VALUES (?, ?, '', ?) ON CONFLICT DO UPDATE SET flagged = excluded.flagged",
            [kind, row, int(latest[0]["mark"] == "flagged")],
        )


def work_out_again(db: Database, lost: dict[str, set[int]]) -> None:
    """Forget all standings and derive them from the facts. `lost` are row numbers whose content is gone, by table."""
    db.execute("DELETE FROM standings")
    db.execute("DELETE FROM verdicts")
    db.execute("DELETE FROM tallies")
    db.execute("DELETE FROM people_tallies")
    for pair in list(db.query("SELECT row FROM pairs")):
        await_verdict(db, pair["row"])
    for kind in _TABLES:
        if "replaces" in FACTS[kind]:
            for found in list(db.query(f"SELECT replaces FROM {kind} WHERE replaces <> ''")):
                hide_replaced(db, kind, found["replaces"])
    for found in list(db.query("SELECT row, meta FROM ratings WHERE instr(meta, 'repeat_of') > 0")):
        hide_repeat(db, found)
    for found in list(db.query("SELECT DISTINCT pair_id FROM comparisons")):
        restate_pair(db, found["pair_id"])
    for kind, rows in lost.items():
        for row in rows:
            _hide(db, kind, row, "lost")
    for found in list(db.query("SELECT DISTINCT kind, record_id FROM marks")):
        if found["kind"] in _TABLES:
            restate_mark(db, found["kind"], found["record_id"])


def _row_of(db: Database, kind: str, id: str) -> int | None:
    found = list(db.query(f"SELECT row FROM {kind} WHERE id = ?", [id]))
    return int(found[0]["row"]) if found else None


def _is_repeat(meta: str) -> bool:
    return bool(unpack_meta(meta).get("repeat_of"))


def _marked(db: Database, kind: str, id: str) -> str:
    marks = "SELECT mark FROM marks WHERE record_id = ? AND kind = ? AND mark IN ('retired', 'restored', 'removed')"
    latest: list[dict[str, Any]] = list(db.query(f"{marks} ORDER BY row DESC LIMIT 1", [id, kind]))
    return "" if not latest or latest[0]["mark"] == "restored" else str(latest[0]["mark"])


def _hide(db: Database, kind: str, row: int | None, why: str) -> None:
    if row is None:
        return
    if why:
        put = "INSERT INTO standings VALUES (?, ?, ?, 0) ON CONFLICT DO UPDATE SET hidden = excluded.hidden"
        db.execute(put, [kind, row, why])
    else:  # a row only where there is something to say: most records are simply shown
        db.execute("UPDATE standings SET hidden = '' WHERE kind = ? AND record = ?", [kind, row])
    if kind == "pairs":
        with _recount(db, row):
            db.execute("UPDATE verdicts SET hidden = ? WHERE pair = ?", [int(bool(why)), row])


@contextmanager
def _recount(db: Database, pair: int) -> Iterator[None]:
    """Keep the tallies right while a pair's verdict changes."""
    _count(db, pair, -1)
    yield
    _count(db, pair, 1)


def _count(db: Database, pair: int, change: int) -> None:
    for table, winner in (
        ("tallies", "winner"),
        ("people_tallies", "CASE WHEN source = 'human' THEN winner ELSE '' END"),
    ):
        db.execute(
            f"INSERT INTO {table} SELECT {winner}, :change FROM verdicts WHERE pair = :pair AND hidden = 0 "
            "ON CONFLICT DO UPDATE SET pairs = pairs + excluded.pairs",
            {"pair": pair, "change": change},
        )
