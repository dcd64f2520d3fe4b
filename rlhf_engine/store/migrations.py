"""Bringing a database up to date, one step at a time. Steps are only ever appended to; a newer file is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlite_utils import Database

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.store.database import transaction

Step = Sequence[str]  # SQL statements that belong together


def version_of(db: Database) -> int:
    """How many steps the database has seen."""
    return int(next(iter(db.query("PRAGMA user_version")))["user_version"])


def require_known(db: Database, steps: Sequence[Step], path: Path) -> None:
    """Raises StoreError for a database that a newer version of this program has written."""
    if version_of(db) > len(steps):
        raise StoreError(
            f"{path} has format {version_of(db)} and this program knows {len(steps)}: it was made by a newer version.",
            "Update the program to open it.",
        )


def migrate(db: Database, steps: Sequence[Step], path: Path) -> None:
    """Take the steps that are missing, each in a transaction of its own."""
    require_known(db, steps, path)
    for number, step in list(enumerate(steps, 1))[version_of(db) :]:
        with transaction(db, path):
            for statement in step:
                db.execute(statement)
            db.execute(f"PRAGMA user_version={number}")
