"""Files line by line, also gzipped; a bad line costs only itself.

Bytes are split on \\n alone and decoded strictly line by line: `str.splitlines` would cut a record at U+2028.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

Row = dict[str, Any]
MAX_LINE = 16 * 2**20  # bytes
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was left out. `line` is where it begins, or its number from 1 in formats without lines.

    `field` is ours, or empty where the row as a whole is meant. `file` is named where there are several, `column` where
    the file has another name for the field.
    """

    line: int
    field: str
    reason: str
    file: str = ""
    column: str = ""

    @property
    def said(self) -> str:
        where = f"{self.file}, line {self.line}" if self.file else f"Line {self.line}"
        return f"{where}, {self.where}: {self.reason}" if self.field else f"{where} {self.reason}"

    @property
    def where(self) -> str:
        """Our field, with the file's name for it where that is another."""
        return f"{self.field} (column {self.column!r})" if self.column else self.field

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"file": self.file} if self.file else {}
        body |= {"line": self.line, "field": self.field, "reason": self.reason}
        return {**body, "column": self.column} if self.column else body


def opened(path: Path) -> IO[bytes]:
    """The content of a file, unpacked where it is packed by gzip, whatever its name says."""
    file = path.open("rb")
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return gzip.GzipFile(fileobj=file, mode="rb") if packed else file  # type: ignore[return-value]


def lines_of(path: Path) -> Iterator[tuple[int, str] | Rejected]:
    """Lines that are not blank, decoded, without their ends."""
    with opened(path) as file:
        number = 0
        while raw := file.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE:
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(MAX_LINE)
                yield too_long(number)
                continue
            if number == 1:
                raw = raw.removeprefix(BOM)
            raw = raw.removesuffix(b"\n").removesuffix(b"\r")
            if not raw.strip():
                continue
            try:
                yield number, raw.decode("utf-8")
            except UnicodeDecodeError as error:
                yield Rejected(number, "", f"is not UTF-8: byte {error.start + 1} is 0x{raw[error.start]:02x}")


def too_long(line: int) -> Rejected:
    return Rejected(line, "", f"is longer than {MAX_LINE // 2**20} MiB")
