"""Immutable datasets: a folder of Parquet under a name made from its content, split by prompt.

The same records make the same dataset, whoever freezes them and when. pyarrow is imported where it is used, because
the window reads this file when it opens.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import DataError, EngineError
from rlhf_engine.data import indexed
from rlhf_engine.data.records import (
    KINDS,
    TIE,
    WHO_JUDGED,
    Comparison,
    Demonstration,
    PromptRecord,
    Rating,
    Record,
    content_of,
    fault_in,
    kind_of,
    pack_prompt,
    sides_of,
    unpack_prompt,
)

FORMAT = 1  # of a dataset's folder; a higher one is refused
_HASH = re.compile(r"[0-9a-f]{16}")
_TEXTS = {
    "prompts": (),
    "demonstrations": ("completion",),
    "comparisons": ("chosen", "rejected"),
    "ratings": ("completion",),
}
_BATCH = 4096  # rows per group of the Parquet file: what a page reads at least


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What is known of a dataset without reading its rows. `train` and `heldout` are numbers of rows.

    `facts` of comparisons count the `ties` among them where there are any, those of ratings the `liked` ones.
    """

    hash: str
    kind: str
    name: str
    rows: int
    train: int
    heldout: int
    path: Path
    origin: str
    created: str
    facts: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    @property
    def ref(self) -> str:
        return f"dataset:{self.hash}"


SERVES = {  # what a dataset of one kind can also be read as
    "prompts": ("prompts",),
    "demonstrations": ("demonstrations", "prompts"),
    "comparisons": ("comparisons", "ratings", "demonstrations", "prompts"),
    "ratings": ("ratings", "demonstrations", "prompts"),
}


class Dataset:
    """An open dataset; reads its rows when asked.

    `kind` reads richer records as plainer ones. Of a comparison the chosen answer is liked and the rejected one is not;
    a chosen or liked answer is a demonstration; and all have a prompt. Equal records are then given once. A
    demonstration is no rating: nobody was asked whether they like it. A tie prefers nothing and gives only its prompt.
    """

    def __init__(self, info: DatasetInfo, kind: str = "") -> None:
        self.info = info
        self.kind = kind or info.kind

    @cached_property
    def _file(self) -> Path:
        """The Parquet file, once it has been compared with its card."""
        file = self.info.path / "records.parquet"
        try:
            digest = _sha256(file)
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}.", "Import or freeze the data again.") from error
        if digest != self.info.sha256:
            raise DataError(
                f"{file} is not what was written: its checksum does not match card.json.",
                "Delete this dataset and import or freeze the data again.",
            )
        return file

    def records(self, split: str | None = None, ties: bool = False) -> list[Record]:
        """All records in their order, or those of "train" or "heldout". Raises DataError for a damaged file.

        Ties are left out unless asked for: what learns from preferences must not take one for a preference.
        """
        import pyarrow.parquet as parquet

        found = [
            _record(self.info.kind, row)
            for row in parquet.read_table(self._file).to_pylist()
            if split is None or row["split"] == split
        ]
        if self.kind != self.info.kind:
            return _plainer(found, self.kind)
        return found if ties else [record for record in found if not _tied(record)]

    def rows(self, split: str | None = None, ties: bool = False) -> Sequence[Record]:
        """What `records` gives, but of a large dataset each is read when it is asked for, and none is kept.

        An index lies beside the file. A dataset that was made without one is indexed first, which takes a while once.
        """
        if self.info.rows < indexed.FROM:
            return self.records(split, ties)
        return indexed.rows_of(self._index, self.info.kind, self.kind, split, ties)

    @cached_property
    def _index(self) -> indexed.Index:
        home, kind, sha256 = self._file.parent, self.info.kind, self.info.sha256
        try:
            index = indexed.Index(home, kind, sha256)
        except DataError:
            indexed.build(home, self.stream(), sha256)
            index = indexed.Index(home, kind, sha256)
        weakref.finalize(self, index.close)
        return index

    def stream(self) -> Iterator[Record]:
        """All records of the dataset's own kind in their order, ties among them, without keeping them."""
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(self._file) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                yield from (_record(self.info.kind, row) for row in batch.to_pylist())

    def find(self, text: str, sort: str = "", descending: bool = False) -> Sequence[int]:
        """Numbers of the rows, from 0 and ties among them, that hold each word of `text` in a text or the source.

        In their order, or by a column: prompt, split, completion, chosen, rejected, strength or liked.
        """
        from rlhf_engine.data.searching import find

        return find(self._file, ("prompt", *_TEXTS[self.info.kind], "source"), text, sort, descending)

    def page(self, offset: int, limit: int) -> list[Record]:
        """Records `offset` to `offset + limit`, ties among them, without reading the others' row groups."""
        import pyarrow.parquet as parquet

        found: list[Record] = []
        with parquet.ParquetFile(self._file) as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if offset < rows and len(found) < limit:
                    taken = file.read_row_group(group).slice(offset, limit - len(found))
                    found += [_record(self.info.kind, row) for row in taken.to_pylist()]
                offset = max(0, offset - rows)
        return found


