"""The rows of a file, one by one, with the line each begins on, whatever the format; a bad row costs only itself."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.annotations import unpacked
from rlhf_engine.data.lines import BOM, Rejected, Row, lines_of, opened
from rlhf_engine.data.strict_json import StrictJson
from rlhf_engine.data.tables import csv_rows, tsv_rows
from rlhf_engine.data.task_files import rows_of_task

MAX_WHOLE = 2 * 2**30  # bytes of a file that can only be read as a whole
_LISTS = ("data", "rows", "examples", "records", "instances", "train")
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
}


def files_in(folder: Path) -> list[Path]:
    """The data files of a folder by their names, those of its folders left out. Raises DataError if there are none."""
    with _file_faults(folder):
        found = [path for path in sorted(folder.iterdir()) if path.is_file() and format_of_name(path.name)]
    if not found:
        endings = ", ".join(_SUFFIXES)
        raise DataError(f"{folder} is a folder without data files.", f"Their names end in {endings}, or .gz after it.")
    return found


def format_of(path: Path) -> str:
    """jsonl, json, csv, tsv, parquet or text: by the file's name, or by how it begins.

    Raises:
        DataError: no such file, an empty one, or one that is no text.
    """
    with _file_faults(path), opened(path) as file:
        start = file.read(4096)
    if not start.strip():
        raise DataError(f"{path} is empty.", "Choose a file with at least one row.")
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is written in UTF-16.", "Save it as UTF-8 and import it again.")
    found = format_of_name(path.name)
    if found == "parquet":
        raise DataError(f"{path} is not a Parquet file, whatever its name says.", "Save it again from its source.")
    if found and found != "json":
        return found
    opening = start.removeprefix(BOM).lstrip()[:1]
    with _file_faults(path):
        if opening == b"[" or (found == "json" and not _one_object_a_line(path)):
            return "json"
    return "jsonl" if opening == b"{" else "text"


def format_of_name(name: str) -> str:
    """jsonl, json, csv, tsv, parquet or text by a file's name; "" for a file that holds no data."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes if suffix.lower() != ".gz"]
    return _SUFFIXES.get(suffixes[-1], "") if suffixes else ""


def rows_of(path: Path, format: str) -> Iterator[tuple[int, Row] | Rejected]:
    """(line, row) or a Rejected for every row of the file that is not blank.

    Raises:
        DataError: the file as a whole cannot be read on; the message says where.
    """
    readers = {"jsonl": _jsonl, "json": _json, "csv": csv_rows, "tsv": tsv_rows, "parquet": _parquet, "text": _text}
    rows = readers[format](path)
    place = 0
    while True:
        with _file_faults(path, place):
            found = next(rows, None)
        if found is None:
            return
        if isinstance(found, Rejected):
            place = found.line
            yield found
            continue
        place = found[0]
        for line, one in unpacked(*found):
            yield Rejected(line, "", one) if isinstance(one, str) else (line, one)


@contextlib.contextmanager
def _file_faults(path: Path, place: int = 0) -> Iterator[None]:
    after = f" after line {place}" if place else ""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.", "Check the path.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder, not a file.", "Choose a file in it.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged: it cannot be unpacked{after}.", "Download it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read{after}: {error.strerror or error}.") from error


def _whole(path: Path) -> str:
    with opened(path) as file:
        raw = file.read(MAX_WHOLE + 1)
    if len(raw) > MAX_WHOLE:
        raise _too_large(path)
    try:
        return raw.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path} is not UTF-8: line {line} holds the byte 0x{raw[error.start]:02x}.") from error


def _too_large(path: Path) -> DataError:
    return DataError(
        f"{path} is larger than {MAX_WHOLE // 2**30} GiB.", "Save it as JSONL, which is read line by line."
    )


def _jsonl(path: Path) -> Iterator[tuple[int, Row] | Rejected]:
    reader = StrictJson()
    for found in lines_of(path):
        if isinstance(found, Rejected):
            yield found
            continue
        number, text = found
        text = text.strip(" \t\r")
        try:
            value, end = reader.value(text)
        except json.JSONDecodeError as error:
            yield Rejected(number, "", f"is not JSON: {error.msg} at column {error.colno}")
        except RecursionError:
            yield Rejected(number, "", "is nested too deeply")
        else:
            if end < len(text):
                reader.flaws.append(f"goes on after its end, at column {end + 1}")
            yield _row(number, value, reader.flaws)


