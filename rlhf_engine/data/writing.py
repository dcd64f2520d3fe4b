"""Writing records to a file: JSONL and Parquet without loss; CSV for spreadsheets, which must not run what is in it.

A spreadsheet runs a cell that begins like a formula (CSV injection). Such a cell gets one apostrophe in front, which
spreadsheets take for "this is text"; so does one that begins with apostrophes and then like a formula, so that reading
takes exactly one away and the way back is exact. `reading` knows our own CSV by its columns `prompt` and `turns`.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import DataError, DiskFull
from rlhf_engine.data.records import Record, kind_of, pack_prompt

FORMATS = ("jsonl", "parquet", "csv")
# A spreadsheet takes a cell for a formula when it begins so, also behind quotes and spaces, also in full width.
_FORMULA = re.compile(r"'*[\s\"'\ufeff]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]|'*[\t\r\n]")
_GUARD = "'"
_BATCH = 4096  # rows of Parquet that are in memory at once


def write(records: Iterable[Record], path: Path | str, layout: str = "auto") -> int:
    """Write records and return how many. `layout` is jsonl, parquet, csv, or auto: by the file's name.

    The file appears when it is complete; one that was there before stays until then. `reading.read` gives the same
    records back from each of the three.

    Raises:
        DataError: a name that says no layout, or no records. DiskFull: no space left.
    """
    path = Path(path).expanduser()
    layout = path.suffix.lower().lstrip(".") if layout == "auto" else layout
    writers = {"jsonl": _jsonl, "parquet": _parquet, "csv": _csv}
    if layout not in writers:
        raise DataError(f"{path} cannot be written as {layout!r}.", f"Known are {', '.join(FORMATS)}.")
    rows = iter(records)
    first = next(rows, None)
    if first is None:
        raise DataError(f"There are no records to write to {path}.")
    with written_aside(path) as unfinished:
        return writers[layout](_chain(first, rows), unfinished)


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A file beside `path` to write, which takes its name once it is whole and on the disk.

    Raises:
        DataError: it cannot be written. DiskFull: no space left.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        if error.errno == 28:
            raise DiskFull(f"There is no space left for {path}.") from error
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: one apostrophe goes in front where it is needed."""
    return _GUARD + cell if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """The cell that was guarded."""
    return cell[1:] if cell.startswith(_GUARD) and _FORMULA.match(cell[1:]) else cell


def _chain(first: Record, rest: Iterator[Record]) -> Iterator[Record]:
    yield first
    yield from rest


def _jsonl(records: Iterator[Record], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            body = asdict(record)
            # U+2028 and its like are legal in JSON, but some readers cut a line there.
            file.write(json.dumps(body, ensure_ascii=False).translate(_LINE_BREAKS) + "\n")
            count += 1
    return count


_LINE_BREAKS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def _csv(records: Iterator[Record], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for record in records:
            row = _flat(record)
            if not count:
                writer = csv.DictWriter(file, list(row), lineterminator="\n", quoting=csv.QUOTE_ALL)
                writer.writeheader()
            writer.writerow({name: _cell(value) for name, value in row.items()})
            count += 1
    return count


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return guarded(value) if isinstance(value, str) else value


def _parquet(records: Iterator[Record], path: Path) -> int:
    return write_parquet(map(_flat, records), path)


def write_parquet(rows: Iterable[dict[str, Any]], path: Path) -> int:
    """Rows as Parquet, a few thousand in memory at a time; how many. The first of them say what the columns hold.

    Raises:
        DataError: a later row holds something else than the first ones.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    source, count, writer = iter(rows), 0, None
    try:
        while batch := list(itertools.islice(source, _BATCH)):
            table = pa.Table.from_pylist(batch, writer.schema if writer else None)
            writer = writer or parquet.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            count += len(batch)
    except pa.ArrowException as error:
        said = str(error).splitlines()[0]
        raise DataError(f"Rows {count + 1:,} to {count + len(batch):,} cannot be written as Parquet: {said}") from error
    finally:
        if writer:
            writer.close()
    return count


def _flat(record: Record) -> dict[str, Any]:
    text, turns = pack_prompt(record.prompt)
    body = {"prompt": text, "turns": turns, **asdict(record)}
    body["prompt"] = text
    if kind_of(record) == "comparisons":
        body["strength"] = int(body["strength"])
    return body
