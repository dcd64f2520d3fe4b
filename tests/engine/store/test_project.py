"""A project's folder: made once, opened by one writer, and mended from its journal."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resources import starter
from rlhf_engine.contract.errors import ProjectLocked, StoreError
from rlhf_engine.data.records import Rating
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.project import Project, is_project
from rlhf_engine.store.schema import STEPS

ROOT = Path(__file__).parents[3]


def test_a_project_is_made_opened_and_closed(tmp_path):
    with Project.create(tmp_path / "mine", "My project") as project:
        assert (project.name, project.writable) == ("My project", True)
        assert is_project(project.root)
        project.labels.add_prompt("p")
        made_as = project.id
    with Project.open(tmp_path / "mine") as project:
        assert (project.name, project.id, project.labels.count("prompts")) == ("My project", made_as, 1)
        assert project.runs.runs() == []
    project.close()  # twice is no fault


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("x")
    with pytest.raises(StoreError, match="is not empty"):
        Project.create(tmp_path)
    Project.create(tmp_path / "mine").close()
    with pytest.raises(StoreError, match="already holds a project"):
        Project.create(tmp_path / "mine")


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (None, "holds no project"),
        ("{", "cannot be understood"),
        ('{"format": 99}', "newer version"),
        ("[]", "understood"),
    ],
)
def test_what_is_no_project_of_ours_is_refused_in_a_sentence(tmp_path, card, said):
    if card is not None:
        (tmp_path / "project.json").write_text(card)
    with pytest.raises(StoreError, match=said):
        Project.open(tmp_path)


def test_a_second_writer_is_told_who_has_it_and_a_reader_is_let_in(tmp_path):
    with Project.create(tmp_path / "mine") as project:
        with pytest.raises(ProjectLocked, match=r"already open: process \d+ on "):
            Project.open(project.root)
        with Project.open(project.root, write=False) as reader:
            assert reader.labels.count("prompts") == 0 and not reader.writable


def test_the_lock_of_a_killed_process_frees_itself_at_once(tmp_path):
    Project.create(tmp_path / "mine").close()
    code = "import sys; from rlhf_engine.store.project import Project; p = Project.open(sys.argv[1])"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}; print('open', flush=True); sys.stdin.read()", str(tmp_path / "mine")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout.readline() == "open\n"
    with pytest.raises(ProjectLocked, match=f"process {process.pid} on"):
        Project.open(tmp_path / "mine")
    process.send_signal(signal.SIGKILL)
    process.wait()
    start = time.monotonic()
    Project.open(tmp_path / "mine").close()
    assert time.monotonic() - start < 1


def test_the_starter_project_holds_what_comes_with_the_starter_model(tmp_path):
    rows = {
        kind: [
            json.loads(line) for line in (starter.PROJECT / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        for kind in ("prompts", "demonstrations", "comparisons")
    }
    with Project.create_starter(tmp_path / "mine") as project:
        assert project.labels.count("comparisons") == len(rows["comparisons"])
        assert project.labels.count("demonstrations") == len(rows["demonstrations"])
        assert project.labels.tally()["tie"] == sum(row["winner"] == "tie" for row in rows["comparisons"])
        first = next(iter(project.labels.records("demonstrations")))
        assert (first.completion, first.source) == (rows["demonstrations"][0]["completion"], "rule")


def filled(tmp_path, n=60):
    project = Project.create(tmp_path / "mine")
    rows = [
        {"prompt": f"prompt {i} " + "x" * 40, "a": f"a {i}", "b": f"b {i}", "winner": "ab"[i % 2]} for i in range(n)
    ]
    project.labels.add_many("comparisons", rows)
    project.labels.retire("comparisons", project.labels.page("comparisons")[3]["id"])
    said = list(project.labels.records("comparisons"))
    tally = project.labels.tally()
    project.close()
    return tmp_path / "mine", said, tally


def test_a_healthy_project_is_said_to_be_healthy_and_repair_does_nothing(tmp_path):
    root, said, _ = filled(tmp_path)
    with Project.open(root) as project:
        check = project.check()
        assert check.healthy and check.rows == 121 and "All 121 rows" in str(check)
        with pytest.raises(ProjectLocked):
            Project.repair(root)
    assert Project.repair(root).backup is None
    with Project.open(root) as project:
        assert list(project.labels.records("comparisons")) == said


def test_rows_that_were_changed_or_deleted_behind_our_back_come_back_from_the_journal(tmp_path):
    root, said, tally = filled(tmp_path)
    labels = Labels(root / "labels.db")
    labels._db.execute("UPDATE comparisons SET winner = 'b' WHERE row = 1")
    labels._db.execute("UPDATE pairs SET a = 'forged' WHERE row = 7")
    labels._db.execute("DELETE FROM comparisons WHERE row = 20")
    check = labels.check()
    labels.close()

    assert check.damaged == [("pairs", 7), ("comparisons", 1)]
    assert check.missing == [("comparisons", 20)]
    assert not check.healthy and "2 rows have changed" in str(check)

    repair = Project.repair(root)
    assert (repair.restored, repair.lost) == (3, [])
    assert repair.backup is not None and repair.backup.is_file()
    with Project.open(root) as project:
        assert project.check().healthy
        assert list(project.labels.records("comparisons")) == said
        assert project.labels.tally() == tally


def test_a_row_that_the_journal_lacks_too_is_hidden_and_named(tmp_path):
    root, said, _ = filled(tmp_path)
    journal = root / "labels.journal.jsonl"
    kept = [line for line in journal.read_text().splitlines() if '"prompt 5 ' not in line]
    journal.write_text("\n".join(kept) + "\n")
    labels = Labels(root / "labels.db")
    labels._db.execute("UPDATE pairs SET a = 'forged' WHERE row = 6")
    labels.close()

    repair = Project.repair(root)
    assert repair.lost == [("pairs", 6)]
    with Project.open(root) as project:
        assert project.labels.count("pairs") == 59
        check = project.check()
        assert check.healthy and check.lost == [("pairs", 6)]  # known, and hidden
        prompts = [record.prompt for record in project.labels.records("comparisons")]
        assert prompts == [record.prompt for record in said if not record.prompt.startswith("prompt 5 ")]


def as_version_1(root):
    """Put the same rows into a database that has seen the first step only."""
    made = root / "version_1.db"
    old = sqlite3.connect(made)
    for statement in STEPS[0]:
        old.execute(statement)
    old.execute("ATTACH ? AS now", [str(root / "labels.db")])
    for (table,) in old.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
        columns = ", ".join(row[1] for row in old.execute(f"PRAGMA main.table_info({table})"))
        old.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table}")
    old.execute("PRAGMA main.user_version=1")
    old.commit()
    old.close()
    for suffix in ("-wal", "-shm"):
        (root / f"labels.db{suffix}").unlink(missing_ok=True)
    made.replace(root / "labels.db")


def test_a_project_of_version_1_is_migrated_when_it_is_opened_and_nothing_in_it_changes(tmp_path):
    root, said, tally = filled(tmp_path)
    as_version_1(root)
    with pytest.raises(StoreError, match="written by an older version"):
        Project.open(root, write=False)
    with Project.open(root) as project:
        labels = project.labels
        assert (list(labels.records("comparisons")), labels.tally()) == (said, tally)
        assert (labels.count("ratings"), list(labels.records("ratings"))) == (0, [])
        labels.add_rating("p", "a", True)
        assert labels._one("PRAGMA user_version") == len(STEPS)
        assert project.check().healthy
    with Project.open(root, write=False) as reader:
        assert [record.completion for record in reader.labels.records("ratings")] == ["a"]


def test_the_first_step_of_the_schema_is_what_version_1_projects_were_made_with():
    # Steps are only ever appended: the sha256 of version 1, as it was released. A change here needs a new step instead.
    digest = hashlib.sha256("\n".join(STEPS[0]).encode()).hexdigest()
    assert digest.startswith("6217f33742d0")


def test_a_project_of_version_1_can_be_checked_and_repaired_before_it_is_opened(tmp_path):
    root, said, tally = filled(tmp_path)
    as_version_1(root)
    check = Labels.check(type("Closed", (), {"path": root / "labels.db"})())
    assert check.healthy and check.rows == 121
    assert Project.repair(root).backup is None

    connection = sqlite3.connect(root / "labels.db")
    connection.execute("UPDATE pairs SET a = 'forged' WHERE row = 7")
    connection.commit()
    connection.close()
    repair = Project.repair(root)
    assert (repair.restored, repair.lost) == (1, [])
    with Project.open(root) as project:
        assert project.check().healthy
        assert (list(project.labels.records("comparisons")), project.labels.tally()) == (said, tally)


def test_ratings_come_back_from_the_journal_and_from_a_backup(tmp_path):
    with Project.create(tmp_path / "mine") as project:
        project.labels.add_many("ratings", [Rating("p", f"a{i}", i % 2 == 0) for i in range(9)])
        project.labels.retire("ratings", project.labels.page("ratings")[4]["id"])
        said = list(project.labels.records("ratings"))
        copy = project.snapshot()
        project.labels._db.execute("UPDATE ratings SET liked = 0 WHERE row = 1")
        project.labels._db.execute("DELETE FROM ratings WHERE row = 3")
        check = project.check()
    assert (check.damaged, check.missing) == ([("ratings", 1)], [("ratings", 3)])
    assert Project.repair(tmp_path / "mine").restored == 2
    with Project.open(tmp_path / "mine") as project:
        assert list(project.labels.records("ratings")) == said and len(said) == 8
        assert project.check().healthy
    snapshot = Labels(copy, write=False)
    assert list(snapshot.records("ratings")) == said
    snapshot.close()


def test_a_verdict_that_is_not_what_the_rows_say_is_found_and_worked_out_again(tmp_path):
    root, said, tally = filled(tmp_path)
    labels = Labels(root / "labels.db")
    labels._db.execute("UPDATE verdicts SET winner = 'skip' WHERE pair = 9")
    check = labels.check()
    labels.close()
    assert check.standings_wrong and "which judgements count" in str(check)

    Project.repair(root)
    with Project.open(root) as project:
        assert (list(project.labels.records("comparisons")), project.labels.tally()) == (said, tally)


def test_what_only_the_database_has_is_written_to_the_journal(tmp_path):
    root, said, _ = filled(tmp_path)
    (root / "labels.journal.jsonl").unlink()
    assert Project.repair(root).restored == 0
    (root / "labels.db").unlink()
    with pytest.raises(StoreError, match=r"labels\.db is missing"):
        Project.open(root)
    Project.repair(root)
    with Project.open(root) as project:
        assert list(project.labels.records("comparisons")) == said


def test_flipped_bits_never_change_a_label_silently(tmp_path):
    root, said, _ = filled(tmp_path)
    file = root / "labels.db"
    whole = file.read_bytes()
    rng = random.Random(0)
    found = 0
    for _ in range(80):
        raw = bytearray(whole)
        at = rng.randrange(100, len(raw))
        raw[at] ^= 1 << rng.randrange(8)
        file.write_bytes(raw)
        for extra in ("labels.db-wal", "labels.db-shm"):
            (root / extra).unlink(missing_ok=True)
        labels_as_read = _records_or_none(file)
        check = Labels.check(type("Closed", (), {"path": file})())
        if not check.healthy:
            found += 1
            Project.repair(root)
            with Project.open(root) as project:
                assert list(project.labels.records("comparisons")) == said
        else:
            assert labels_as_read == said  # the bit was in space that holds nothing, or in a standing
    assert found > 10


def _records_or_none(file):
    try:
        labels = Labels(file, write=False)
    except StoreError:
        return None
    try:
        return list(labels.records("comparisons"))
    except (StoreError, ValueError, KeyError):
        return None
    finally:
        labels.close()


def test_a_snapshot_of_an_open_project_is_complete(tmp_path):
    with Project.create(tmp_path / "mine") as project:
        for i in range(50):
            project.labels.add_prompt(f"p{i}")
        copy = project.snapshot()
        project.labels.add_prompt("later")
    snapshot = Labels(copy, write=False)
    assert snapshot.count("prompts") == 50
    snapshot.close()
    assert copy.parent == project.root / "backups"


def test_opening_a_project_imports_neither_torch_nor_pandas(tmp_path):
    Project.create(tmp_path / "mine").close()
    code = (
        "import sys, rlhf_engine.data.reading, rlhf_engine.data.datasets\n"
        "from rlhf_engine.store.project import Project\n"
        "Project.open(sys.argv[1]); sys.exit(bool({'torch', 'transformers', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "mine")], cwd=ROOT).returncode == 0
