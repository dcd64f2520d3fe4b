"""Snapshots: when one is due, which are kept, and that going back to one gives what it held, or loses nothing."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from rlhf_engine.contract.errors import DiskFull, ProjectLocked, StoreError
from rlhf_engine.store import snapshots
from rlhf_engine.store.project import Project
from rlhf_engine.store.snapshots import is_due, list_snapshots, said_since_last, to_keep

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def said(project):
    return [(row["id"], row["winner"]) for row in project.labels.standing_comparisons()]


def judged(tmp_path, first=10, later=5):
    """A closed project with a snapshot between its first judgements and the later ones: its root, what was said."""
    with Project.create(tmp_path / "mine") as project:
        for n in range(first):
            project.labels.judge(project.labels.add_pair(f"p{n}", "a", "b"), "ab"[n % 2])
        before = said(project)
        project.snapshot()
        for n in range(later):
            project.labels.judge(project.labels.add_pair(f"later {n}", "a", "b"), "b")
        return project.root, before, said(project)


@pytest.mark.parametrize(
    ("labels", "seconds", "due"),
    [(0, 1e9, False), (49, 1799, False), (50, 0, True), (1, 1800, True), (1, float("inf"), True)],
)
def test_one_is_due_after_fifty_labels_or_half_an_hour_with_any(labels, seconds, due):
    assert is_due(labels, seconds) is due


def test_all_of_two_hours_one_an_hour_of_two_days_one_a_day_a_week_and_a_month_are_kept():
    taken = [NOW - timedelta(minutes=10 * n) for n in range(6 * 24 * 400)]  # every ten minutes of 400 days
    kept = sorted(to_keep(taken, NOW), reverse=True)
    ages = [(NOW - moment).total_seconds() / 3600 for moment in kept]
    assert sum(age <= 2 for age in ages) == 13  # 0, 10, … 120 minutes
    assert [age for age in ages if 2 < age <= 48] == pytest.approx([n + 1 / 6 for n in range(2, 48)])  # at …:50
    # days -3 to -12; weeks reach back to the Monday of ten weeks ago, months to February
    later = [moment for moment, age in zip(kept, ages, strict=True) if age > 48]
    assert [moment.day for moment in later[:10]] == [21, 20, 19, 18, 17, 16, 15, 14, 13, 12]
    assert {(moment.isocalendar()[1]) for moment in later if NOW - moment <= timedelta(weeks=10)} >= set(range(38, 48))
    assert {moment.month for moment in later} >= {2, 3, 4, 5, 6, 7, 8, 9, 10}
    assert len(kept) < 100 and kept[0] == NOW
    assert to_keep(kept, NOW) == set(kept)  # thinning again changes nothing


def test_thinning_day_by_day_keeps_as_much_as_thinning_once():
    start = NOW - timedelta(days=120)
    kept: set[datetime] = set()
    for hour in range(24 * 120):
        now = start + timedelta(hours=hour)
        kept = to_keep([*kept, now], now)
    ages = sorted((now - moment).days for moment in kept)
    assert len([age for age in ages if age < 2]) >= 40 and ages[-1] > 85
    assert all(later - earlier <= 31 for earlier, later in itertools.pairwise(ages))


def test_too_many_bytes_cost_the_oldest_but_never_the_newest_three(tmp_path, monkeypatch):
    for n in range(6):
        (tmp_path / f"labels-2026112{n}-100000-000000.db").write_bytes(b"x" * 100)
    (tmp_path / "labels-before-repair-20200101-100000-000000.db").write_bytes(b"x" * 100)
    monkeypatch.setattr(snapshots, "MOST_BYTES", 450)
    assert len(snapshots.thin(tmp_path, NOW)) == 2
    monkeypatch.setattr(snapshots, "MOST_BYTES", 0)
    snapshots.thin(tmp_path, NOW)
    assert [s.name[7:15] for s in list_snapshots(tmp_path)] == ["20261125", "20261124", "20261123"]
    assert (tmp_path / "labels-before-repair-20200101-100000-000000.db").exists()


def test_what_was_said_since_the_last_is_counted(tmp_path):
    root, _, _ = judged(tmp_path)
    facts, seconds = said_since_last(root / "labels.db", root / "backups")
    assert facts == 10 and 0 <= seconds < 60  # five pairs, five judgements


def test_a_snapshot_is_one_whole_file_and_a_full_disk_refuses_it_before_it_is_full(tmp_path, monkeypatch):
    root, _, _ = judged(tmp_path)
    (snapshot,) = list_snapshots(root / "backups")
    assert [path.name for path in (root / "backups").iterdir()] == [snapshot.path.name]
    connection = sqlite3.connect(f"{snapshot.path.as_uri()}?mode=ro&immutable=1", uri=True)
    assert connection.execute("SELECT count(*) FROM comparisons").fetchone() == (10,)
    connection.close()
    with Project.open(root) as project:
        monkeypatch.setattr(snapshots.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
        with pytest.raises(DiskFull, match="not enough space left for a copy"):
            project.snapshot()
        project.labels.add_prompt("labels go on")
    assert len(list_snapshots(root / "backups")) == 1


def test_restoring_loses_nothing_and_rewinding_gives_what_the_snapshot_held(tmp_path):
    root, before, after = judged(tmp_path)
    restored = Project.restore(root)
    assert restored.later == 10 and restored.repair.restored == 0
    with Project.open(root) as project:
        assert said(project) == after and project.check().healthy
    rewound = Project.restore(root, rewind=True)
    assert rewound.later == 0 and rewound.kept.is_file() and rewound.kept.with_suffix(".journal.jsonl").is_file()
    with Project.open(root) as project:
        assert said(project) == before and project.check().healthy and project.labels.put_back == 0
        project.labels.judge(project.labels.add_pair("anew", "a", "b"), "a")
    with Project.open(root) as project:
        assert len(said(project)) == 11 and project.check().healthy


def test_what_cannot_be_restored_is_refused_in_a_sentence(tmp_path):
    root, _, _ = judged(tmp_path)
    with pytest.raises(StoreError, match="no snapshot 'labels-1'"):
        Project.restore(root, "labels-1")
    with Project.open(root), pytest.raises(ProjectLocked, match="already open"):
        Project.restore(root)
    Project.create(tmp_path / "new").close()
    with pytest.raises(StoreError, match="holds no snapshots"):
        Project.restore(tmp_path / "new")


def test_a_row_damaged_in_database_and_journal_comes_back_from_a_snapshot(tmp_path):
    root, _, after = judged(tmp_path)
    journal = root / "labels.journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"prompt": "p3"', b'"prompt": "p4"', 1))
    connection = sqlite3.connect(root / "labels.db")
    connection.execute("UPDATE pairs SET a = 'forged' WHERE row = 4")
    connection.commit()
    connection.close()
    check = Project.look_into(root)
    assert check.damaged == [("pairs", 4)] and check.rotted_lines == 1
    repair = Project.repair(root)
    assert (repair.restored, repair.lost) == (1, [])
    with Project.open(root) as project:
        assert said(project) == after
        check = project.check()
        assert check.healthy and not check.unjournaled and not check.torn_lines


def test_the_last_rows_gone_from_database_and_journal_alike_are_missed(tmp_path):
    root, _, _ = judged(tmp_path)
    connection = sqlite3.connect(root / "labels.db")
    connection.execute("DELETE FROM comparisons WHERE row > 13")
    connection.commit()
    connection.close()
    journal = root / "labels.journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if json.loads(line).get("row", 0) <= 13))
    assert Project.look_into(root).missing == [("comparisons", 14), ("comparisons", 15)]
    assert Project.repair(root).lost == [("comparisons", 14), ("comparisons", 15)]


# --- level: a crash between database and journal -------------------------------------------------------------------


def test_what_a_crash_left_in_the_journal_alone_is_put_back_on_opening(tmp_path):
    root, _, after = judged(tmp_path)
    (snapshot,) = list_snapshots(root / "backups")
    (root / "labels.db").write_bytes(snapshot.path.read_bytes())  # as a sync service would
    with Project.open(root) as project:
        assert project.labels.put_back == 10 and said(project) == after and project.check().healthy


def test_what_a_crash_left_in_the_database_alone_is_journaled_on_opening(tmp_path):
    root, _, _ = judged(tmp_path)
    journal = root / "labels.journal.jsonl"
    whole = journal.read_bytes()
    rng = random.Random(0)
    for _ in range(40):
        journal.write_bytes(whole[: rng.randrange(len(whole))])
        with Project.open(root) as project:
            assert project.labels.put_back == 0
            project.labels.add_prompt("goes on")
            check = project.check()
            assert check.healthy and not check.unjournaled and check.torn_lines <= 1
        journal.write_bytes(whole)
        with Project.open(root) as project:
            assert not project.check().unjournaled


def test_a_journal_that_cannot_be_synced_is_written_again_with_the_next_label(tmp_path, monkeypatch):
    with Project.create(tmp_path / "mine") as project:
        pair = project.labels.add_pair("p", "a", "b")

        def fails(_):
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr("rlhf_engine.store.journal.os.fsync", fails)
            with pytest.raises(StoreError, match="Input/output error"):
                project.labels.judge(pair, "a", id="one")
        project.labels.judge(pair, "a", id="one")  # said again
        project.labels.judge(pair, "b", id="two")
        check = project.check()
        assert check.healthy and not check.unjournaled and project.labels.count("comparisons") == 1


def test_a_line_that_lacks_only_its_end_was_never_acknowledged(tmp_path):
    root, _, after = judged(tmp_path)
    journal = root / "labels.journal.jsonl"
    body = journal.read_bytes().rstrip(b"\n").rsplit(b"\n", 1)[0]  # without the last mark
    extra = json.loads(body.rsplit(b"\n", 1)[1]) | {"row": 99, "id": "never", "sum": None}
    journal.write_bytes(body + b"\n" + json.dumps(extra).encode())
    with Project.open(root) as project:
        check = project.check()
        assert check.healthy and said(project) == after and project.labels.put_back == 0
        project.labels.add_prompt("goes on")
    with Project.open(root) as project:
        check = project.check()
        assert check.healthy and check.torn_lines == 0 and not check.unjournaled


def test_a_schema_that_is_no_longer_text_is_found_and_mended(tmp_path):
    root, _, after = judged(tmp_path)
    raw = (root / "labels.db").read_bytes()
    at = raw.index(b"CREATE TABLE marks") + len("CREATE TABLE ")
    (root / "labels.db").write_bytes(raw[:at] + bytes([raw[at] ^ 0x80]) + raw[at + 1 :])
    assert not Project.look_into(root).healthy
    assert Project.repair(root).lost == []
    with Project.open(root) as project:
        assert said(project) == after and project.check().healthy
