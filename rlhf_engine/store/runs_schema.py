"""The tables of runs.db, how they came to be, and how the file is opened. Migrations are only ever appended."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from rlhf_engine.contract.errors import DiskFull, StoreError
from rlhf_engine.store.migrations import Step, migrate, require_known, version_of

MIGRATIONS: tuple[Step, ...] = (
    (
        """
        create table runs (
            id text primary key, task text not null, name text not null, note text not null, spec text not null,
            state text not null, created real not null, ended real, step integer not null, total integer not null,
            metrics text not null, message text not null, hint text not null
        )
        """,  # metrics: the last value of each, as JSON
        """
        create table events (
            run_id text not null, seq integer not null, kind text not null, line text not null,
            primary key (run_id, seq)
        )
        """,
        "create index events_by_kind on events (run_id, kind)",
    ),
)


def open_for_writing(path: Path) -> Database:
    """The file, made or brought up to date. WAL: readers never wait for the writer, nor it for them.

    Raises:
        StoreError: the file is damaged, or a newer version wrote it.
    """
    with sqlite_errors(path):
        # The reporter serialises its callers, but a download's progress may speak from another thread than the run.
        db = Database(sqlite3.connect(path, timeout=10, check_same_thread=False), execute_plugins=False)
        try:
            db.execute("pragma trusted_schema=off")
            db.enable_wal()
            # A commit survives kill -9; what must also survive a power cut is committed at synchronous=full.
            db.execute("pragma synchronous=normal")
            _require_plain(db, path)
            migrate(db, MIGRATIONS, path)
        except BaseException:
            db.close()
            raise
        return db


def open_for_reading(path: Path) -> Database | None:
    """The file, read-only; None while nothing has been written yet."""
    if not path.exists():
        return None
    with sqlite_errors(path):
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
        connection = sqlite3.connect(address, uri=True, timeout=10, check_same_thread=False)
        db = Database(connection, recursive_triggers=False, execute_plugins=False)
        try:
            db.execute("pragma trusted_schema=off")
            _require_plain(db, path)
            require_known(db, MIGRATIONS, path)
            current = version_of(db) == len(MIGRATIONS)
        except BaseException:
            db.close()
            raise
        if not current:  # being made, or old: only a writer may bring it up to date
            db.close()
            return None
        return db


def _require_plain(db: Database, path: Path) -> None:
    """A project may come from a stranger: nothing in its databases may act by itself."""
    foreign = next(db.query("select name from sqlite_master where type in ('trigger', 'view')"), None)
    if foreign:
        raise StoreError(f"{path} contains {foreign['name']!r}, which this program never writes.", "Do not open it.")


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if "disk is full" in str(error):
            raise DiskFull(f"The disk is full while writing {path}.") from error
        if "locked" in str(error):
            hint = "Close what else has it open, such as a database browser or a backup, and try again."
            raise StoreError(f"{path} is being written by another program.", hint) from error
        hint = "Check that the disk is there and may be written; a copy of the file may help to rescue what it holds."
        raise StoreError(f"{path} cannot be used: {error}.", hint) from error
