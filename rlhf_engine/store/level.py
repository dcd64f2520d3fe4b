"""Bringing database and journal level when a project is opened: a crash may have come between the two.

Only the ends are compared; that what lies between is as it was written is for `store.repair` to find out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from rlhf_engine.store.database import store_errors, transaction
from rlhf_engine.store.journal import Entry, Journal, rows_beyond
from rlhf_engine.store.schema import FACTS, insert_sql, row_hash, stored_row
from rlhf_engine.store.snapshots import highest_rows


def bring_level(
    db: Database, path: Path, journal: Journal, journal_path: Path, restate: Callable[[str, dict[str, Any]], None]
) -> int:
    """Put into the one what only the other has. Returns how many rows came back from the journal.

    Were they left out, the next rows would get their numbers, and the journal two rows under one number.
    """
    with store_errors(path):
        there = highest_rows(db)
    back = 0
    if any(number > there.get(table, 0) for table, number in journal.reached.items()):
        with transaction(db, path):
            for table, row in rows_beyond(journal_path, journal.end, there):
                if table in FACTS and _fits(table, row):
                    cursor = db.execute(insert_sql(table), stored_row(table, row))
                    if cursor.rowcount == 1:
                        restate(table, row)
                        back += 1
    behind = {table: number for table, number in there.items() if number > journal.reached.get(table, 0)}
    if behind:
        with store_errors(path):
            missing: list[Entry] = []
            for table in behind:
                after = [journal.reached.get(table, 0)]
                rows = db.query(f"SELECT * FROM {table} WHERE row > ? ORDER BY row", after)
                missing += [(table, row) for row in rows if _fits(table, row)]
        journal.write(missing)
        journal.sync()
    return back


def _fits(table: str, row: dict[str, Any]) -> bool:
    try:
        return bool(row["hash"] == row_hash(table, row))
    except (KeyError, TypeError, ValueError):
        return False
