"""A second copy of every label, as lines of JSON: SQLite notices few of the bits that rot."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rlhf_engine.store.database import store_errors


class Journal:
    """Appends rows after they were committed. A line that a crash cut short is closed off, not written over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with store_errors(path):
            self._file = path.open("ab")
            if self._file.tell() and _last_byte(path) != b"\n":
                self._file.write(b"\n")

    def append(self, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Write (table, row) pairs and wait until they are on the disk."""
        lines = [json.dumps({"table": table, **row}, ensure_ascii=False).encode("utf-8") for table, row in rows]
        with store_errors(self._path):
            self._file.write(b"".join(line + b"\n" for line in lines))
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read_journal(path: Path) -> Iterator[tuple[str, dict[str, Any]] | None]:
    """The (table, row) pairs of a journal, None for a line that cannot be read; nothing for a missing file."""
    if not path.exists():
        return
    with store_errors(path), path.open("rb") as file:
        for line in file:
            yield _parse(line)


def _parse(line: bytes) -> tuple[str, dict[str, Any]] | None:
    try:
        row = json.loads(line)
        return str(row.pop("table")), row
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