def freeze(
    project_root: Path | str,
    kind: str,
    records: Iterable[Record],
    name: str,
    origin: str,
    facts: dict[str, Any] | None = None,
    checked: bool = False,
) -> DatasetInfo:
    """Write records as a dataset of the project and return what it became; the same records give the one there is.

    `checked` says that the records come from `reading`, which has looked for faults in them already.

    Raises:
        DataError: no records, one of another kind, or one that no training could use.
    """
    datasets = Path(project_root) / "datasets"
    datasets.mkdir(parents=True, exist_ok=True)
    for left_over in datasets.glob(".tmp-*"):  # of a freeze that was killed; a day is longer than any takes
        if time.time() - left_over.stat().st_mtime > 86_400:
            shutil.rmtree(left_over, ignore_errors=True)
    unfinished = datasets / f".tmp-{uuid.uuid4().hex}"
    unfinished.mkdir()
    try:
        info = _write(unfinished, kind, records if checked else _checked(kind, records), name, origin, facts or {})
        home = datasets / info.hash
        if _is_whole(home) and _sha256(home / "records.parquet") == _read_card(home).sha256:
            return open_dataset(project_root, info.ref).info
        if home.exists():  # damaged: the same content takes its place
            shutil.rmtree(home)
        unfinished.rename(home)
        _sync(datasets)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # already gone when all went well
    return _read_card(home)


def open_dataset(project_root: Path | str, ref: str) -> Dataset:
    """The dataset that "dataset:<hash>" names. Raises DataError if it is not there or cannot be understood."""
    digest = ref.removeprefix("dataset:")
    home = Path(project_root) / "datasets" / digest
    if not _HASH.fullmatch(digest) or not home.is_dir():
        raise DataError(f"This project has no dataset {ref!r}.", "Choose one from the list, or import the file again.")
    return Dataset(_read_card(home))


def list_datasets(project_root: Path | str) -> list[DatasetInfo]:
    """All datasets of a project that can be understood, the newest first."""
    found = []
    for home in (Path(project_root) / "datasets").glob("*"):
        if _HASH.fullmatch(home.name) and _is_whole(home):
            found.append(_read_card(home))
    return sorted(found, key=lambda info: (info.created, info.hash), reverse=True)


def resolve(project_root: Path | str, ref: str, kind: str) -> Dataset:
    """The dataset meant by a spec's field: "dataset:<hash>", or the path of a file, which is read and frozen first.

    Raises:
        DataError: nothing there, or it holds another kind of records than `kind`.
    """
    if ref.startswith("dataset:"):
        dataset = open_dataset(project_root, ref)
    elif ref.startswith("hub:"):
        name = ref.removeprefix("hub:")
        raise DataError(f"{name} is on the Hub, not in this project.", f"Import it first: rlhf import {name}.")
    else:
        dataset = from_file(project_root, Path(ref).expanduser(), kind)
    if kind not in SERVES[dataset.info.kind]:
        raise DataError(
            f"The dataset {dataset.info.name!r} ({ref}) holds {dataset.info.kind}, but {kind} are needed.",
            f"Choose a dataset of {kind}.",
        )
    return Dataset(dataset.info, kind)


