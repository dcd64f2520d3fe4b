"""Opening a database so that what is acknowledged survives a power cut, and saying in a sentence what went wrong."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from rlhf_engine.contract.errors import DiskFull, StoreDamaged, StoreError

_BUSY_MS = 5000


def open_database(path: Path, write: bool) -> Database:
    """A connection for one thread at a time. Only one connection of one process may be opened with `write`.

    Raises:
        StoreError: the file is missing (reading), damaged, or holds triggers or views, which none of ours do.
    """
    with store_errors(path):
        if not write and not path.is_file():
            raise StoreError(f"{path} does not exist.", "Choose a folder that holds a project.")
        uri = f"{path.resolve().as_uri()}?mode={'rwc' if write else 'ro'}"
        # isolation_level None: no statement opens a transaction that nobody asked for
        # Threads may take turns: whoever lets another one write sees to that (`Labels` holds a lock).
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False
        )
        try:
            db = Database(connection)
            db.execute("PRAGMA trusted_schema=OFF")
            db.execute("PRAGMA cell_size_check=ON")
            if write:
                db.enable_wal()
                db.execute("PRAGMA synchronous=FULL")
                db.execute("PRAGMA fullfsync=ON")  # only macOS knows it: fsync there does not reach the disk
            schema = db.query("SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')")
            foreign = [row["name"] for row in schema]
        except BaseException:
            connection.close()
            raise
        if foreign:
            connection.close()
            raise StoreError(f"{path} contains {foreign[0]!r}, which this program never writes.", "Do not open it.")
    return db


@contextmanager
def transaction(db: Database, path: Path) -> Iterator[None]:
    """All or nothing. The write lock is taken at the start, so that a reader cannot get in between."""
    with store_errors(path):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.commit()
        except BaseException:
            db.rollback()
            raise


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the disk say into errors that a person can act on."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text:
            raise DiskFull(f"There is no space left for {path}.", "Free some space and try again.") from error
        if "locked" in text:
            raise StoreError(f"{path} is being written by another program.", "Try again in a moment.") from error
        if "malformed" in text or "not a database" in text or "decode" in text:
            raise _damaged(path, text) from error
        raise StoreError(f"{path}: {text}.") from error
    except UnicodeDecodeError as error:  # in what SQLite says of its own tables
        raise _damaged(path, str(error)) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(f"There is no space left for {path}.", "Free some space and try again.") from error
        raise StoreError(f"{error.filename or path}: {error.strerror or error}.") from error


def _damaged(path: Path, what: str) -> StoreDamaged:
    hint = "Repair the project: its journal has a copy."
    return StoreDamaged(f"{path} is damaged: {what}.", hint, str(path.parent))


def sync_folder(folder: Path) -> None:
    """Wait until the folder itself is on the disk: which files are in it, under which names."""
    if os.name == "nt":  # a folder cannot be opened there, and renaming is journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
