"""A second copy of every label, as lines of JSON: SQLite notices few of the bits that rot.

A line carries its row's hash and a sum over table, row number and hash. Between the lines of two writes stands a mark:
up to which row of each table the journal reaches. It is written once those before it are on the disk, so that the end
of the file alone tells whether journal and database are level, and what a crash cut short.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.store.database import store_errors, sync_folder

Entry = tuple[str, dict[str, Any]]  # a table and a row of it
Reached = dict[str, int]  # by table: the highest row number
REACHED = "reached"  # stands where the table's name stands in other lines
_START = re.compile(rb'\{"table": "(\w+)", "row": (\d+)')  # how every row's line begins
_TAIL = 1 << 16


class Journal:
    """Adds the rows of one write: `write` them, commit them to the database, `sync`; or `take_back`.

    Written before the commit, so that a full disk refuses both or neither. What a crash cut short was never
    acknowledged: it is cut off before the next write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with store_errors(path):
            self._file = path.open("ab", buffering=0)
            if not path.stat().st_size:  # the first mark tells it from journals of before there were any
                self._file.write(_mark({}))
                os.fsync(self._file.fileno())
                sync_folder(path.parent)
            self.reached, self.end, self._marked = _end_of(path)
            self._unclean = path.stat().st_size > self.end  # whether there may be something after `end`
        self._safe = self.reached  # as of the last `sync`
        self._batch: list[bytes] = []
        self._owed: list[bytes] = []  # committed, and written again with the next rows, since `sync` failed

    def write(self, rows: Iterable[Entry]) -> None:
        """Add lines, not yet safe. Raises DiskFull or StoreError with the journal as it was."""
        reached = dict(self.reached)
        batch = list(self._owed)
        for table, row in rows:
            batch.append(line_of(table, row))
            reached[table] = max(reached.get(table, 0), row["row"])
        if not batch:
            return
        try:
            with store_errors(self._path):
                self._tidy()
                self._unclean = True
                left = memoryview(b"".join([*self._marking(), *batch]))
                while left:
                    left = left[self._file.write(left) or 0 :]
        except BaseException:
            self.take_back()
            raise
        self._batch, self.reached = batch, reached

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        if not self._batch:
            return
        self._safe = self.reached
        try:
            with store_errors(self._path):
                os.fsync(self._file.fileno())
                self.end = os.fstat(self._file.fileno()).st_size
        except BaseException:
            self._owed = self._batch  # after a failed fsync nobody knows which of it is on the disk
            raise
        self._batch, self._owed = [], []
        self._unclean = self._marked = False

    def take_back(self) -> None:
        """Forget what was written since the last `sync`. Where that fails it is done before the next write."""
        self.reached, self._batch = self._safe, []
        with suppress(OSError):
            self._tidy()

    def close(self) -> None:
        with suppress(EngineError, OSError):  # whoever opens it next brings it level
            self.write([])
            self.sync()
            self._tidy()
            self._file.write(b"".join(self._marking()))
            os.fsync(self._file.fileno())
        self._file.close()

    def _marking(self) -> list[bytes]:
        """What must stand before the next rows."""
        return [] if self._marked else [_mark(self._safe)]

    def _tidy(self) -> None:
        if self._unclean:
            self._file.truncate(self.end)
            self._unclean = False


def line_of(table: str, row: Mapping[str, Any]) -> bytes:
    told = {"table": table, **row, "sum": _sum(table, row["row"], row["hash"])}
    return json.dumps(told, ensure_ascii=False).encode("utf-8") + b"\n"


def read_journal(path: Path) -> Iterator[Entry | None]:
    """The rows of a journal, None for a line that cannot be read; nothing for a missing file."""
    return (entry for entry in read_lines(path) if entry is None or entry[0] != REACHED)


def read_lines(path: Path) -> Iterator[Entry | None]:
    """As `read_journal`, and between the rows (REACHED, {"rows"}) for each mark."""
    if not path.exists():
        return
    with store_errors(path), path.open("rb") as file:
        for line in file:
            if line != b"\n":
                yield _parse(line) if line.endswith(b"\n") else None  # cut short, if only by its end


def rows_beyond(path: Path, end: int, reached: Reached) -> Iterator[Entry]:
    """The readable rows before `end` with a higher number than the table has in `reached`; only those are parsed."""
    with store_errors(path), path.open("rb") as file:
        for line in file:
            end -= len(line)
            if end < 0:
                return
            start = _START.match(line)
            if start and int(start[2]) > reached.get(start[1].decode(), 0) and (entry := _parse(line)):
                yield entry


def replace_journal(path: Path, rows: Iterable[Entry]) -> None:
    """Write a journal anew with these rows, and put it in the place of the old one in one step."""
    unfinished = path.with_suffix(".new")
    reached: Reached = {}
    try:
        with store_errors(path):
            with unfinished.open("wb") as file:
                for table, row in rows:
                    file.write(line_of(table, row))
                    reached[table] = max(reached.get(table, 0), row["row"])
                file.write(_mark(reached))  # the file takes its place only once all of it is on the disk
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _end_of(path: Path) -> tuple[Reached, int, bool]:
    """How far the journal reaches, its length without what a crash cut short, and whether its last line is a mark."""
    size = path.stat().st_size
    reached: Reached = {}
    any_mark = False
    torn: int | None = None  # where what cannot be read begins
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL))
        start = file.tell()
        tail = file.read().splitlines(keepends=True)
        marks = [n for n, line in enumerate(tail) if _is_mark(line)]
        if marks and marks[-1] == len(tail) - 1:
            return dict((_parse(tail[-1]) or ("", {}))[1]["rows"]), size, True
        lines: Iterable[bytes] = tail[marks[-1] :] if marks else file
        end = start + sum(map(len, tail[: marks[-1]])) if marks else 0
        file.seek(0)  # without a mark: a journal of before there were any, or a long write that was cut short
        for line in lines:
            entry = _parse(line) if line.endswith(b"\n") else None
            if entry is not None and entry[0] == REACHED:
                reached |= entry[1]["rows"]
                any_mark, torn = True, None  # all before it had been synced
            elif entry is None:
                torn = end if torn is None or not any_mark else torn
            elif torn is None or not any_mark:  # without marks only the last line can have been cut short
                reached[entry[0]] = max(reached.get(entry[0], 0), entry[1]["row"])
                torn = None
            end += len(line)
    return reached, size if torn is None else torn, not size


def _is_mark(line: bytes) -> bool:
    return line.startswith(b'{"table": "reached"') and line.endswith(b"\n") and _parse(line) is not None


def _mark(reached: Reached) -> bytes:
    rows = dict(sorted(reached.items()))
    return json.dumps({"table": REACHED, "rows": rows, "sum": _sum(REACHED, rows)}).encode("utf-8") + b"\n"


def _sum(*told: Any) -> str:
    return hashlib.sha256(json.dumps(told).encode("utf-8")).hexdigest()[:8]


def _parse(line: bytes) -> Entry | None:
    try:
        row = json.loads(line)
        table = str(row.pop("table"))
        said = row.pop("sum", None)
        if table == REACHED:
            return (table, row) if said == _sum(REACHED, row["rows"]) else None
        if said is not None and said != _sum(table, row["row"], row["hash"]):
            return None
        return table, row
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