def _plainer(records: list[Record], kind: str) -> list[Record]:
    """Records as plainer ones (see SERVES); equal ones once, in their order."""
    says = {"prompts": _as_prompts, "ratings": _as_ratings, "demonstrations": _as_demonstrations}[kind]
    found: dict[str, Record] = {}
    for record in records:
        for plain in says(record):
            found.setdefault(content_of(plain), plain)
    return list(found.values())


def _as_prompts(record: Record) -> list[Record]:
    return [PromptRecord(record.prompt, record.source, record.id)]


def _as_ratings(record: Record) -> list[Record]:
    if isinstance(record, Rating):
        return [record]
    if not isinstance(record, Comparison) or record.tied:
        return []
    sides = ((record.chosen, True), (record.rejected, False))
    return [Rating(record.prompt, answer, liked, record.source, record.id) for answer, liked in sides]


def _as_demonstrations(record: Record) -> list[Record]:
    if isinstance(record, Demonstration):
        return [record]
    return [
        Demonstration(rating.prompt, rating.completion, rating.source, rating.id)
        for rating in _as_ratings(record)
        if isinstance(rating, Rating) and rating.liked
    ]


def _tied(record: Record) -> bool:
    return isinstance(record, Comparison) and record.tied


def from_file(project_root: Path | str, path: Path, kind: str = "auto") -> Dataset:
    """A file as a dataset of the project, read and frozen row by row; `kind` is what it should hold.

    Raises:
        DataError: it cannot be read, holds another kind of records, or none that can be used.
    """
    from rlhf_engine.data.reading import Rejected, reading_of

    # a row of a file is one record, but a comparison makes two ratings: such a file stays what it is, and serves
    reading, entries = reading_of(path, kind="auto" if kind == "ratings" else kind)
    if kind != "auto" and kind not in SERVES[reading.kind]:
        raise DataError(f"{path} holds {reading.kind}, but {kind} are needed.", f"Choose a file of {kind}.")
    facts: dict[str, Any] = {"rejected": 0, "layout": reading.layout, "columns": reading.columns}
    first: list[Rejected] = []
    whole = False

    def kept() -> Iterator[Record]:
        nonlocal whole
        for entry in entries:
            if not isinstance(entry, Rejected):
                yield entry
            elif not first:
                first.append(entry)
        facts["rejected"], whole = reading.left_out, True  # the card is written after the last record

    try:
        return Dataset(freeze(project_root, reading.kind, kept(), path.name, f"file {path.name}", facts, checked=True))
    except DataError as error:
        if reading.kept or not whole:
            raise
        why = f" {first[0].said}." if first else ""
        wanted = reading.kind if kind == "auto" else kind
        text = f"None of the {reading.total:,} rows of {path} can be used as {wanted}.{why}"
        raise DataError(text) from error


def _write(
    home: Path, kind: str, records: Iterable[Record], name: str, origin: str, facts: dict[str, Any]
) -> DatasetInfo:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    if kind not in KINDS:
        raise DataError(f"There is no kind of record {kind!r}.", f"Known are {', '.join(KINDS)}.")
    schema = _schema(kind)
    counts = {"train": 0, "heldout": 0}
    said: Counter[str] = Counter()
    content = hashlib.sha256(f"{kind}\n".encode())
    file = home / "records.parquet"
    index = indexed.Writer(home)
    try:
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in _in_batches(iter(records), _BATCH):
                lines = [content_of(record) for record in batch]
                content.update("".join(f"{line}\n" for line in lines).encode("utf-8"))
                sides = [sides_of(record.prompt) for record in batch]
                table = _columns_of(kind, batch, [split for split, _ in sides])
                heldout = table["split"].count("heldout")
                counts["heldout"] += heldout
                counts["train"] += len(batch) - heldout
                if "strength" in table:
                    said["ties"] += table["strength"].count(TIE)
                said["liked"] += sum(table.get("liked", ()))
                index.add(batch, lines, sides)
                writer.write_table(pa.table(table, schema))
    except pa.ArrowException as error:
        raise DataError(f"The records of {name!r} cannot be written as Parquet: {error}") from error
    if not sum(counts.values()):
        raise DataError(f"There are no {kind} to freeze.", "Collect or import some first.")
    sha256 = _sha256(file)
    index.close(sha256, keep=index.rows >= indexed.FROM)
    info = DatasetInfo(
        hash=content.hexdigest()[:16],
        kind=kind,
        name=name,
        rows=sum(counts.values()),
        path=home,
        origin=origin,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        facts={**facts, **_told(kind, said)},
        sha256=sha256,
        **counts,
    )
    card = {"format": FORMAT, **asdict(info)}
    del card["path"]
    (home / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=2), encoding="utf-8")
    (home / "README.md").write_text(_readme(info), encoding="utf-8")
    for written in home.iterdir():
        _sync(written)
    _sync(home)
    return info