def _json(path: Path) -> Iterator[tuple[int, Row] | Rejected]:
    """The elements of an array; of the first list of an object, such as {"data": [...]}; or the rows of a task."""
    text = _whole(path)
    reader = StrictJson()
    space = re.compile(r"[ \t\r\n]*")
    at = space.match(text).end()  # type: ignore[union-attr]  # it matches nothing too
    line, counted = 1, 0
    with _json_faults(path, text):
        if text[at : at + 1] != "[":
            value, at = reader.value(text, at)
            _require_end(text, at)
            if reader.flaws:
                raise DataError(f"{path} {reader.flaws[0]}.", "Mend it there, or save it as JSONL.")
            yield from _wrapped(path, value)
            return
        at = space.match(text, at + 1).end()  # type: ignore[union-attr]
        while text[at : at + 1] != "]":
            line, counted = line + text.count("\n", counted, at), at
            value, at = reader.value(text, at)
            yield _row(line, value, reader.flaws)
            at = space.match(text, at).end()  # type: ignore[union-attr]
            if text[at : at + 1] == ",":
                at = space.match(text, at + 1).end()  # type: ignore[union-attr]
            elif text[at : at + 1] != "]":
                raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
        _require_end(text, at + 1)


def _require_end(text: str, at: int) -> None:
    if text[at:].strip(" \t\r\n"):
        raise json.JSONDecodeError("Extra data", text, at)


@contextlib.contextmanager
def _json_faults(path: Path, text: str) -> Iterator[None]:
    try:
        yield
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(
            f"{path} is not JSON: {error.msg} at {where}.", "Mend it there, or save it as JSONL."
        ) from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply ({len(text):,} characters).") from error


def _wrapped(path: Path, value: Any) -> Iterator[tuple[int, Row] | Rejected]:
    body = value if isinstance(value, dict) else {}
    if (rows := rows_of_task(path.name.split(".")[0], body)) is not None:
        yield from (_row(number, row, []) for number, row in enumerate(rows, 1))
        return
    lists = {name.lower(): rows for name, rows in body.items() if isinstance(rows, list)}
    found = next((lists[name] for name in _LISTS if name in lists), None)
    if found is None:
        raise DataError(f"{path} holds no list of rows.", "A JSON file must be a list of objects.")
    for number, row in enumerate(found, 1):
        yield _row(number, row, [])


def _row(line: int, value: Any, flaws: list[str]) -> tuple[int, Row] | Rejected:
    if flaws:
        return Rejected(line, "", flaws[0])
    if isinstance(value, str):
        return line, {"text": value}
    if not isinstance(value, dict):
        return Rejected(line, "", f"is {'null' if value is None else type(value).__name__}, not an object with fields")
    return line, value


def _one_object_a_line(path: Path) -> bool:
    """Whether what is called .json is JSONL: its first line is complete in itself, and there is more."""
    with contextlib.suppress(json.JSONDecodeError, RecursionError):
        for seen, found in enumerate(lines_of(path)):
            if isinstance(found, Rejected):
                return False
            _, end = StrictJson().value(found[1].strip())
            if seen or end < len(found[1].strip()):
                return bool(seen)
    return False


def _text(path: Path) -> Iterator[tuple[int, Row] | Rejected]:
    for found in lines_of(path):
        yield found if isinstance(found, Rejected) else (found[0], {"text": found[1]})


def _parquet(path: Path) -> Iterator[tuple[int, Row] | Rejected]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    number = 0
    try:
        with opened(path) as packed:
            source = io.BytesIO(packed.read()) if isinstance(packed, gzip.GzipFile) else path
        with parquet.ParquetFile(source) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, UnicodeDecodeError) as error:
        said = str(error).splitlines()[0]
        raise DataError(f"{path} is damaged after row {number}: {said}", "Download it again.") from error
