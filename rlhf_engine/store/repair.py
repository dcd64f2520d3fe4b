"""Finding labels that have rotted or gone, and putting them back from the journal.

`PRAGMA quick_check` looks at SQLite's own structure and sees few flipped bits, so every row's hash is worked out again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.store.database import open_database, store_errors, transaction
from rlhf_engine.store.journal import Journal, read_journal
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.migrations import migrate, version_of
from rlhf_engine.store.schema import ADDED, FACTS, STEPS, insert_sql, row_hash
from rlhf_engine.store.standings import work_out_again

Place = tuple[str, int]  # table and row number


@dataclass(slots=True)
class Check:
    """What is wrong with a project's labels. Rows are named by table and row number."""

    rows: int = 0
    structure: list[str] = field(default_factory=list)  # what SQLite says
    damaged: list[Place] = field(default_factory=list)  # their hash does not fit
    missing: list[Place] = field(default_factory=list)  # in the journal alone
    unjournaled: list[Place] = field(default_factory=list)  # in the database alone
    torn_lines: int = 0  # of the journal: cut short by a crash, or rotted
    lost: list[Place] = field(default_factory=list)  # known since an earlier repair, and hidden
    standings_wrong: bool = False  # what is worked out from the rows is not what the rows say

    @property
    def healthy(self) -> bool:
        """Rows that only the database has are no damage: a crash came between commit and journal."""
        return not (self.structure or self.damaged or self.missing or self.standings_wrong)

    def __str__(self) -> str:
        if self.healthy:
            return f"All {self.rows} rows are as they were written."
        parts = [
            f"{len(self.damaged)} rows have changed since they were written" if self.damaged else "",
            f"{len(self.missing)} rows are gone" if self.missing else "",
            f"SQLite reports: {self.structure[0]}" if self.structure else "",
            "which judgements count is not what the rows say" if self.standings_wrong else "",
        ]
        return f"{'; '.join(filter(None, parts))}."


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did. `lost` rows could not be put back: they are hidden, and their place is kept."""

    restored: int
    lost: list[Place]
    backup: Path | None


def check_labels(path: Path) -> Check:
    """Compare labels.db with its hashes and its journal. Reads only; may run in any thread, while others write."""
    check = Check()
    journal = _journal_by_place(path, check)
    try:
        db = open_database(path, write=False)
    except EngineError as error:
        check.structure.append(str(error))
        check.missing = sorted(journal)
        return check
    with contextlib.closing(db):
        # Rotten text may not be UTF-8; it must be seen, not raised.
        db.conn.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        try:
            said = [str(next(iter(row.values()))) for row in db.query("PRAGMA quick_check(20)")]
            check.structure = [line for line in said if line != "ok"]
            lost = {(row["kind"], row["record"]) for row in db.query("SELECT * FROM standings WHERE hidden = 'lost'")}
            check.lost = sorted(lost)
            seen = set()
            for place, row in _rows(db):
                check.rows += 1
                seen.add(place)
                told = journal.get(place)
                if place in lost and told is None:
                    continue
                if row["hash"] != _hash(place[0], row) or (told is not None and told["hash"] != row["hash"]):
                    check.damaged.append(place)
                elif told is None:
                    check.unjournaled.append(place)
            check.missing = sorted(journal.keys() - seen)
            if check.healthy:
                check.standings_wrong = _standings_differ(db, lost, path)
        except sqlite3.Error as error:
            check.structure.append(str(error))
            check.missing = sorted(journal)
    return check


def repair_labels(path: Path) -> Repair:
    """Put back from the journal what `check_labels` finds. Call it while holding the project's lock.

    A copy of labels.db as it was is kept in `backups/`. A file that SQLite itself can no longer read is made again from
    the journal alone.
    """
    check = check_labels(path)
    if check.healthy and not check.unjournaled and not check.torn_lines:
        return Repair(0, [], None)
    backup = _keep_copy(path)
    journal = _journal_by_place(path, Check())
    unjournaled = _still_readable(path, check.unjournaled)
    if check.structure:
        journal |= {(table, row["row"]): row for table, row in unjournaled}
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
        check.damaged, check.missing = [], sorted(journal)
    labels = Labels(path)
    try:
        db = labels._db
        restored, lost = 0, []
        with transaction(db, path):
            for table, number in check.damaged + check.missing:
                if told := journal.get((table, number)):
                    _put(db, table, told)
                    restored += 1
                else:
                    lost.append((table, number))
            hidden = {place for place in check.lost if place not in journal} | set(lost)
            gone = {table: {row for kind, row in hidden if kind == table} | _gaps(db, table) for table in FACTS}
            db.execute("REINDEX")
            work_out_again(db, gone)
        journal_file = Journal(labels.journal_path)
        journal_file.append(unjournaled)
        journal_file.close()
    finally:
        labels.close()
    return Repair(restored, lost, backup)


def snapshot_labels(path: Path, folder: Path) -> Path:
    """Copy an open labels.db as it is now, in one piece, and return the copy. Copying the file itself loses rows."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    copy = folder / f"{path.stem}-{stamp}.db"
    with store_errors(copy), contextlib.closing(open_database(path, write=False)) as db:
        unfinished = copy.with_suffix(".tmp")
        with contextlib.closing(sqlite3.connect(unfinished)) as target:
            db.conn.backup(target)
        unfinished.replace(copy)
    return copy