def _told(kind: str, said: Mapping[str, int]) -> dict[str, int]:
    """What the card says of the records beside their number."""
    if kind == "ratings":
        return {"liked": said["liked"]}
    return {"ties": said["ties"]} if said["ties"] else {}


def _checked(kind: str, records: Iterable[Record]) -> Iterator[Record]:
    for number, record in enumerate(records, 1):
        if not isinstance(record, KINDS[kind]):
            raise DataError(f"Record {number} belongs to the {kind_of(record)}, not to the {kind}.")
        if fault := fault_in(record):
            raise DataError(f"Record {number} cannot be used: its {fault[0]} {fault[1]}.")
        yield record


def _in_batches(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _schema(kind: str) -> Any:
    import pyarrow as pa

    names = ["id", "prompt", "turns", *_TEXTS[kind], "source", "split"]
    judged = [("strength", pa.int8()), *((name, pa.string()) for name in WHO_JUDGED)]
    said = {"comparisons": judged, "ratings": [("liked", pa.bool_())]}.get(kind, [])
    return pa.schema([(name, pa.string()) for name in names] + said)


def _columns_of(kind: str, records: Sequence[Record], splits: list[str]) -> dict[str, list[Any]]:
    prompts = [pack_prompt(record.prompt) for record in records]
    said = {"comparisons": ("strength", *WHO_JUDGED), "ratings": ("liked",)}.get(kind, ())
    return {
        "prompt": [text for text, _ in prompts],
        "turns": [turns for _, turns in prompts],
        "split": splits,
        **{name: [getattr(one, name) for one in records] for name in ("id", "source", *_TEXTS[kind], *said)},
    }


def _record(kind: str, row: dict[str, Any]) -> Record:
    prompt = unpack_prompt(row["prompt"], row["turns"])
    if kind == "prompts":
        return PromptRecord(prompt, row["source"], row["id"])
    if kind == "demonstrations":
        return Demonstration(prompt, row["completion"], row["source"], row["id"])
    if kind == "ratings":
        return Rating(prompt, row["completion"], row["liked"], row["source"], row["id"])
    who = {name: row.get(name) or "" for name in WHO_JUDGED}  # datasets from before it was asked have no such columns
    return Comparison(prompt, row["chosen"], row["rejected"], row["strength"], row["source"], row["id"], **who)


def _read_card(home: Path) -> DatasetInfo:
    file = home / "card.json"
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
        if card.pop("format") > FORMAT:
            raise DataError(f"{file} was written by a newer version of this program.", "Update the program.")
        return DatasetInfo(path=home, **card)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} cannot be understood: {error}.", "Import or freeze the data again.") from error


def _is_whole(home: Path) -> bool:
    """Whether a dataset's card and the file it describes are there; the content is compared when it is read."""
    try:
        return (home / "records.parquet").is_file() and _read_card(home).hash == home.name
    except EngineError:
        return False


def _readme(info: DatasetInfo) -> str:
    name, origin = " ".join(info.name.split()), " ".join(info.origin.split())
    told = ""
    if info.kind == "ratings":
        told = f" {info.facts['liked']} of them liked."
    elif ties := info.facts.get("ties"):
        told = f" {ties} of them {'is a tie' if ties == 1 else 'are ties'} (`strength` 0): neither answer is better."
    return (
        f"# {name}\n\n"
        f"{info.rows} {info.kind} ({info.train} to train on, {info.heldout} held out), from {origin}.{told}\n\n"
        "`records.parquet` has one row per record. `turns` holds a conversation as JSON, and is empty where the prompt "
        "is one text. `split` goes by the prompt. `card.json` has the checksum; nothing here is changed once written.\n"
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Make a file or a folder's list of names survive a power cut; Windows opens no folders and needs none of it."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
