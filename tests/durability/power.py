"""Cuts the power, thousands of times, and counts what is lost: `python -m tests.durability.power --count 5000`.

A project is written to while a shim notes every write and every fsync. Each cut takes a moment of that record: what was
synced by then is on the disk; of the rest nothing, the first part, or a random half survives, writes torn at sectors of
512 bytes, and files and names that no fsync of their folder covers may be gone. Then labels.db is opened alone, and the
journal alone: each must hold every label acknowledged by that moment.

`--how normal` (synchronous=NORMAL) and `--how unsynced` (a journal without fsync) must lose some.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_engine.store import journal as journal_module
from rlhf_engine.store.journal import read_journal
from rlhf_engine.store.project import Project
from rlhf_engine.store.schema import FACTS, row_hash
from tests.durability.shim import ROOT, Disk, build, environment, scratch

SECTOR = 512
LABELS, CUTS = 60, 250  # of one life
_HEAD = struct.Struct("<cHQI")


# --- the life that is recorded --------------------------------------------------------------------------------------


def live(root: Path, seed: int, how: str) -> None:
    """Say things in a project, and put the id of each into the record once it is acknowledged."""
    disk, rng = Disk(), random.Random(seed)
    if how == "unsynced":
        journal_module.os = type("Os", (), {**vars(os), "fsync": lambda _: None})
    with Project.open(root) as project:
        labels = project.labels
        labels._db.execute(f"PRAGMA wal_autocheckpoint={rng.choice((2, 20, 1000))}")
        if how == "normal":
            labels._db.execute("PRAGMA synchronous=NORMAL")
        for _ in range(LABELS):
            text = "x" * rng.choice((5, 300, 6000))
            pair = labels.add_pair(f"prompt {text}", "a", "b")
            disk.note(pair)
            disk.note(labels.judge(pair, rng.choice(("a", "b", "tie", "skip"))))
            if rng.random() < 0.1:
                labels.undo_last()
            if rng.random() < 0.05:
                labels.add_many("prompts", [{"prompt": f"{rng.random()}"} for _ in range(20)])
            if rng.random() < 0.03:
                project.snapshot()
    disk.note("closed")


# --- the disk -------------------------------------------------------------------------------------------------------


@dataclass
class File:
    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # (offset, data), or (length, None)


class Platter:
    """What is on the disk for certain, and what was only asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {str(path): File(bytearray(path.read_bytes())) for path in folder.rglob("*") if path.is_file()}
        self.safe = dict(self.files)  # names as of the last fsync of their folder

    def take(self, op: str, path: str, offset: int, data: bytes) -> None:
        if path.endswith("-shm"):
            return  # written through memory, and made anew by whoever opens the database
        match op:
            case "C":
                self.files[path] = File()
            case "W":
                self.files[path].pending.append((offset, data))
            case "T":
                self.files[path].pending.append((offset, None))
            case "S":
                file = self.files[path]
                for write in file.pending:
                    _apply(file.synced, *write)
                file.pending.clear()
            case "R":
                self.files[data.decode()] = self.files.pop(path)
            case "U":
                self.files.pop(path, None)
            case "D":
                here = [name for name in {**self.files, **self.safe} if os.path.dirname(name) == path]  # noqa: PTH120
                for name in here:
                    if name in self.files:
                        self.safe[name] = self.files[name]
                    else:
                        self.safe.pop(name, None)

    def cut(self, rng: random.Random, into: Path) -> None:
        """Write down what a disk could hold after a power cut now."""
        fate = rng.choice(("none", "first", "half", "all"))
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        for name in sorted({*self.files, *self.safe}):
            old, new = self.safe.get(name), self.files.get(name)
            file = old if old is new or fate == "none" or (fate != "all" and rng.random() < 0.5) else new
            if file is None:
                continue
            target = into / Path(name).relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_survives(file, fate, rng))


def _survives(file: File, fate: str, rng: random.Random) -> bytes:
    content = bytearray(file.synced)
    sectors = [part for write in file.pending for part in _sectors(*write)]
    if fate == "none":
        sectors = []
    elif fate == "first":
        sectors = sectors[: rng.randint(0, len(sectors))]
    elif fate == "half":
        sectors = [part for part in sectors if rng.random() < 0.5]
    for part in sectors:
        _apply(content, *part)
    return bytes(content)