def _journal_by_place(path: Path, check: Check) -> dict[Place, dict[str, Any]]:
    """Rows of the journal whose own hash fits."""
    found = {}
    for entry in read_journal(path.with_name(f"{path.stem}.journal.jsonl")):
        if entry is None or entry[0] not in FACTS or entry[1].get("hash") != _hash(*entry):
            check.torn_lines += 1
            continue
        table, row = entry
        found[table, int(row["row"])] = row
    return found


def _standings_differ(db: Database, lost: set[Place], path: Path) -> bool:
    """Work the standings out again in a copy in memory, and compare."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        db.conn.backup(memory)
        copy = Database(memory)
        migrate(copy, STEPS, path)
        before = _standings(copy)
        copy.execute("BEGIN")
        work_out_again(copy, {table: {row for kind, row in lost if kind == table} for table in FACTS})
        copy.commit()
        return _standings(copy) != before


def _standings(db: Database) -> list[dict[str, Any]]:
    return [
        *db.query("SELECT * FROM standings WHERE hidden <> '' OR flagged <> 0 ORDER BY kind, record"),
        *db.query("SELECT * FROM verdicts NOT INDEXED ORDER BY pair"),
        *db.query("SELECT * FROM tallies WHERE pairs <> 0 ORDER BY winner"),
        *db.query("SELECT * FROM people_tallies WHERE pairs <> 0 ORDER BY winner"),
    ]


def _rows(db: Database) -> Iterator[tuple[Place, dict[str, Any]]]:
    """All facts. A file that has not been opened since this program was updated lacks the tables that came later."""
    there = {row["name"] for row in db.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
    whole = version_of(db) >= len(STEPS)
    for table in (table for table in FACTS if whole or table in there):
        for row in db.query(f"SELECT * FROM {table} NOT INDEXED ORDER BY row"):
            yield (table, row["row"]), row


def _still_readable(path: Path, places: list[Place]) -> list[tuple[str, dict[str, Any]]]:
    if not places:
        return []
    with contextlib.closing(open_database(path, write=False)) as db:
        sql = "SELECT * FROM {} WHERE row = ?"
        return [(table, next(iter(db.query(sql.format(table), [row])))) for table, row in places]


def _hash(table: str, row: dict[str, Any]) -> str:
    try:
        return row_hash(table, row)
    except (KeyError, TypeError, ValueError):
        return "unknown"


def _put(db: Database, table: str, row: dict[str, Any]) -> None:
    """A row of the journal in its old place, whatever is there now."""
    db.execute(f"DELETE FROM {table} WHERE row = ? OR id = ?", [row["row"], row["id"]])
    whole = {**ADDED.get(table, {}), **row}
    db.execute(insert_sql(table), {column: whole[column] for column in ("row", *FACTS[table])})


def _gaps(db: Database, table: str) -> set[int]:
    """Row numbers between 1 and the last that nothing has: pages are counted by number, so they are marked as lost."""
    there = Counter(row["row"] for row in db.query(f"SELECT row FROM {table}"))
    return set(range(1, max(there, default=0) + 1)) - there.keys()


def _keep_copy(path: Path) -> Path | None:
    folder = path.parent / "backups"
    try:
        return snapshot_labels(path, folder)
    except EngineError:  # too damaged for a copy by SQLite: the file as it is
        if not path.exists():
            return None
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / f"{path.stem}-damaged-{datetime.now(UTC).strftime('%Y%m%d-%H%M%S-%f')}.db"
        copy.write_bytes(path.read_bytes())
        return copy
