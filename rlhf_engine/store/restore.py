"""Going back to a snapshot. Nothing is thrown away: what was there before is kept in `backups/` first."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.store.database import open_database, store_errors, sync_folder
from rlhf_engine.store.journal import replace_journal
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.migrations import require_known
from rlhf_engine.store.repair import Repair, journal_of, keep_copy, repair_labels, sound_rows
from rlhf_engine.store.schema import STEPS


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: `later` rows, said after the snapshot, came back from the journal."""

    snapshot: Path
    later: int
    repair: Repair  # of what came out
    kept: Path | None  # the labels as they were before


def restore_labels(path: Path, snapshot: Path, rewind: bool = False) -> Restored:
    """Put `snapshot` in the place of labels.db. Call it while holding the project's lock.

    With `rewind`, what was said after it leaves the journal too. Killed half-way it leaves the labels as they were, or
    as they are to be.
    """
    with store_errors(snapshot), contextlib.closing(open_database(snapshot, write=False)) as db:
        require_known(db, STEPS, snapshot)
    kept = keep_copy(path, "before-restore")
    journal = journal_of(path)
    unfinished = path.with_suffix(".new")
    try:
        with store_errors(path):
            shutil.copyfile(snapshot, unfinished)
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
            if rewind and journal.exists() and kept:
                shutil.copyfile(journal, kept.with_suffix(".journal.jsonl"))
            if rewind:
                replace_journal(journal, sound_rows(snapshot))
            _close_off(path)
            unfinished.replace(path)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    labels = Labels(path)
    later = labels.put_back
    labels.close()
    return Restored(snapshot, later, repair_labels(path), kept)


def _close_off(path: Path) -> None:
    """No write-ahead log may stay: SQLite would play it into the file that takes this one's place."""
    with contextlib.suppress(EngineError), contextlib.closing(open_database(path, write=True)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in (f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
