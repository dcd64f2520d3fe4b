"""The rows of a large dataset by number, without reading the others: a file of lines, and where each of them begins.

Both lie beside the Parquet file, are made from it or with it, and are compared with it before they are used; every line
is compared with its checksum when it is read. Numbers of a million rows take 45 MB of an index that is mapped, not
loaded. numpy is imported where it is used: the window reads `datasets` when it opens.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.records import (
    KINDS,
    Comparison,
    Demonstration,
    Prompt,
    PromptRecord,
    Rating,
    Record,
    content_of,
    kind_of,
    sides_of,
)

FROM = 20_000  # records: what holds fewer is read whole in a moment, and needs no index
FORMAT = 1
ROWS, INDEX, ABOUT = "rows.bin", "rows.index", "rows.json"
HELDOUT, TIED, LIKED, SECOND_HALF = 1, 2, 4, 8  # flags of a row
# Where a line begins, how long it is, its checksum; and hashes by which equal things are found: the prompt with its
# source, each answer with both, and the prompt alone.
_COLUMNS = [("at", "<u8"), ("size", "<u4"), ("crc", "<u4"), ("flags", "u1")]
_HASHES = ("prompt", "first", "second", "asked")


def _dtype() -> Any:
    import numpy as np

    return np.dtype([*_COLUMNS, *((name, "<u8") for name in _HASHES)])


class Writer:
    """Writes both files row by row. `close` says what they belong to, or takes them away again."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lines = (home / ROWS).open("wb", buffering=2**20)
        self._index = (home / INDEX).open("wb")
        self._at = self.rows = 0
        self._crc = 0

    def add(self, records: Sequence[Record], contents: Sequence[str], sides: Sequence[tuple[str, str]]) -> None:
        """Records with their content (see `content_of`), their split and half."""
        import numpy as np

        found = []
        for record, content, side in zip(records, contents, sides, strict=True):
            line = f"{content}\t{record.id}\n".encode()
            self._lines.write(line)
            found.append((self._at, len(line), zlib.crc32(line), _flags(record, side), *_hashes(record)))
            self._at += len(line)
        body = np.array(found, _dtype()).tobytes()
        self._crc = zlib.crc32(body, self._crc)
        self._index.write(body)
        self.rows += len(records)

    def close(self, sha256: str, keep: bool) -> None:
        """`sha256` is the Parquet file's."""
        self._lines.close()
        self._index.close()
        if not keep:
            for name in (ROWS, INDEX):
                (self._home / name).unlink()
            return
        about = {"format": FORMAT, "rows": self.rows, "bytes": self._at, "index_crc": self._crc, "sha256": sha256}
        (self._home / ABOUT).write_text(json.dumps(about), encoding="utf-8")


class Index:
    """The rows of an indexed dataset by their number, from 0. Reading is safe from one thread at a time."""

    def __init__(self, home: Path, kind: str, sha256: str) -> None:
        """Raises DataError for files that are not there or belong to other records."""
        import numpy as np

        self._kind, self._file = kind, home / ROWS
        try:
            about = json.loads((home / ABOUT).read_text(encoding="utf-8"))
            body = np.memmap(home / INDEX, _dtype(), "r")
            fits = (about["format"], about["rows"], about["sha256"]) == (FORMAT, len(body), sha256)
            fits = fits and about["bytes"] == self._file.stat().st_size
            fits = fits and about["index_crc"] == zlib.crc32(body.data)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"The index of {home} cannot be read: {error}.") from error
        if not fits:
            raise DataError(f"The index of {home} does not belong to its records.")
        self.numbers = body
        self._lines: IO[bytes] | None = None

    def record(self, number: int) -> Record:
        """Raises DataError for a line that is not what was written."""
        if self._lines is None:
            self._lines = self._file.open("rb", buffering=0)
        row = self.numbers[number]
        self._lines.seek(int(row["at"]))
        line = self._lines.read(int(row["size"]))
        if zlib.crc32(line) != row["crc"]:
            raise DataError(
                f"Row {number + 1:,} of {self._file} is not what was written: its checksum does not match.",
                "Delete this dataset and import or freeze the data again.",
            )
        content, _, id_ = line[:-1].decode("utf-8").partition("\t")
        body = json.loads(content)
        del body["kind"]
        record: Record = KINDS[self._kind](**body, id=id_)
        return record

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None


