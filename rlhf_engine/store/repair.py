"""Finding labels that have rotted or gone, and putting them back from the journal and the snapshots.

`PRAGMA integrity_check` looks at SQLite's own structure and sees few flipped bits, so every row's hash is worked out
again, and rows and journal are counted against each other.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from rlhf_engine.contract.errors import DiskFull, EngineError, StoreError
from rlhf_engine.store.database import open_database, store_errors, transaction
from rlhf_engine.store.journal import REACHED, Entry, read_lines, replace_journal
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.migrations import migrate, require_known, version_of
from rlhf_engine.store.schema import FACTS, STEPS, insert_sql, row_hash, stored_row
from rlhf_engine.store.snapshots import copy_database, list_snapshots
from rlhf_engine.store.standings import bring_up_to_date, work_out_again

Place = tuple[str, int]  # table and row number


def counted(count: int, one: str, several: str) -> str:
    """The words for one, or those for several with the number in place of {}."""
    return one if count == 1 else several.format(f"{count:,}")


@dataclass(slots=True)
class Check:
    """What is wrong with a project's labels. Rows are named by table and row number."""

    rows: int = 0
    structure: list[str] = field(default_factory=list)  # what SQLite says
    damaged: list[Place] = field(default_factory=list)  # their hash does not fit
    missing: list[Place] = field(default_factory=list)  # in the journal alone, or known only by their number
    unjournaled: list[Place] = field(default_factory=list)  # in the database alone
    torn_lines: int = 0  # of the journal: cut short by a crash
    rotted_lines: int = 0  # of the journal: they cannot be read, and no crash explains it
    lost: list[Place] = field(default_factory=list)  # known since an earlier repair, and hidden
    standings_wrong: bool = False  # what is worked out from the rows is not what the rows say

    @property
    def healthy(self) -> bool:
        """Rows that only the database has are no damage: a crash came between commit and journal."""
        return not (self.structure or self.damaged or self.missing or self.standings_wrong or self.rotted_lines)

    def __str__(self) -> str:
        if self.healthy:
            return counted(self.rows, "The only row is as it was written.", "All {} rows are as they were written.")
        changed = ("has changed since it was written", "have changed since they were written")
        parts = [
            counted(len(self.damaged), f"1 row {changed[0]}", f"{{}} rows {changed[1]}") if self.damaged else "",
            counted(len(self.missing), "1 row is gone", "{} rows are gone") if self.missing else "",
            f"SQLite reports: {self.structure[0].rstrip('.')}" if self.structure else "",
            "which judgements count is not what the rows say" if self.standings_wrong else "",
            counted(self.rotted_lines, f"1 line of the journal {changed[0]}", f"{{}} lines of the journal {changed[1]}")
            if self.rotted_lines
            else "",
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
    journal, reached = _journal_by_place(path, check)
    seen: set[Place] = set()
    lost: set[Place] = set()
    try:
        db = open_database(path, write=False)
    except EngineError as error:
        check.structure.append(str(error))
        check.missing = sorted(journal.keys() | _up_to(reached))
        return check
    with contextlib.closing(db):
        # Rotten text may not be UTF-8; it must be seen, not raised.
        db.conn.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        try:
            said = [str(next(iter(row.values()))) for row in db.query("PRAGMA integrity_check(20)")]
            check.structure = [line for line in said if line != "ok"]
            if not _as_we_made_it(db, path):
                check.structure.append("its tables are not those of this program")
            lost = {(row["kind"], row["record"]) for row in db.query("SELECT * FROM standings WHERE hidden = 'lost'")}
            check.lost = sorted(lost)
            for place, row in _rows(db):
                check.rows += 1
                seen.add(place)
                told = journal.get(place)
                if place in lost and told is None:
                    continue
                if row.get("hash") != _hash(place[0], row) or (told is not None and told["hash"] != row.get("hash")):
                    check.damaged.append(place)
                elif told is None:
                    check.unjournaled.append(place)
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from what SQLite says of its own tables
            check.structure.append(str(error))
        for table, number in seen:
            reached[table] = max(reached.get(table, 0), number)
        check.missing = sorted((journal.keys() | (_up_to(reached) - lost)) - seen)
        if check.healthy:
            try:
                check.standings_wrong = _standings_differ(db, lost, path)
            except (sqlite3.Error, UnicodeDecodeError, EngineError) as error:
                check.structure.append(str(error))
    return check


def repair_labels(path: Path) -> Repair:
    """Put back from journal and snapshots what `check_labels` finds. Call it while holding the project's lock.

    A copy of labels.db as it was is kept in `backups/`, and one of a journal with lines that cannot be read. A file
    that SQLite itself can no longer read is made again from the copies.

    Raises:
        StoreError: it is gone or unreadable, and there is no copy of anything. It is left as it is.
    """
    check = check_labels(path)
    if check.healthy and not check.unjournaled and not check.torn_lines:
        return Repair(0, [], None)
    copies, reached = _journal_by_place(path, Check())
    if check.structure and not check.rows and not journal_of(path).exists() and not _from_snapshots(path, (), None):
        raise StoreError(
            f"{check.structure[0].rstrip('.')}, and neither a journal nor a snapshot holds a copy.",
            "Put labels.db or its journal back from a backup of your own. Runs and datasets are still there.",
        )
    backup = keep_copy(path, "before-repair")
    unjournaled = _still_readable(path, check.unjournaled)
    wanted = check.damaged + check.missing
    if check.structure:
        copies |= {(table, row["row"]): row for table, row in unjournaled}
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
        copies |= _from_snapshots(path, copies.keys(), None)
        wanted = sorted(copies.keys() | _up_to(reached))
    else:
        copies |= _from_snapshots(path, copies.keys(), wanted)
    if check.torn_lines or check.rotted_lines:
        if check.rotted_lines:
            kept = path.parent / "backups" / f"{path.stem}-before-repair-{_stamp()}.journal.jsonl"
            with store_errors(kept):
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(journal_of(path), kept)
        tables = list(FACTS)
        order = sorted(copies, key=lambda place: (tables.index(place[0]), place[1]))
        replace_journal(journal_of(path), ((place[0], copies[place]) for place in order))
    labels = Labels(path)
    try:
        db = labels._db
        restored, lost = 0, []
        with transaction(db, path):
            for place in wanted:
                if copy := copies.get(place):
                    _put(db, place[0], copy)
                    restored += 1
                else:
                    lost.append(place)
            hidden = {place for place in check.lost if place not in copies} | set(lost)
            gone = {table: {row for kind, row in hidden if kind == table} | _gaps(db, table) for table in FACTS}
            db.execute("REINDEX")
            work_out_again(db, gone)
        told = _journal_by_place(path, Check())[0].keys()
        labels._journal.write((table, row) for table, row in sound_rows(path) if (table, row["row"]) not in told)
        labels._journal.sync()
    finally:
        labels.close()
    return Repair(restored, lost, backup)


def keep_copy(path: Path, why: str) -> Path | None:
    """A copy of labels.db as it is, in `backups/`, that is never thinned out; None when there is no file."""
    copy = path.parent / "backups" / f"{path.stem}-{why}-{_stamp()}.db"
    try:
        return copy_database(path, copy)
    except DiskFull:
        raise
    except EngineError:  # too damaged for a copy by SQLite: the file as it is
        if not path.exists():
            return None
        with store_errors(copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        return copy


def journal_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}.journal.jsonl")


def sound_rows(path: Path) -> Iterator[Entry]:
    """The rows of a database whose hash fits, table by table. What cannot be read is left out."""
    with contextlib.closing(open_database(path, write=False)) as db:
        db.conn.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        try:
            for (table, _), row in _rows(db):
                if row.get("hash") == _hash(table, row):
                    yield table, row
        except (sqlite3.Error, UnicodeDecodeError):
            return


def _journal_by_place(path: Path, check: Check) -> tuple[dict[Place, dict[str, Any]], dict[str, int]]:
    """Rows of the journal whose own hash fits, and up to which row of each table it says that it reaches."""
    found: dict[Place, dict[str, Any]] = {}
    reached: dict[str, int] = {}
    unreadable, marks = 0, 0
    doubtful: list[Place] = []
    for entry in read_lines(journal_of(path)):
        if entry is None or (entry[0] != REACHED and entry[1].get("hash") != _hash(*entry)):
            unreadable += 1
        elif entry[0] != REACHED:
            place = (entry[0], int(entry[1]["row"]))
            found[place] = entry[1]
            if unreadable:
                doubtful.append(place)
        else:
            reached |= {table: max(number, reached.get(table, 0)) for table, number in entry[1]["rows"].items()}
            check.rotted_lines += unreadable
            unreadable, marks, doubtful = 0, marks + 1, []
    if marks:  # what follows the last mark may be of a write that a crash cut short, and was never acknowledged
        check.torn_lines += unreadable
        for place in doubtful:
            found.pop(place, None)
    else:  # a journal of before there were marks: only its last line can have been cut short
        check.torn_lines += int(bool(unreadable) and not _ends_with_line_end(journal_of(path)))
        check.rotted_lines += unreadable - check.torn_lines
    return found, reached


def _from_snapshots(path: Path, known: Iterable[Place], wanted: Iterable[Place] | None) -> dict[Place, dict[str, Any]]:
    """Sound rows of the snapshots, the newest first: those `wanted`, or all, that are not `known` from elsewhere."""
    known = set(known)
    left = None if wanted is None else set(wanted) - known
    found: dict[Place, dict[str, Any]] = {}
    for snapshot in list_snapshots(path.parent / "backups"):
        if left is not None and not left:
            break
        try:
            rows = {(table, row["row"]): row for table, row in sound_rows(snapshot.path)}
        except EngineError:  # this one is damaged as well
            continue
        for place, row in rows.items():
            if place not in known and place not in found and (left is None or place in left):
                found[place] = row
        if left is not None:
            left -= found.keys()
    return found


def _standings_differ(db: Database, lost: set[Place], path: Path) -> bool:
    """Work the standings out again in a copy in memory, and compare."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        db.conn.backup(memory)
        copy = Database(memory)
        bring_up_to_date(copy, path)
        before = _standings(copy)
        copy.execute("BEGIN")
        work_out_again(copy, {table: {row for kind, row in lost if kind == table} for table in FACTS})
        copy.commit()
        return _standings(copy) != before


def _as_we_made_it(db: Database, path: Path) -> bool:
    """Whether the tables and indexes are those of the version that it says it has.

    Raises:
        StoreError: a newer version of this program made it.
    """
    version = version_of(db)
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        ours = Database(memory)
        migrate(ours, STEPS[:version], path)
        same = _schema(db) == _schema(ours)
    if version > len(STEPS) and not same:
        require_known(db, STEPS, path)
    return same and version <= len(STEPS)


def _schema(db: Database) -> list[dict[str, Any]]:
    return list(
        db.query("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
    )


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
    """A row of a copy in its old place, whatever is there now."""
    db.execute(f"DELETE FROM {table} WHERE row = ? OR id = ?", [row["row"], row["id"]])
    db.execute(insert_sql(table), stored_row(table, row))


def _gaps(db: Database, table: str) -> set[int]:
    """Row numbers between 1 and the last that nothing has: pages are counted by number, so they are marked as lost."""
    there = {row["row"] for row in db.query(f"SELECT row FROM {table}")}
    return set(range(1, max(there, default=0) + 1)) - there


def _up_to(reached: dict[str, int]) -> set[Place]:
    return {(table, number) for table, last in reached.items() if table in FACTS for number in range(1, last + 1)}


def _ends_with_line_end(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return True
    with store_errors(path), path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
