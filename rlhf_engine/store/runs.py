"""What runs said: one writer at a time, any number of readers, and every run's story complete to the last event."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlite_utils import Database

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.contract.events import (
    CheckpointSaved,
    Curve,
    Envelope,
    Event,
    Produced,
    RunFinished,
    RunStarted,
    Sample,
)
from rlhf_engine.store.locks import FileLock, Holder, holder
from rlhf_engine.store.run_row import GOING, RunRow, all_columns, changing_columns, row_of, storable
from rlhf_engine.store.runs_schema import open_for_reading, open_for_writing, sqlite_errors

__all__ = ["DATABASE", "GOING", "INTERRUPTED", "LOCK", "RunRow", "RunsReader", "RunsWriter"]
DATABASE, LOCK = "runs.db", "runs.lock"
INTERRUPTED = RunFinished(
    "failed", "The engine process ended before the run did.", "Resume the run from its last checkpoint."
)
_DURABLE = (RunStarted, CheckpointSaved, Produced, RunFinished)  # these survive a power cut, all else a kill -9


class RunsWriter:
    """The only writer of a project's runs.db, for as long as it is open. `append` may be called from any thread.

    Opening it writes the end of every run whose process died without one.

    Raises:
        ProjectLocked: another process is doing a run in this project.
        StoreError: the database is damaged or was written by a newer version.
    """

    def __init__(self, root: Path, patience: float = 0.3) -> None:
        self._path = root / DATABASE
        self._lock = FileLock(
            root / LOCK,
            "A run is going on in this project, in {holder}.",
            "Wait until it has ended, or cancel it with `rlhf cancel`.",
            patience,
        )
        self._guard = threading.Lock()
        self._rows: dict[str, RunRow] = {}
        self._unwritten: list[Envelope] = []
        try:
            self._db = open_for_writing(self._path)
            self._end_what_died()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> RunsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._guard:
            self._db.close()
            self._lock.release()

    def start(self, run_id: str, spec_json: str, task: str, name: str = "") -> int:
        """Give a run its row, or take up again one that has ended. Returns the `seq` its next event must have."""
        with self._guard, sqlite_errors(self._path):
            row = _row(self._db, run_id) or RunRow(run_id, task, name, spec_json, "running", time.time())
            row = replace(row, state="running", name=name or row.name)
            with self._db.atomic():
                self._db.table("runs").upsert(all_columns(row), pk="id")
            self._rows[run_id] = row
            return _next_seq(self._db, run_id)

    def append(self, *envelopes: Envelope) -> None:
        """Add what runs have just said, in one transaction.

        What could not be written is kept and tried again with the next call, so that no story gets a hole.
        """
        with self._guard, sqlite_errors(self._path):
            self._unwritten += envelopes
            self._write(self._unwritten)
            self._unwritten = []

    def rename(self, run_id: str, name: str | None = None, note: str | None = None) -> None:
        """Change what a person calls a run, or their note on it."""
        changes = {key: storable(value) for key, value in (("name", name), ("note", note)) if value is not None}
        with self._guard, sqlite_errors(self._path):
            if _row(self._db, run_id) is None:
                raise StoreError(f"There is no run {run_id}.")
            with self._db.atomic():
                self._db.table("runs").update(run_id, changes)
            if run_id in self._rows:
                row = self._rows[run_id]
                self._rows[run_id] = replace(
                    row, name=changes.get("name", row.name), note=changes.get("note", row.note)
                )

    def delete(self, run_id: str) -> None:
        """Forget a run that has ended. Its folder is not touched."""
        with self._guard, sqlite_errors(self._path), self._db.atomic():
            self._db.table("events").delete_where("run_id = ?", [run_id])
            self._db.table("runs").delete_where("id = ?", [run_id])

    def _write(self, envelopes: list[Envelope]) -> None:
        rows = dict(self._rows)
        for envelope in envelopes:
            rows[envelope.run_id] = rows[envelope.run_id].after(envelope)
        durable = any(isinstance(envelope.event, _DURABLE) for envelope in envelopes)
        if durable:
            self._db.execute("pragma synchronous=full")
        try:
            with self._db.atomic():
                for envelope in envelopes:
                    self._db.execute("insert into events values (?, ?, ?, ?)", _event(envelope))
                for run_id in {envelope.run_id for envelope in envelopes}:
                    if rows[run_id] != self._rows[run_id]:
                        self._db.execute(_UPDATE, changing_columns(rows[run_id]))
        finally:
            if durable:
                self._db.execute("pragma synchronous=normal")
        self._rows = rows

    def _end_what_died(self) -> None:
        with sqlite_errors(self._path), self._db.atomic():
            for body in list(self._db["runs"].rows_where("state in (?, ?)", GOING)):
                row = row_of(body)
                end = Envelope(row.id, _next_seq(self._db, row.id), time.time(), INTERRUPTED)
                self._db.execute("insert into events values (?, ?, ?, ?)", _event(end))
                self._db.execute(_UPDATE, changing_columns(replace(row.after(end), state="interrupted")))


class RunsReader:
    """Reads a project's runs from any thread, while someone else writes them and before anyone has."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / DATABASE
        self._guard = threading.Lock()
        self._db: Database | None = None

    def close(self) -> None:
        with self._guard:
            if self._db is not None:
                self._db.close()
            self._db = None

    def at_work(self) -> Holder | None:
        """The process that is doing runs in this project now, if any."""
        return holder(self._root / LOCK)

    def runs(self) -> list[RunRow]:
        """Newest first."""
        return self._rows("select * from runs order by created desc, rowid desc")

    def run(self, run_id: str) -> RunRow | None:
        return next(iter(self._rows("select * from runs where id = ?", run_id)), None)

    def going(self) -> RunRow | None:
        """The run in progress in whatever process."""
        return next((row for row in self._rows("select * from runs where state in (?, ?)", *GOING) if row.alive), None)

    def story(self, run_id: str, after: int = -1) -> Iterator[Envelope]:
        """What a run has said after number `after`, in order. A page at a time: a writer's checkpoint never waits."""
        while page := self._query(
            "select seq, line from events where run_id = ? and seq > ? order by seq limit 500", run_id, after
        ):
            for body in page:
                yield Envelope.from_json(body["line"])
            after = page[-1]["seq"]

    def next_seq(self, run_id: str) -> int:
        found = self._query("select max(seq) + 1 as next from events where run_id = ?", run_id)
        return int(found[0]["next"] or 0) if found else 0

    def ended(self, run_id: str) -> bool:
        """Whether the last event stored is an end."""
        kinds = self._query("select kind from events where run_id = ? order by seq desc limit 1", run_id)
        return bool(kinds) and kinds[0]["kind"] == "RunFinished"

    def metrics(self, run_id: str) -> dict[str, list[tuple[int, float]]]:
        """The curves of a run as (step, value) points, without the steps that a resumed run did again."""
        curves: dict[str, list[tuple[int, float]]] = {}
        for event in self._standing(run_id, "Metrics"):
            for name, value in event.values.items():
                curves.setdefault(name, []).append((event.step, value))
        return curves

    def hardware(self, run_id: str) -> str:
        """What the run said it was done on, last; "" where it did not."""
        lines = self._query("select line from events where run_id = ? and kind = 'RunStarted' order by seq", run_id)
        said = [str(Envelope.from_json(body["line"]).event.hardware) for body in lines]  # type: ignore[union-attr]
        return next((words for words in reversed(said) if words), "")

    def samples(self, run_id: str) -> list[Sample]:
        return self._standing(run_id, "Sample")

    def curves(self, run_id: str) -> list[Curve]:
        """What a run drew over something other than steps, without what a resumed run took back."""
        return self._standing(run_id, "Curve")

    def produced(self, run_id: str) -> list[Produced]:
        lines = self._query("select line from events where run_id = ? and kind = 'Produced' order by seq", run_id)
        return [Envelope.from_json(body["line"]).event for body in lines]  # type: ignore[misc]

    def _standing(self, run_id: str, kind: str) -> list[Any]:
        """Events of one kind, without those that a later RunStarted took back."""
        standing: list[Any] = []
        query = "select line from events where run_id = ? and kind in (?, 'RunStarted') order by seq"
        for body in self._query(query, run_id, kind):
            event: Event = Envelope.from_json(body["line"]).event
            if isinstance(event, RunStarted):
                standing = [old for old in standing if old.step <= event.from_step]
            else:
                standing.append(event)
        return standing

    def _rows(self, sql: str, *parameters: Any) -> list[RunRow]:
        """A run that says it is going while nobody is at work has lost its process.

        It is asked twice: between reading the row and looking for its process, it may have ended like any other.
        """
        for _ in range(2):
            rows = [row_of(body) for body in self._query(sql, *parameters)]
            if not any(row.alive for row in rows) or self.at_work() is not None:
                return rows
        lost = {"state": "interrupted", "message": INTERRUPTED.message, "hint": INTERRUPTED.hint}
        return [replace(row, **lost) if row.alive else row for row in rows]  # type: ignore[arg-type]

    def _query(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        with self._guard, sqlite_errors(self._path):
            if self._db is None:
                self._db = open_for_reading(self._path)
            return [] if self._db is None else list(self._db.query(sql, parameters))


_UPDATE = """
    update runs set state = :state, ended = :ended, step = :step, total = :total,
    metrics = :metrics, message = :message, hint = :hint where id = :id
"""


def _event(envelope: Envelope) -> tuple[str, int, str, str]:
    return envelope.run_id, envelope.seq, type(envelope.event).__name__, storable(envelope.to_json())


def _row(db: Database, run_id: str) -> RunRow | None:
    return next((row_of(body) for body in db["runs"].rows_where("id = ?", [run_id])), None)


def _next_seq(db: Database, run_id: str) -> int:
    last = db.execute("select max(seq) from events where run_id = ?", [run_id]).fetchone()[0]
    return 0 if last is None else int(last) + 1
