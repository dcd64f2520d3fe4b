"""Reading files, or a dataset of the Hub, into a dataset of the project, with every row that was left out on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert, Produced, Stage
from rlhf_engine.data.datasets import freeze, list_datasets
from rlhf_engine.data.reading import Reading, Rejected, files_of, reading_of
from rlhf_engine.data.records import Record
from rlhf_engine.models.fetching import fetched
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.import_data.spec import ImportSpec

_SHOWN = 200  # rejected rows told in the event; all of them are in the report
_EVERY = 1000  # rows between two words about progress


def import_data(spec: ImportSpec, run: RunContext) -> None:
    """Freeze the files' records as a dataset of the project; write `rejected.jsonl` into the run's folder.

    Records and the report are written as they are read: memory does not grow with the files.

    Raises:
        DataError: a file cannot be read, or no row of them can be used. The report is written all the same.
        HubError: the Hub refused or could not be reached. SpecError: the dataset there has several parts and none is
            named. DiskFull: they do not fit.
    """
    source = _from_hub(spec, run) if spec.repo else _from_files(spec)
    paths, name = source.paths, source.name
    run.emit(Stage(f"Reading {name}"))
    known = {info.hash for info in list_datasets(run.project_root)}
    reading, entries = reading_of(paths, spec.kind, spec.layout, spec.columns, spec.examples, spec.pairs)
    # The path itself stays out of the card, which may be published: it can name a person.
    facts: dict[str, Any] = {**source.facts, "layout": reading.layout, "columns": reading.columns}
    if len(paths) > 1:
        facts["files"] = len(paths)
    if reading.layout == "task":
        facts["examples"] = spec.examples
    run.folder.mkdir(parents=True, exist_ok=True)
    report = run.folder / "rejected.jsonl"
    try:
        info = freeze(
            run.project_root,
            reading.kind,
            _watched(entries, reading, name, report, run),
            spec.name or name,
            source.origin,
            facts,
            checked=True,
        )
    except DataError as error:
        if reading.total and not reading.kept:
            where = report.relative_to(run.project_root).as_posix()
            hint = f"Each row is named in {where}. If columns were misunderstood, say which holds what."
            raise DataError(
                _none_left(name if len(paths) > 1 or spec.repo else str(paths[0]), reading), hint
            ) from error
        raise
    if reading.quoting:
        run.emit(
            Alert("info", _quoting(reading, len(paths) > 1), "They are kept, and always tokenised as ordinary text.")
        )
    told = {
        **info.facts,
        **facts,
        "ref": info.ref,
        "name": info.name,
        "kind": info.kind,
        "rows": info.rows,
        "train": info.train,
        "heldout": info.heldout,
        "total": reading.total,
        "known": info.hash in known,
        "rejected": reading.left_out,
        "rejected_rows": [row.to_json() for row in reading.rejected],
        "report": report.relative_to(run.project_root).as_posix(),
    }
    run.emit(Produced("dataset", info.path.relative_to(run.project_root).as_posix(), told))


@dataclass(frozen=True, slots=True)
class _Source:
    """Files to read, what they are called together, where they come from, and what the card says of that."""

    paths: list[Path]
    name: str
    origin: str
    facts: dict[str, Any]


def _from_files(spec: ImportSpec) -> _Source:
    path = Path(spec.path).expanduser()
    paths = files_of([path, *spec.more])
    name = path.name if len(paths) == 1 or not spec.more else f"{path.name} and {len(paths) - 1} more"
    return _Source(paths, name, f"{'files' if len(paths) > 1 else 'file'} {name}", {"file": name})


def _from_hub(spec: ImportSpec, run: RunContext) -> _Source:
    """One part of a dataset of the Hub, fetched or found in the cache."""
    run.stage(f"Asking the Hub for {spec.repo}")
    asked = {"repo": spec.repo, "kind": "dataset", "revision": spec.revision}
    found = fetched({**asked, "config": spec.config, "split": spec.split}, run)
    config, split = found["config"], found["split"]
    others = [part for part in found["parts"] if (part["config"], part["split"]) != (config, split)]
    if others and not (spec.config and spec.split):
        named = ", ".join(f"{part['config']}/{part['split']}" for part in others[:20])
        more = f" and {len(others) - 20} more" if len(others) > 20 else ""
        run.emit(Alert("info", f"Read is {config}/{split} of {spec.repo}.", f"It also has {named}{more}."))
    if found["partial"]:
        text = f"The Hub has converted only the beginning of {config}/{split} of {spec.repo}; the rest is not read."
        run.emit(Alert("warning", text, "Name the revision main to read the files as their owner wrote them."))
    name = f"{spec.repo} {split}" if config == "default" else f"{spec.repo} {config} {split}"
    facts = {"hub": spec.repo, "revision": found["revision"], "config": config, "split": split, "file": name}
    return _Source([Path(file) for file in found["files"]], name, f"Hub {spec.repo}", facts)


def _watched(
    entries: Iterator[Record | Rejected], reading: Reading, name: str, report: Path, run: RunContext
) -> Iterator[Record]:
    """The records, with a safe point and a word about progress now and then; what is left out goes into the report.

    Only the first rows that are left out are kept, to be told: a file may have a million of them.
    """
    with report.open("w", encoding="utf-8", newline="\n") as file:
        for count, entry in enumerate(entries, 1):
            if count % _EVERY == 0:
                run.safe_point()
                run.emit(Stage(f"Reading {name}: {reading.left_out} left out", reading.total))
            if isinstance(entry, Rejected):
                file.write(json.dumps(entry.to_json(), ensure_ascii=True) + "\n")
                if len(reading.rejected) < _SHOWN:
                    reading.rejected.append(entry)
            else:
                yield entry


def _none_left(what: str, reading: Reading) -> str:
    return f"None of the {reading.total:,} rows of {what} can be used as {reading.kind}. {reading.rejected[0].said}."


def _quoting(reading: Reading, several: bool) -> str:
    lines = ", ".join(str(line) for line in reading.control_text[:10])
    where = "" if several else f" (lines {lines}…)"
    return f"{reading.quoting} records quote a model's control tokens{where}."
