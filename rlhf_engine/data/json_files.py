"""JSON: an object a line, an array of rows, or an object that holds them; an array is read element by element."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.lines import Rejected, Row, lines_of, opened
from rlhf_engine.data.strict_json import StrictJson
from rlhf_engine.data.task_files import rows_of_task

MAX_WHOLE = 2 * 2**30  # characters of what can only be read as a whole: an object with rows in it, or one row
_CHUNK = 2**20  # bytes that are read at once, at least
_LISTS = ("data", "rows", "examples", "records", "instances", "train")
_SPACE = re.compile(r"[ \t\r\n]*")
_LONGEST_WORD = 16  # characters at the end of a text in which an error may only mean that the text goes on
_MEND = "Mend it there, or save it as JSONL."


def jsonl_rows(path: Path) -> Iterator[tuple[int, Row] | Rejected]:
    """A row a line, whatever is wrong with the others."""
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


def json_rows(path: Path) -> Iterator[tuple[int, Row] | Rejected]:
    """The elements of an array; of the first list of an object, such as {"data": [...]}; or the rows of a task.

    Raises:
        DataError: the file is no JSON from some place on, which is named, or no list of rows.
    """
    reader = StrictJson()
    with opened(path) as file:
        window = _Window(path, file)
        try:
            at = window.after_space(0)
            if window.text[at : at + 1] == "[":
                yield from _elements(window, reader, at)
            else:
                yield from _wrapped(path, _whole(window, reader, at))
        except json.JSONDecodeError as error:
            raise DataError(f"{path} is not JSON: {error.msg} at {window.place(error.pos)}.", _MEND) from error
        except RecursionError as error:
            raise DataError(f"{path} is nested too deeply ({len(window.text):,} characters).") from error


def _elements(window: _Window, reader: StrictJson, at: int) -> Iterator[tuple[int, Row] | Rejected]:
    at = window.after_space(at + 1)
    while window.text[at : at + 1] != "]":
        line = window.line(at)
        value, at = window.value(reader, at)
        yield _row(line, value, reader.flaws)
        at = window.after_space(at)
        if window.text[at : at + 1] == ",":
            at = window.after_space(at + 1)
        elif window.text[at : at + 1] != "]":
            raise json.JSONDecodeError("Expecting ',' or ']'", window.text, at)
        if at > _CHUNK:
            window.drop(at)
            at = 0
    window.require_end(at + 1)


def _whole(window: _Window, reader: StrictJson, at: int) -> Any:
    while window.grow():
        pass
    value, end = window.value(reader, at)
    window.require_end(end)
    if reader.flaws:
        raise DataError(f"{window.path} {reader.flaws[0]}.", _MEND)
    return value


class _Window:
    """The part of a file that has been read and is still needed, as one text that grows at its end."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.text = path, ""
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._begun = False
        self._line, self._before = 1, 0  # of the text's beginning: its line, and the characters before it on that line
        self._counted, self._counted_line = 0, 1  # a place in the text and its line: counting goes on from there

    def grow(self) -> bool:
        """Read on, as much again as is here: what is tried anew with each reading takes twice its time, no more.

        False at the end of the file. Raises DataError for what is no text, or too much of it.
        """
        raw = self._file.read(max(_CHUNK, len(self.text)))
        if len(self.text) + len(raw) > MAX_WHOLE:
            raise DataError(
                f"{self.path} is larger than {MAX_WHOLE // 2**30} GiB.", "Save it as JSONL, which is read line by line."
            )
        try:
            more = self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            line = self.line(len(self.text)) + error.object.count(b"\n", 0, error.start)
            byte = f"0x{error.object[error.start]:02x}"
            raise DataError(f"{self.path} is not UTF-8: line {line} holds the byte {byte}.") from error
        if more and not self._begun:
            self._begun, more = True, more.removeprefix("\ufeff")
        self.text += more
        return bool(raw)

    def after_space(self, at: int) -> int:
        """The place of the next character that is no space, or the end."""
        while True:
            at = _SPACE.match(self.text, at).end()  # type: ignore[union-attr]  # it matches nothing too
            if at < len(self.text) or not self.grow():
                return at

    def value(self, reader: StrictJson, at: int) -> tuple[Any, int]:
        """The value that begins at a place, and where it ends. Raises JSONDecodeError."""
        while True:
            try:
                value, end = reader.value(self.text, at)
            except json.JSONDecodeError as error:
                open_ = error.msg.startswith("Unterminated string") or error.pos + _LONGEST_WORD > len(self.text)
                if not open_ or not self.grow():
                    raise
            else:
                if end < len(self.text) or not self.grow():  # a number at the end may go on
                    return value, end

    def require_end(self, at: int) -> None:
        """Raise JSONDecodeError where anything but space follows."""
        if self.after_space(at) < len(self.text):
            raise json.JSONDecodeError("Extra data", self.text, at)

    def line(self, at: int) -> int:
        """The line of a place, in the file."""
        if at < self._counted:
            self._counted, self._counted_line = 0, self._line
        self._counted_line += self.text.count("\n", self._counted, at)
        self._counted = at
        return self._counted_line

    def place(self, at: int) -> str:
        return f"line {self.line(at)}, column {self._column(at)}"

    def drop(self, at: int) -> None:
        """Forget what is before a place."""
        self._line, self._before = self.line(at), self._column(at) - 1
        self.text = self.text[at:]
        self._counted, self._counted_line = 0, self._line

    def _column(self, at: int) -> int:
        newline = self.text.rfind("\n", 0, at)
        return at - newline if newline >= 0 else self._before + at + 1


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


def is_jsonl(path: Path) -> bool:
    """Whether what is called .json is JSONL: its first line is complete in itself, and there is more."""
    with contextlib.suppress(json.JSONDecodeError, RecursionError):
        for seen, found in enumerate(lines_of(path)):
            if isinstance(found, Rejected):
                return False
            _, end = StrictJson().value(found[1].strip())
            if seen or end < len(found[1].strip()):
                return bool(seen)
    return False
