"""Reading a file of prompts, demonstrations or comparisons: every row becomes a record, or is named with the reason.

No torch, and pyarrow only for Parquet: the window previews files with this.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.files import Rejected, Row, format_of, rows_of
from rlhf_engine.data.layouts import FIELDS, LAYOUTS, Fault, fields_in, kind_in, layout_of, record_of
from rlhf_engine.data.records import KINDS, Record, fault_in
from rlhf_engine.data.writing import unguarded

__all__ = ["Preview", "Reading", "Rejected", "preview", "read"]

_LOOK = 50  # rows by which a file is judged
_CONTROL_TEXT = re.compile(r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>")


@dataclass(slots=True)
class Reading:
    """What a file held: `len(records) + len(rejected) == total`.

    `columns` are our fields with the file's names for them. `control_text` are lines of records that quote a model's
    control tokens; they are kept, and always tokenised as ordinary text.
    """

    kind: str
    layout: str
    columns: dict[str, str]
    records: list[Record] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    total: int = 0
    control_text: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows of a file as they stand, and how `read` would understand them; "" where it would not."""

    columns: list[str]
    rows: list[Row]
    kind: str
    layout: str
    mapping: dict[str, str]
    rejected: list[Rejected]


def read(
    path: Path | str, kind: str = "auto", layout: str = "auto", columns: Mapping[str, str] | None = None
) -> Reading:
    """Read a whole file. `columns` maps our fields (see layouts.FIELDS) to the file's names and replaces guessing.

    Raises:
        DataError: the file cannot be read or understood as a whole. Rows that cannot be used are in `rejected`.
    """
    reading, records = reading_of(path, kind, layout, columns)
    reading.records.extend(records)
    return reading


def reading_of(
    path: Path | str, kind: str = "auto", layout: str = "auto", columns: Mapping[str, str] | None = None
) -> tuple[Reading, Iterator[Record]]:
    """Like `read`, but the records come one by one, and the Reading's counts grow as they do."""
    path = Path(path).expanduser()
    format = format_of(path)
    rows = rows_of(path, format)
    seen = list(itertools.islice(rows, _LOOK))
    first = [found[1] for found in seen if not isinstance(found, Rejected)]
    layout = "text" if (layout, format) == ("auto", "text") else layout
    fields, layout = _understand(path, first, layout, dict(columns or {}))
    if kind == "auto":
        kind = kind_in(layout, fields)
    if kind not in KINDS:
        raise DataError(f"There is no kind of record {kind!r}.", f"Known are {', '.join(KINDS)}.")
    if first and kind == "comparisons" and kind_in(layout, fields) != kind:
        raise DataError(
            f"{path} needs to hold comparisons but has no two answers to a prompt: its columns are {_names(first)}.",
            "Say which columns are the chosen and the rejected answer.",
        )
    if first and kind == "demonstrations" and kind_in(layout, fields) == "prompts":
        raise DataError(
            f"{path} needs to hold demonstrations but has only prompts: its columns are {_names(first)}.",
            "Say which column is the completion.",
        )
    reading = Reading(kind, layout, fields)
    # `writing` guards the cells of a CSV; by these two columns one of ours is known
    guarded = format == "csv" and {"turns", "prompt"} <= fields.keys()
    return reading, _records(reading, itertools.chain(seen, rows), guarded)


def preview(path: Path | str, rows: int = 50) -> Preview:
    """Look at the beginning of a file. Raises DataError only where the file cannot be read at all."""
    path = Path(path).expanduser()
    format = format_of(path)
    seen = list(itertools.islice(rows_of(path, format), rows))
    first = [found[1] for found in seen if not isinstance(found, Rejected)]
    fields = fields_in(_columns(first))
    layout = "text" if format == "text" else layout_of(fields, first)
    kind = kind_in(layout, fields) if layout else ""
    rejected = [found for found in seen if isinstance(found, Rejected)]
    return Preview(_columns(first), first, kind, layout, fields, rejected)


def _records(reading: Reading, rows: Iterator[tuple[int, Row] | Rejected], guarded: bool) -> Iterator[Record]:
    for found in rows:
        reading.total += 1
        if isinstance(found, Rejected):
            reading.rejected.append(found)
            continue
        line, row = found
        named = {field: row[name] for field, name in reading.columns.items() if name in row}
        if guarded:
            named = {field: unguarded(value) if isinstance(value, str) else value for field, value in named.items()}
        try:
            record = record_of(reading.kind, reading.layout, named)
        except Fault as fault:
            reading.rejected.append(Rejected(line, fault.field, fault.reason))
            continue
        if fault_found := fault_in(record):
            reading.rejected.append(Rejected(line, *fault_found))
            continue
        if _CONTROL_TEXT.search(str(record)):
            reading.control_text.append(line)
        yield record


def _understand(path: Path, first: list[Row], layout: str, columns: dict[str, str]) -> tuple[dict[str, str], str]:
    there = _columns(first)
    for ours, theirs in columns.items():
        if ours not in FIELDS:
            raise DataError(f"{ours!r} is none of our fields.", f"They are {', '.join(FIELDS)}.")
        if first and theirs not in there:
            raise DataError(f"{path} has no column {theirs!r} for {ours!r}.", f"It has {_names(first)}.")
    fields = columns or fields_in(there)
    if not first:
        return fields, "text" if layout == "auto" else layout
    if layout == "auto":
        layout = layout_of(fields, first)
        if not layout:
            raise DataError(
                f"{path} is in no layout that is known: its columns are {_names(first)}.",
                "Say which column holds the prompt, and which the completion or the chosen and rejected answers.",
            )
    elif layout not in LAYOUTS:
        raise DataError(f"There is no layout {layout!r}.", f"Known are auto, {', '.join(LAYOUTS)}.")
    elif not any(needed <= fields.keys() for needed in LAYOUTS[layout]):
        needed = " or ".join(" and ".join(sorted(names)) for names in LAYOUTS[layout])
        raise DataError(f"{path} cannot be in the layout {layout}: it has no {needed}.", f"It has {_names(first)}.")
    return fields, layout


def _columns(rows: list[Row]) -> list[str]:
    """All names of the rows, in the order in which they are met."""
    return list(dict.fromkeys(str(name) for row in rows for name in row))


def _names(rows: list[Row]) -> str:
    names = [repr(name[:40]) for name in _columns(rows)]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "") if names else "none"
