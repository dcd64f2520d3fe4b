"""A first look at a file, on another thread: its rows, what they would become, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.reading import Preview, Reading, Rejected, preview, reading_of
from rlhf_engine.data.records import Record
from rlhf_engine.tasks.import_data.spec import ImportSpec

LOOKED_AT = 1000  # rows that are read to say what is wrong
_SHOWN = 200  # records that are kept to be shown


@dataclass(frozen=True, slots=True)
class Look:
    """What the first rows of a file would become. `error` says why they cannot be read at all."""

    kind: str = ""
    layout: str = ""
    records: list[Record] = field(default_factory=list)
    good: int = 0
    total: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    quoting: int = 0
    whole: bool = False
    error: DataError | None = None


def first_look(path: Path) -> Preview:
    """The first 50 rows. Raises DataError for a file that cannot be read."""
    return preview(path, 50)


def look(spec: ImportSpec, files: Sequence[Path]) -> Look:
    """Read the first thousand rows of the files as the import would."""
    try:
        reading, entries = reading_of(files, spec.kind, spec.layout, spec.columns, spec.examples, spec.pairs)
    except DataError as error:
        return Look(error=error)
    shown: list[Record] = []
    whole = False
    try:
        while reading.total < LOOKED_AT:
            entry = next(entries, None)
            if entry is None:
                whole = True
                break
            if isinstance(entry, Rejected):
                reading.rejected.append(entry)
            elif len(shown) < _SHOWN:
                shown.append(entry)
    except DataError as error:  # the file is damaged further on: what was read so far is shown all the same
        return _told(reading, shown, False, error)
    return _told(reading, shown, whole, None)


def _told(reading: Reading, shown: list[Record], whole: bool, error: DataError | None) -> Look:
    told = (shown, reading.kept, reading.total, reading.rejected[:LOOKED_AT], reading.quoting)
    return Look(reading.kind, reading.layout, *told, whole, error)
