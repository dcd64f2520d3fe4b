"""Reading a file into a dataset, with every row that was left out on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert, Produced, Stage
from rlhf_engine.data.datasets import freeze, list_datasets
from rlhf_engine.data.reading import Reading, reading_of
from rlhf_engine.data.records import Record
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.import_data.spec import ImportSpec

_SHOWN = 200  # rejected rows told in the event; all of them are in the report
_EVERY = 1000  # rows between two words about progress


def import_data(spec: ImportSpec, run: RunContext) -> None:
    """Freeze the file's records as a dataset of the project; write `rejected.jsonl` into the run's folder.

    Raises:
        DataError: the file cannot be read, or no row of it can be used. The report is written all the same.
    """
    path = Path(spec.path).expanduser()
    run.emit(Stage(f"Reading {path.name}"))
    known = {info.hash for info in list_datasets(run.project_root)}
    reading, records = reading_of(path, spec.kind, spec.layout, spec.columns)
    # The path itself stays out of the card, which may be published: it can name a person.
    facts = {"file": path.name, "layout": reading.layout, "columns": reading.columns}
    try:
        info = freeze(
            run.project_root,
            reading.kind,
            _watched(records, reading, path.name, run),
            spec.name or path.name,
            f"file {path.name}",
            facts,
        )
    except DataError as error:
        if reading.total and reading.total == len(reading.rejected):
            where = (run.folder / "rejected.jsonl").relative_to(run.project_root).as_posix()
            hint = f"Each row is named in {where}. If columns were misunderstood, say which holds what."
            raise DataError(_none_left(path, reading), hint) from error
        raise
    finally:
        report = _write_report(reading, run.folder)
    if reading.control_text:
        run.emit(Alert("info", _quoting(reading), "They are kept, and always tokenised as ordinary text."))
    told = {
        **facts,
        "ref": info.ref,
        "name": info.name,
        "kind": info.kind,
        "rows": info.rows,
        "train": info.train,
        "heldout": info.heldout,
        "total": reading.total,
        "known": info.hash in known,
        "rejected": len(reading.rejected),
        "rejected_rows": [asdict(row) for row in reading.rejected[:_SHOWN]],
        "report": report.relative_to(run.project_root).as_posix(),
    }
    run.emit(Produced("dataset", info.path.relative_to(run.project_root).as_posix(), told))


def _watched(records: Iterator[Record], reading: Reading, name: str, run: RunContext) -> Iterator[Record]:
    """The records, with a safe point and a word about progress now and then."""
    for count, record in enumerate(records, 1):
        if count % _EVERY == 0:
            run.safe_point()
            run.emit(Stage(f"Reading {name}: {len(reading.rejected)} left out", reading.total))
        yield record


def _write_report(reading: Reading, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "rejected.jsonl"
    with report.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(asdict(row), ensure_ascii=True) + "\n" for row in reading.rejected)
    return report


def _none_left(path: Path, reading: Reading) -> str:
    return f"None of the {reading.total:,} rows of {path} can be used as {reading.kind}. {reading.rejected[0].said}."


def _quoting(reading: Reading) -> str:
    lines = ", ".join(str(line) for line in reading.control_text[:10])
    return f"{len(reading.control_text)} records quote a model's control tokens (lines {lines}…)."
