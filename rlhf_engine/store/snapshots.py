"""Copies of labels.db as it was: when one is taken, and which are kept.

One is due after 50 labels, or 30 minutes after the last if anything was said since. All of the last two hours are
kept; then one an hour of the last two days, one a day of 12 days, one a week of 10 weeks, one a month of 9 months, as
Anki keeps its backups. If all of them take more than 5 GB the oldest go, but never the newest three.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlite_utils import Database

from rlhf_engine.contract.errors import DiskFull, StoreError
from rlhf_engine.store.database import open_database, store_errors, sync_folder
from rlhf_engine.store.schema import FACTS

LABELS, SECONDS = 50, 30 * 60
RECENT, HOURLY = timedelta(hours=2), timedelta(days=2)
DAYS, WEEKS, MONTHS = 12, 10, 9
MOST_BYTES, ALWAYS = 5 << 30, 3
_STAMP = "%Y%m%d-%H%M%S-%f"
_NAME = re.compile(r"labels-(\d{8}-\d{6}-\d{6})\.db")


@dataclass(frozen=True, slots=True)
class Snapshot:
    path: Path
    taken: datetime  # UTC

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


def list_snapshots(folder: Path) -> list[Snapshot]:
    """Newest first."""
    found = []
    for path in folder.glob("labels-*.db"):
        if name := _NAME.fullmatch(path.name):
            with contextlib.suppress(ValueError):  # 20261399 is somebody else's file
                found.append(Snapshot(path, datetime.strptime(name[1], _STAMP).replace(tzinfo=UTC)))
    return sorted(found, key=lambda snapshot: snapshot.taken, reverse=True)


def is_due(labels: int, seconds: float) -> bool:
    """Whether to take one: so many labels, and so many seconds, since the last."""
    return labels >= LABELS or (labels > 0 and seconds >= SECONDS)


def said_since_last(path: Path, folder: Path) -> tuple[int, float]:
    """How many facts labels.db has more than its last snapshot, and how many seconds old that one is."""
    newest = next(iter(list_snapshots(folder)), None)
    now, before = _facts(path), _facts(newest.path) if newest else 0
    age = (datetime.now(UTC) - newest.taken).total_seconds() if newest else float("inf")
    return max(0, now - before), max(0.0, age)


def take_snapshot(path: Path, folder: Path) -> Path:
    """Copy an open labels.db as it is now, in one piece, and return the copy. Copying the file itself loses rows.

    Others read and write meanwhile. May be called from any thread.
    """
    return copy_database(path, folder / f"labels-{datetime.now(UTC).strftime(_STAMP)}.db")


def copy_database(path: Path, copy: Path) -> Path:
    """What the database holds now, as a single file. Raises DiskFull before the disk is."""
    unfinished = copy.with_suffix(".unfinished")
    with store_errors(copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
        size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
        if shutil.disk_usage(copy.parent).free < size + (size >> 2) + (16 << 20):
            raise DiskFull(f"There is not enough space left for a copy of {path}.", "Free some space.")
        try:
            with contextlib.closing(open_database(path, write=False)) as db:
                unfinished.write_bytes(b"")  # says why, where it cannot be made; SQLite does not
                with contextlib.closing(sqlite3.connect(unfinished)) as target:
                    db.conn.backup(target)
                    target.execute("PRAGMA journal_mode=DELETE")  # one file, that can be read where nothing is written
            unfinished.replace(copy)
            sync_folder(copy.parent)
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
    return copy


def thin(folder: Path, now: datetime | None = None) -> list[Path]:
    """Delete the snapshots that are no longer kept, and return them."""
    found = list_snapshots(folder)
    kept = to_keep((snapshot.taken for snapshot in found), now or datetime.now(UTC))
    total, gone = 0, []
    for number, snapshot in enumerate(found):
        total += snapshot.bytes
        if snapshot.taken not in kept or (total > MOST_BYTES and number >= ALWAYS):
            total -= snapshot.bytes
            with store_errors(snapshot.path):
                snapshot.path.unlink(missing_ok=True)
            gone.append(snapshot.path)
    return gone


def to_keep(taken: Iterable[datetime], now: datetime) -> set[datetime]:
    """Which of these moments are kept. Of an hour, a day, a week or a month its newest stays."""
    kept: set[datetime] = set()
    spans: set[tuple[str, object]] = set()
    for moment in sorted(taken, reverse=True):
        age = now - moment
        year, week, _ = moment.isocalendar()
        names: list[tuple[str, object]] = [("newest", None)]
        if age <= HOURLY:
            names.append(("hour", (moment.date(), moment.hour)))
        if age <= timedelta(days=DAYS):
            names.append(("day", moment.date()))
        if age <= timedelta(weeks=WEEKS):
            names.append(("week", (year, week)))
        if age <= timedelta(days=31 * MONTHS):
            names.append(("month", (moment.year, moment.month)))
        if age <= RECENT or set(names) - spans:
            kept.add(moment)
            spans.update(names)
    return kept


def find_snapshot(folder: Path, name: str = "") -> Snapshot:
    """The newest, or the one whose name is or ends with `name`. Raises StoreError with what there is."""
    found = list_snapshots(folder)
    if not found:
        raise StoreError(f"{folder} holds no snapshots.", "Repair the project instead: its journal has a copy.")
    fitting = [snapshot for snapshot in found if not name or snapshot.name == Path(name).name.removesuffix(".db")]
    if not fitting:
        raise StoreError(f"There is no snapshot {name!r}.", f"The newest is {found[0].name}.")
    return fitting[0]


def _facts(path: Path) -> int:
    """How many facts a database holds: row numbers have no gaps."""
    with store_errors(path), contextlib.closing(open_database(path, write=False)) as db:
        return sum(highest_rows(db).values())


def highest_rows(db: Database) -> dict[str, int]:
    """By table; a file of an older version lacks the tables that came later."""
    there = {row["name"] for row in db.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {
        table: int(next(iter(db.query(f"SELECT max(row) AS n FROM {table}")))["n"] or 0)
        for table in FACTS
        if table in there
    }
