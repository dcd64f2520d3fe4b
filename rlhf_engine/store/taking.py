"""Labels that a run has written into its folder, and how they come into labels.db, which a run never writes to.

A line of `labels.jsonl` is a fact with its id, so that taking it in twice changes nothing. A file that was taken in is
called `labels.taken.jsonl`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.errors import DataError, StoreError

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels

LABELS, TAKEN = "labels.jsonl", "labels.taken.jsonl"
SLICE = 200  # rows in one transaction


def write_labels(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write a run's labels into its folder: all or none."""
    folder.mkdir(parents=True, exist_ok=True)
    path, unfinished = folder / LABELS, folder / f".{LABELS}.new"
    with unfinished.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(path)
    return path


def waiting_labels(root: Path) -> list[Path]:
    """Files of a project's runs that nobody has taken in."""
    return sorted((Path(root) / "runs").glob(f"*/{LABELS}"))


def read_labels(path: Path) -> list[dict[str, Any]]:
    """The rows of such a file.

    Raises:
        DataError: it is damaged, with the line.
        StoreError: it cannot be read.
    """
    rows = []
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                row = json.loads(line)
                if not isinstance(row, dict) or row.get("kind") not in ("pairs", "comparisons") or not row.get("id"):
                    raise DataError(f"{path}, line {number} is no label.", "Do the run again.")
                rows.append(row)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{path}, line {len(rows) + 1} is damaged: {error}.", "Do the run again.") from error
    return rows


def taken(path: Path) -> None:
    """Note that a file has been taken in."""
    path.replace(path.with_name(TAKEN))


def take_in(labels: Labels, root: Path) -> int:
    """Take in everything that waits. Returns how many facts are new."""
    count = 0
    for path in waiting_labels(root):
        rows = read_labels(path)
        for start in range(0, len(rows), SLICE):
            count += labels.take(rows[start : start + SLICE])
        taken(path)
    return count
