"""Reading files of prompts, demonstrations, comparisons or ratings: every row becomes a record, or is named with why.

No torch, and pyarrow only for Parquet: the window previews files with this.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.cells import Fault, turns_in_json
from rlhf_engine.data.entries import entries_of, rows_together
from rlhf_engine.data.files import files_in, format_of, rows_of
from rlhf_engine.data.layouts import FIELDS, LAYOUTS, fields_in, kind_in, layout_of
from rlhf_engine.data.lines import Rejected, Row
from rlhf_engine.data.records import KINDS, WHO_JUDGED, Record, fault_in, texts_of, turns_of
from rlhf_engine.data.scored import BEST_AND_WORST
from rlhf_engine.data.task_files import EXAMPLES
from rlhf_engine.data.writing import unguarded

__all__ = ["Preview", "Reading", "Rejected", "preview", "read"]

_LOOK = 50  # rows by which a file is judged
_LINES_KEPT = 100  # of those that quote control tokens
_CONTROL_TEXT = re.compile(r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>")


@dataclass(slots=True)
class Reading:
    """What the files held: `kept + left_out == total`, of which `records` and `rejected` hold all after `read`.

    `total` counts rows of the files; where a row holds several comparisons (a tree, a list of scored answers), or
    several rows make one, it counts those. `columns` are our fields with the first file's names for them. `quoting`
    records quote a model's control tokens, the first of them on the lines `control_text`; they are kept, and always
    tokenised as ordinary text.
    """

    kind: str
    layout: str
    columns: dict[str, str]
    records: list[Record] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    total: int = 0
    left_out: int = 0
    quoting: int = 0
    control_text: list[int] = field(default_factory=list)

    @property
    def kept(self) -> int:
        return self.total - self.left_out


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
    path: Path | str | Sequence[Path | str],
    kind: str = "auto",
    layout: str = "auto",
    columns: Mapping[str, str] | None = None,
    examples: int = EXAMPLES,
    pairs: str = BEST_AND_WORST,
) -> Reading:
    """Read a file, several, or all of a folder. `columns` maps our fields (see layouts.FIELDS) to the files' names and
    replaces guessing. `examples` is how many solved examples a prompt of a task file shows, `pairs` which of several
    answers to a prompt are compared.

    Raises:
        DataError: a file cannot be read or understood as a whole, or holds something else than those before it. Rows
            that cannot be used are in `rejected`.
    """
    reading, entries = reading_of(path, kind, layout, columns, examples, pairs)
    for entry in entries:
        if isinstance(entry, Rejected):
            reading.rejected.append(entry)
        else:
            reading.records.append(entry)
    return reading


def reading_of(
    path: Path | str | Sequence[Path | str],
    kind: str = "auto",
    layout: str = "auto",
    columns: Mapping[str, str] | None = None,
    examples: int = EXAMPLES,
    pairs: str = BEST_AND_WORST,
) -> tuple[Reading, Iterator[Record | Rejected]]:
    """Like `read`, but records and what is left out come one by one, and are not kept; only the Reading's counts are.

    The first file is understood at once, each later one when its turn comes.
    """
    paths = files_of(path)
    opened = _open(paths[0], kind, layout, dict(columns or {}))
    reading = Reading(opened.kind, opened.layout, opened.columns)
    if not paths[1:]:
        return reading, _entries(reading, opened, "", examples, pairs)

    def all_of_them() -> Iterator[Record | Rejected]:
        yield from _entries(reading, opened, paths[0].name, examples, pairs)
        for later in paths[1:]:
            next_ = _open(later, kind, layout, dict(columns or {}))
            if next_.kind != reading.kind:
                raise DataError(
                    f"{later} holds {next_.kind}, but {paths[0].name} {reading.kind}.",
                    "Import it by itself, or say what all of them hold.",
                )
            yield from _entries(reading, next_, later.name, examples, pairs)

    return reading, all_of_them()


def files_of(path: Path | str | Sequence[Path | str]) -> list[Path]:
    """The files that are meant: one, several, or those of a folder. Raises DataError for a folder without any."""
    given = [path] if isinstance(path, Path | str) else path
    paths = [Path(one).expanduser() for one in given]
    return [file for one in paths for file in (files_in(one) if one.is_dir() else [one])]


def preview(path: Path | str, rows: int = 50) -> Preview:
    """Look at the beginning of a file, or of the first one of a folder. Raises DataError only if it cannot be read."""
    path = files_of(path)[0]
    format = format_of(path)
    seen = list(itertools.islice(rows_of(path, format), rows))
    first = [found[1] for found in seen if not isinstance(found, Rejected)]
    fields = fields_in(_columns(first), first)
    layout = "text" if format == "text" else layout_of(fields, first)
    kind = kind_in(layout, fields, first) if layout else ""
    rejected = [found for found in seen if isinstance(found, Rejected)]
    return Preview(_columns(first), first, kind, layout, fields, rejected)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file whose first rows have been looked at, and what they were understood as."""

    kind: str
    layout: str
    columns: dict[str, str]
    rows: Iterator[tuple[int, Row] | Rejected]
    guarded: bool
    ours: bool  # written by `writing`, so that its ids are records'


