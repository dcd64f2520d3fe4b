"""The tables of runs.db, how they came to be, and how the file is opened. Migrations are only ever appended."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from rlhf_engine.contract.errors import DiskFull, StoreError


def _first_tables(db: Database) -> None:
    db.table("runs").create(
        {
            "id": str,
            "task": str,
            "name": str,
            "note": str,
            "spec": str,
            "state": str,
            "created": float,
            "ended": float,
            "step": int,
            "total": int,
            "metrics": str,  # the last value of each, as JSON
            "message": str,
            "hint": str,
        },
        pk="id",
        not_null={"id", "task", "name", "note", "spec", "state", "created", "step", "total", "metrics"},
    )
    db.table("events").create(
        {"run_id": str, "seq": int, "kind": str, "line": str},
        pk=("run_id", "seq"),
        not_null={"kind", "line"},
    )
    db.table("events").create_index(["run_id", "kind"])


MIGRATIONS: tuple[Callable[[Database], None], ...] = (_first_tables,)


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
            for number in range(version(db, path), len(MIGRATIONS)):
                with db.atomic():
                    MIGRATIONS[number](db)
                    db.execute(f"pragma user_version={number + 1}")
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
            found = version(db, path)
        except BaseException:
            db.close()
            raise
        if found < len(MIGRATIONS):  # being made, or old: only a writer may bring it up to date
            db.close()
            return None
        return db


def version(db: Database, path: Path) -> int:
    found = int(db.execute("pragma user_version").fetchone()[0])
    if found > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer version (format {found}; this one knows up to {len(MIGRATIONS)}).",
            "Open the project with the newer version.",
        )
    return found


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if "disk is full" in str(error):
            raise DiskFull(f"The disk is full while writing {path}.") from error
        hint = "Check that the disk is there and may be written; a copy of the file may help to rescue what it holds."
        raise StoreError(f"{path} cannot be used: {error}.", hint) from error