class Rows(Sequence[Record]):
    """Records of one kind, split and half, each read when it is asked for: as many numbers as there are records.

    `places` are numbers of rows; `sides` says which answer of a comparison is meant, where they are read as ratings.
    """

    def __init__(self, index: Index, kind: str, places: Any, sides: Any = None) -> None:
        self._index, self._kind, self.places, self._sides = index, kind, places, sides

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        record = self._index.record(int(self.places[number]))
        return as_kind(record, self._kind, int(self._sides[number]) if self._sides is not None else 0)

    def __iter__(self) -> Iterator[Record]:
        return (self[number] for number in range(len(self)))

    def chosen(self, picked: Any) -> Rows:
        """Those of them that `picked` names, a mask or numbers."""
        return Rows(self._index, self._kind, self.places[picked], None if self._sides is None else self._sides[picked])

    def flagged(self, flag: int) -> Any:
        """A mask of the rows with a flag."""
        return (self._index.numbers["flags"][self.places] & flag) > 0

    @property
    def liked(self) -> int:
        """How many of them are liked, where they are ratings."""
        return int((self._sides == 0).sum() if self._sides is not None else self.flagged(LIKED).sum())

    def firsts(self) -> Rows:
        """The first row of each prompt, in their order."""
        return self.chosen(_firsts(self._index.numbers["asked"][self.places]))


def rows_of(index: Index, own: str, kind: str, split: str | None, ties: bool) -> Rows:
    """The rows of a dataset of the kind `own`, read as `kind` (see `datasets.Dataset`): equal ones once."""
    import numpy as np

    numbers = index.numbers
    flags = np.asarray(numbers["flags"])
    there = np.ones(len(numbers), bool) if split is None else ((flags & HELDOUT) > 0) == (split == "heldout")
    decided = (flags & TIED) == 0
    if kind == own:
        return Rows(index, kind, np.flatnonzero(there if ties else there & decided).astype(np.int64))
    if kind == "prompts":
        places = np.flatnonzero(there)
        return Rows(index, kind, places[_firsts(numbers["prompt"][places])])
    if kind == "demonstrations":
        liked = decided if own == "comparisons" else (flags & LIKED) > 0
        places = np.flatnonzero(there & liked)
        return Rows(index, kind, places[_firsts(numbers["first"][places])])
    places = np.repeat(np.flatnonzero(there & decided), 2)  # a comparison as two ratings
    sides = np.tile(np.array([0, 1], np.int8), len(places) // 2)
    answers = np.where(sides == 0, numbers["first"][places], ~numbers["second"][places])  # liked and not are not equal
    kept = _firsts(answers)
    return Rows(index, kind, places[kept], sides[kept])


def as_kind(record: Record, kind: str, side: int = 0) -> Record:
    """A record as a plainer one; of a comparison the chosen answer, or the rejected one where `side` is 1."""
    if kind == kind_of(record):
        return record
    if kind == "prompts":
        return PromptRecord(record.prompt, record.source, record.id)
    if isinstance(record, Comparison):
        answer, liked = (record.rejected, False) if side else (record.chosen, True)
    else:
        assert isinstance(record, Rating)
        answer, liked = record.completion, record.liked
    if kind == "ratings":
        return Rating(record.prompt, answer, liked, record.source, record.id)
    return Demonstration(record.prompt, answer, record.source, record.id)


def build(home: Path, records: Iterable[Record], sha256: str) -> None:
    """Index a dataset that has no index yet, or a damaged one. What there was stays until the new one is whole."""
    import itertools
    import shutil

    aside = home / f".index-{hashlib.blake2b(str(home).encode(), digest_size=4).hexdigest()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        writer = Writer(aside)
        source = iter(records)
        while batch := list(itertools.islice(source, 4096)):
            writer.add(batch, [content_of(record) for record in batch], [sides_of(record.prompt) for record in batch])
        writer.close(sha256, keep=True)
        for name in (ROWS, INDEX, ABOUT):  # what says that they are whole comes last
            (aside / name).replace(home / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _firsts(hashes: Any) -> Any:
    """Places of the first of each of equal hashes, in their order."""
    import numpy as np

    return np.sort(np.unique(np.asarray(hashes), return_index=True)[1])


def _flags(record: Record, side: tuple[str, str]) -> int:
    flags = HELDOUT if side[0] == "heldout" else 0
    flags |= TIED if isinstance(record, Comparison) and record.tied else 0
    flags |= LIKED if isinstance(record, Rating) and record.liked else 0
    return flags | (SECOND_HALF if side[1] == "second" else 0)


def _hashes(record: Record) -> tuple[int, int, int, int]:
    asked = _hash(_written(record.prompt))
    prompt = _hash(record.source, str(asked))
    answers = [getattr(record, name) for name in ("completion", "chosen", "rejected") if hasattr(record, name)]
    first, second = (_hash(answers[i], str(prompt)) if i < len(answers) else 0 for i in (0, 1))
    return prompt, first, second, asked


def _written(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False)


def _hash(*parts: str) -> int:
    """64 bits: two of a million different texts are taken for equal once in 37 million datasets."""
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")