def _open(path: Path, kind: str, layout: str, columns: dict[str, str]) -> _Opened:
    format = format_of(path)
    rows = rows_of(path, format)
    seen = list(itertools.islice(rows, _LOOK))
    first = [found[1] for found in seen if not isinstance(found, Rejected)]
    layout = "text" if (layout, format) == ("auto", "text") else layout
    fields, layout = _understand(path, first, layout, columns)
    if kind == "auto":
        kind = kind_in(layout, fields, first)
    if kind not in KINDS:
        raise DataError(f"There is no kind of record {kind!r}.", f"Known are {', '.join(KINDS)}.")
    if first:
        _require(path, kind, "comparisons" if "wrong" in fields else kind_in(layout, fields, first), first)
    # `writing` guards the cells of a CSV; by these two columns one of ours is known
    guarded = format == "csv" and {"turns", "prompt"} <= fields.keys()
    ours = layout == "native" and not columns and _is_ours(kind, _columns(first))
    return _Opened(kind, layout, fields, itertools.chain(seen, rows), guarded, ours)


def _is_ours(kind: str, columns: list[str]) -> bool:
    said = {field.name for field in dataclasses.fields(KINDS[kind])}
    there = set(columns) - {"turns"}
    return there in (said, said - set(WHO_JUDGED))  # files from before it was asked who judged


def _require(path: Path, kind: str, there: str, first: list[Row]) -> None:
    """Raise DataError where a file cannot hold what it should: a row is one record, and says no more than it says."""
    if kind == "comparisons" and there != kind:
        raise DataError(
            f"{path} needs to hold comparisons but has no two answers to a prompt: its columns are {_names(first)}.",
            "Say which columns are the chosen and the rejected answer.",
        )
    if kind == "ratings" and there == "comparisons":
        raise DataError(
            f"{path} holds comparisons, not ratings.",
            "Import it as comparisons: wherever ratings are needed, the better answer is then liked and the other not.",
        )
    if kind == "ratings" and there != kind:
        raise DataError(
            f"{path} needs to hold ratings but does not say which answers were liked: its columns are {_names(first)}.",
            "Say which column holds the answer, and which says whether it was liked (true or false), or its rating "
            "(1 to 5).",
        )
    if kind == "demonstrations" and there == "prompts":
        raise DataError(
            f"{path} needs to hold demonstrations but has only prompts: its columns are {_names(first)}.",
            "Say which column is the completion.",
        )


def _entries(reading: Reading, opened: _Opened, name: str, examples: int, pairs: str) -> Iterator[Record | Rejected]:
    """The records of one file and what is left out of it; `name` is told where it is one of several."""
    columns = opened.columns

    def rejected(line: int, field: str, reason: str) -> Rejected:
        reading.total += 1
        reading.left_out += 1
        theirs = columns.get(field, "")
        return Rejected(line, field, reason, name, theirs if theirs.casefold() != field else "")

    for found in rows_together(opened.layout, columns, _named(opened)):
        if isinstance(found, Rejected):
            yield rejected(found.line, found.field, found.reason)
            continue
        line, row = found
        try:
            entries = entries_of(reading.kind, opened.layout, row, examples, pairs)
        except Fault as fault:
            yield rejected(line, fault.field, fault.reason)
            continue
        for entry in entries:
            if isinstance(entry, Fault):
                yield rejected(line, entry.field, entry.reason)
            elif fault_found := fault_in(entry):
                yield rejected(line, *fault_found)
            else:
                if opened.ours:
                    entry = _as_written(entry, row)
                reading.total += 1
                if any(_CONTROL_TEXT.search(text) for text in texts_of(entry)):
                    reading.quoting += 1
                    if len(reading.control_text) < _LINES_KEPT:
                        reading.control_text.append(line)
                yield entry


def _as_written(record: Record, row: Row) -> Record:
    """What reading smooths elsewhere stays as it was in our own files: the id, no source, a prompt of a single turn."""
    about = {name: row[name] for name in ("id", "source") if isinstance(row.get(name), str)}
    exact = turns_in_json(row["turns"]) if row.get("turns") else row.get("prompt")
    if isinstance(exact, list) and exact == turns_of(record.prompt):
        about["prompt"] = exact
    return dataclasses.replace(record, **about)


def _named(opened: _Opened) -> Iterator[tuple[int, Row] | Rejected]:
    """The rows under our names."""
    columns = list(opened.columns.items())
    for found in opened.rows:
        if isinstance(found, Rejected):
            yield found
            continue
        line, row = found
        named = {field: row[column] for field, column in columns if column in row}
        if opened.guarded:
            named = {field: unguarded(value) if isinstance(value, str) else value for field, value in named.items()}
        if opened.ours:
            named["id"] = unguarded(str(row["id"])) if opened.guarded else row["id"]
        yield line, named


def _understand(path: Path, first: list[Row], layout: str, columns: dict[str, str]) -> tuple[dict[str, str], str]:
    there = _columns(first)
    for ours, theirs in columns.items():
        if ours not in FIELDS:
            raise DataError(f"{ours!r} is none of our fields.", f"They are {', '.join(FIELDS)}.")
        if first and theirs not in there:
            raise DataError(f"{path} has no column {theirs!r} for {ours!r}.", f"It has {_names(first)}.")
    fields = columns or fields_in(there, first)
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
