"""Tables of text: CSV and TSV, a row at a time, under the names of their first row."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data import lines
from rlhf_engine.data.lines import BOM, Rejected, Row, lines_of, opened, too_long

_MAX_CSV_LINES = 1000  # of one row: an open quote must not swallow the rest of the file
_OPEN_QUOTE = "opens a quote that is never closed"


def tsv_rows(path: Path) -> Iterator[tuple[int, Row] | Rejected]:
    """A row a line; a cell may be quoted, but no line ends within one."""

    def unquoted(cell: str) -> str:
        quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")
        return cell[1:-1].replace('""', '"') if quoted else cell

    rows = (
        found if isinstance(found, Rejected) else (found[0], [unquoted(cell) for cell in found[1].split("\t")])
        for found in lines_of(path)
    )
    yield from _table(path, rows)


def csv_rows(path: Path) -> Iterator[tuple[int, Row] | Rejected]:
    """Rows as RFC 4180 has them; one that is faulty is left out, and the next line is tried as another."""
    yield from _table(path, _csv_cells(path))


def _csv_cells(path: Path) -> Iterator[tuple[int, list[str]] | Rejected]:
    csv.field_size_limit(lines.MAX_LINE)
    with opened(path) as file:
        ahead = _Ahead(file)
        while (line := ahead.first()) is not None:
            if len(line) > lines.MAX_LINE:
                yield too_long(ahead.number)
                ahead.drop(1)
                continue
            if not line.strip():
                ahead.drop(1)
                continue
            number = ahead.number
            reader = csv.reader(ahead.window(), strict=True)
            try:
                cells = [cell.encode("latin-1").decode("utf-8") for cell in next(reader)]
            except csv.Error as error:
                said = f"is not CSV: {error}"
                yield Rejected(number, "", _OPEN_QUOTE if "unexpected end of data" in str(error) else said)
                ahead.drop(1)
            except UnicodeDecodeError as error:
                yield Rejected(number, "", f"is not UTF-8: it holds the byte 0x{error.object[error.start]:02x}")
                ahead.drop(reader.line_num)
            else:
                yield number, cells
                ahead.drop(reader.line_num)


class _Ahead:
    """The lines of a file with those that a row of a CSV may still need: never more than a row's worth in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lines: deque[bytes] = deque()
        self._begun = False
        self.number = 1  # of the first line, in the file

    def first(self) -> bytes | None:
        """The next line without its end, None after the last. One that is too long comes as its beginning."""
        return self._lines[0] if self._lines or self._read() else None

    def drop(self, count: int) -> None:
        for _ in range(count):
            self._lines.popleft()
        self.number += count

    def window(self) -> Iterator[str]:
        """Lines from the first on, at most as many as a row may have, and up to one that is too long.

        Bytes are read as Latin-1, which loses nothing, so that a byte that is not UTF-8 spoils only its own row.
        """
        for at in range(_MAX_CSV_LINES):
            if at == len(self._lines) and not self._read():
                return
            if len(self._lines[at]) > lines.MAX_LINE:
                return
            yield self._lines[at].decode("latin-1") + "\n"

    def _read(self) -> bool:
        raw = self._file.readline(lines.MAX_LINE + 1)
        if len(raw) > lines.MAX_LINE:
            rest = raw
            while rest and not rest.endswith(b"\n"):
                rest = self._file.readline(lines.MAX_LINE)
        elif raw:
            raw = raw.removesuffix(b"\n")
        else:
            return False
        if not self._begun and len(raw) <= lines.MAX_LINE:
            raw = raw.removeprefix(BOM)
        self._begun = True
        self._lines.append(raw)
        return True


def _table(path: Path, rows: Iterator[tuple[int, list[str]] | Rejected]) -> Iterator[tuple[int, Row] | Rejected]:
    """Rows under the names of the first one, or under "column 1", "column 2" where that is no head."""
    names: list[str] = []
    for found in rows:
        if isinstance(found, Rejected):
            yield found
            continue
        line, cells = found
        if not names:
            if _is_head(cells):
                names = [cell.strip() for cell in cells]
                if twice := [name for name in names if names.count(name) > 1]:
                    raise DataError(f"{path} has two columns named {twice[0]!r}.", "Rename one of them.")
                continue
            names = [f"column {number}" for number in range(1, len(cells) + 1)]
        if len(cells) != len(names):
            yield Rejected(line, "", f"has {len(cells)} cells where {len(names)} are expected")
        else:
            yield line, dict(zip(names, cells, strict=True))


def _is_head(cells: list[str]) -> bool:
    """Names of columns are short words; a sentence, a number or an empty cell is content."""
    return all(re.fullmatch(r"\s*[^\W\d][\w .:/()-]{0,39}\s*", cell) for cell in cells)
