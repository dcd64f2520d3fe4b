"""A project: one folder with what people said, what runs said, and what they made."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.errors import StoreDamaged, StoreError
from rlhf_engine.store.database import store_errors, sync_folder
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.locks import FileLock
from rlhf_engine.store.repair import Check, Repair, check_labels, repair_labels
from rlhf_engine.store.restore import Restored, restore_labels
from rlhf_engine.store.snapshots import Snapshot, find_snapshot, list_snapshots, take_snapshot, thin

if TYPE_CHECKING:
    from rlhf_engine.store.runs import RunsReader

FORMAT = 1  # of the folder; a higher one is refused
FOLDERS = ("datasets", "runs", "exports")
BACKUPS = "backups"
_CARD = "project.json"


class Project:
    """An open project. Made by `create` and `open`; whoever opens it to write holds its lock until `close`."""

    def __init__(self, root: Path, card: dict[str, Any], labels: Labels, lock: FileLock | None) -> None:
        self.root = root
        self.name = str(card["name"])
        self.id = str(card["id"])
        self.labels = labels
        self._lock = lock

    @property
    def writable(self) -> bool:
        return self._lock is not None

    @cached_property
    def runs(self) -> RunsReader:
        from rlhf_engine.store.runs import RunsReader

        return RunsReader(self.root)

    @classmethod
    def create(cls, root: Path | str, name: str = "") -> Project:
        """Make a project in a folder that is new or empty, and open it to write. Raises StoreError for any other."""
        root = Path(root).expanduser().absolute()
        with store_errors(root):
            if root.exists() and any(entry.name != ".lock" for entry in root.iterdir()):
                what = "already holds a project" if is_project(root) else "is not empty"
                raise StoreError(f"{root} {what}.", "Choose a new folder.")
            root.mkdir(parents=True, exist_ok=True)
            lock = _lock(root)
            try:
                for folder in FOLDERS:
                    (root / folder).mkdir(exist_ok=True)
                Labels(root / "labels.db").close()
                card = {"format": FORMAT, "id": uuid.uuid4().hex, "name": name or root.name, "created": _now()}
                _write_card(root, card)  # last: a folder without it is no project yet
            finally:
                lock.release()
        return cls.open(root)

    @classmethod
    def create_starter(cls, root: Path | str, name: str = "") -> Project:
        """Make a project with the prompts, demonstrations and comparisons that come with the starter model."""
        from resources.starter import PROJECT

        project = cls.create(root, name)
        try:
            for kind in ("prompts", "demonstrations", "comparisons"):
                project.labels.add_many(kind, _lines(PROJECT / f"{kind}.jsonl"), source="rule", author="starter")
        except BaseException:
            project.close()
            raise
        return project

    @classmethod
    def open(cls, root: Path | str, write: bool = True) -> Project:
        """Open a project's folder.

        Raises:
            ProjectLocked: another process has it open to write; with `write=False` it can be read all the same.
            StoreError: no project there, a damaged one, or one made by a newer version of this program.
        """
        root = Path(root).expanduser().absolute()
        card = _read_card(root)
        if not (root / "labels.db").is_file():
            hint = "Repair the project: its journal has a copy."
            raise StoreDamaged(f"{root / 'labels.db'} is missing.", hint, str(root))
        lock = _lock(root) if write else None
        try:
            with store_errors(root):
                for folder in FOLDERS if write else ():
                    (root / folder).mkdir(exist_ok=True)
            return cls(root, card, Labels(root / "labels.db", write), lock)
        except BaseException:
            if lock:
                lock.release()
            raise

    def check(self) -> Check:
        """Whether all labels are as they were written. Takes a while for many; may be called from any thread."""
        return check_labels(self.root / "labels.db")

    @classmethod
    def look_into(cls, root: Path | str) -> Check:
        """`check` of a project that need not be open, nor be able to."""
        root = Path(root).expanduser().absolute()
        _read_card(root)
        return check_labels(root / "labels.db")

    def snapshot(self) -> Path:
        """Copy the labels as they are now into `backups/`, delete the copies that are too many, and return the new one.

        May be called from any thread; others read and write meanwhile. Raises DiskFull.
        """
        made = take_snapshot(self.root / "labels.db", self.root / BACKUPS)
        thin(self.root / BACKUPS)
        return made

    @classmethod
    def snapshots(cls, root: Path | str) -> list[Snapshot]:
        """The copies that there are, newest first."""
        root = Path(root).expanduser().absolute()
        _read_card(root)
        return list_snapshots(root / BACKUPS)

    @classmethod
    def repair(cls, root: Path | str) -> Repair:
        """Put damaged or lost labels of a closed project back from journal and snapshots.

        Raises:
            ProjectLocked: it is open.
        """
        root = Path(root).expanduser().absolute()
        _read_card(root)
        lock = _lock(root)
        try:
            return repair_labels(root / "labels.db")
        finally:
            lock.release()

    @classmethod
    def restore(cls, root: Path | str, snapshot: str = "", rewind: bool = False) -> Restored:
        """Put a snapshot (the newest, or the one of this name) in the place of a closed project's labels.

        What was said after it is put back from the journal; with `rewind` it is left out. Either way the labels as they
        were before stay in `backups/`.

        Raises:
            ProjectLocked: it is open.
            StoreError: there is no such snapshot.
        """
        root = Path(root).expanduser().absolute()
        _read_card(root)
        lock = _lock(root)
        try:
            return restore_labels(root / "labels.db", find_snapshot(root / BACKUPS, snapshot).path, rewind)
        finally:
            lock.release()

    def close(self) -> None:
        """Let go of the databases and the lock. Closing twice is no fault."""
        self.labels.close()
        if "runs" in self.__dict__:
            self.runs.close()
            del self.__dict__["runs"]
        if self._lock:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_project(root: Path | str) -> bool:
    return (Path(root) / _CARD).is_file()


def require_known(root: Path | str) -> None:
    """Raise StoreError for a folder without a project, and for one of a newer version, which must not be written to."""
    _read_card(Path(root))


def _lock(root: Path) -> FileLock:
    return FileLock(root / ".lock", f"The project {root} is already open: {{holder}}.")


def _read_card(root: Path) -> dict[str, Any]:
    file = root / _CARD
    if not file.is_file():
        raise StoreError(f"{root} holds no project.", "Choose a folder with a project.json, or create a project.")
    try:
        card: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if card["format"] > FORMAT:
            raise StoreError(f"{root} was made by a newer version of this program.", "Update the program to open it.")
        return {**card, "name": card["name"], "id": card["id"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{file} cannot be understood: {error}.", "Restore it from a backup.") from error


def _write_card(root: Path, card: dict[str, Any]) -> None:
    unfinished = root / f".{_CARD}.new"
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(card, file, ensure_ascii=False, indent=2)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(root / _CARD)
    sync_folder(root)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as stream:
        yield from (json.loads(line) for line in stream if line.strip())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
