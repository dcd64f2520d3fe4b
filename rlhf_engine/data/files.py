"""The rows of a file, one by one, with the line each begins on, whatever the format; a bad row costs only itself."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.annotations import unpacked
from rlhf_engine.data.json_files import is_jsonl, json_rows, jsonl_rows
from rlhf_engine.data.lines import BOM, Rejected, Row, lines_of, opened
from rlhf_engine.data.tables import csv_rows, tsv_rows

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
        if opening == b"[" or (found == "json" and not is_jsonl(path)):
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
    readers = {
        "jsonl": jsonl_rows,
        "json": json_rows,
        "csv": csv_rows,
        "tsv": tsv_rows,
        "parquet": _parquet,
        "text": _text,
    }
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


_READERS: dict[str, Callable[[Path], Iterator[tuple[int, Row] | Rejected]]] = {
    "jsonl": jsonl_rows,
    "json": json_rows,
    "csv": csv_rows,
    "tsv": tsv_rows,
    "parquet": _parquet,
    "text": _text,
}