def _sectors(offset: int, data: bytes | None) -> Iterator[tuple[int, bytes | None]]:
    if data is None:
        yield offset, None
        return
    at = 0
    while at < len(data):
        size = SECTOR - (offset + at) % SECTOR
        yield offset + at, data[at : at + size]
        at += size


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def records(log: Path) -> list[tuple[str, str, int, bytes]]:
    raw, at, found = log.read_bytes(), 0, []
    while at < len(raw):
        op, path, offset, length = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        found.append((op.decode(), raw[at : at + path].decode(), offset, raw[at + path : at + path + length]))
        at += path + length
    return found


# --- the verdict ----------------------------------------------------------------------------------------------------


def in_database(root: Path) -> tuple[set[str], int]:
    """The ids of labels.db on its own, and how many rows are not as they were written."""
    with contextlib.closing(sqlite3.connect(root / "labels.db")) as db:
        db.row_factory = sqlite3.Row
        ids, torn = set(), 0
        for table in FACTS:
            for row in map(dict, db.execute(f"SELECT * FROM {table}")):
                ids.add(row["id"])
                torn += row["hash"] != row_hash(table, row)
    return ids, torn


def in_journal(root: Path) -> set[str]:
    return {entry[1]["id"] for entry in read_journal(root / "labels.journal.jsonl") if entry}


def cut_power(count: int, how: str = "full", seed: int = 0) -> dict[str, float]:
    found: dict[str, float] = dict.fromkeys(
        ("cuts", "acknowledged", "lost", "cuts with loss", "lost by the journal", "torn", "unreadable", "unsound"), 0
    )
    start = time.monotonic()
    rng = random.Random(seed)
    with scratch() as name:
        folder = Path(name).resolve()
        library = build(folder)
        root, log, after = folder / "project", folder / "log", folder / "after"
        Project.create(root).close()
        lives = 0
        while found["cuts"] < count:
            log.unlink(missing_ok=True)
            platter = Platter(root)
            known = in_database(root)[0]  # as in an earlier life: also what was not acknowledged there
            command = [sys.executable, "-m", "tests.durability.power", "--live", str(root), how]
            command += ["--seed", str(rng.randrange(2**32))]
            subprocess.run(command, check=True, cwd=ROOT, env=environment(library, root, log))
            told = records(log)
            wanted = min(CUTS, count - int(found["cuts"]))
            moments = sorted(rng.sample(range(len(told)), min(wanted, len(told))))
            acknowledged: set[str] = set()
            done = 0
            for moment in moments:
                for op, path, offset, data in told[done:moment]:
                    if op == "N":
                        acknowledged.add(data.decode())
                    else:
                        platter.take(op, path, offset, data)
                done = moment
                platter.cut(rng, after)
                _judge(after, known | (acknowledged - {"closed"}), found, sound=rng.random() < 0.1)
            shutil.rmtree(root)
            after.rename(root)  # the next life goes on from the last cut
            if lives % 2 == 1:  # or, before cuts become slow, from nothing
                shutil.rmtree(root)
                Project.create(root).close()
            lives += 1
            Project.open(root).close()
    return {**found, "seconds": round(time.monotonic() - start, 1)}


def _judge(root: Path, acknowledged: set[str], found: dict[str, float], sound: bool) -> None:
    found["cuts"] += 1
    found["acknowledged"] += len(acknowledged)
    told = in_journal(root)
    found["lost by the journal"] += len(acknowledged - told)
    try:
        ids, torn = in_database(root)
    except sqlite3.Error:
        found["unreadable"] += 1
        return
    found["torn"] += torn
    lost = len(acknowledged - ids)
    found["lost"] += lost
    found["cuts with loss"] += bool(lost)
    if sound:  # and the program itself goes on from there
        with Project.open(root) as project:
            check = project.check()
            seen = {row["id"] for table in FACTS for row in project.labels._rows(f"SELECT id FROM {table}")}
            found["unsound"] += bool(not check.healthy or check.unjournaled or not acknowledged <= seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--how", choices=("full", "normal", "unsynced"), default="full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--live", nargs=2, metavar=("ROOT", "HOW"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.live:
        live(Path(asked.live[0]), asked.seed, asked.live[1])
    else:
        sys.stdout.write(json.dumps(cut_power(asked.count, asked.how, asked.seed)) + "\n")


if __name__ == "__main__":
    main()
