"""Checkpoints come back exactly, and survive kills, damage and a full disk."""

from __future__ import annotations

import errno
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rlhf_engine.contract.errors import CheckpointError, DiskFull
from rlhf_engine.runtime import checkpoints
from rlhf_engine.runtime.checkpoints import newest, require_same, save, sweep

ROOT = Path(__file__).parents[3]
STATE = {
    "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.randn(2, 3)}, 11: {}}, "lr": [1e-4]},
    "a": {"b": torch.tensor([1, 2])},
    "a/b": torch.tensor([3, 4]),
    "flags": [True, None, "text", 2**70, 0.1, float("inf")],
    "half": torch.tensor([0.1], dtype=torch.bfloat16),
    "bytes": torch.arange(8, dtype=torch.uint8),
    "turned": torch.arange(6.0).reshape(2, 3).t(),
    "none at all": {},
}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


def test_a_nested_state_comes_back_exactly_with_numbers_as_keys(tmp_path):
    save(tmp_path, 7, STATE)
    found = newest(tmp_path)
    assert found is not None and found.step == 7
    assert same(STATE, found.load())
    assert {path.name for path in found.folder.iterdir()} == {"MANIFEST.json", "state.json", "tensors.safetensors"}


def test_tensors_that_share_memory_come_back_as_two(tmp_path):
    x = torch.zeros(4)
    save(tmp_path, 1, {"x": x, "view": x[1:3]})
    assert same({"x": x, "view": x[1:3]}, newest(tmp_path).load())


def test_what_cannot_be_saved_without_a_pickle_is_refused(tmp_path):
    save(tmp_path, 1, {"x": 1})
    with pytest.raises(TypeError, match="at /rng/0"):
        save(tmp_path, 2, {"rng": [random.Random()]})
    assert newest(tmp_path).step == 1


def test_only_the_newest_are_kept_and_sorted_by_number(tmp_path):
    for step in (8, 9, 10, 11):
        save(tmp_path, step, {"x": step}, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000010", "00000011"]


def test_a_step_that_is_saved_again_replaces_the_old(tmp_path):
    save(tmp_path, 1, {"x": 1})
    save(tmp_path, 1, {"x": 2})
    assert newest(tmp_path).load() == {"x": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("file", ["MANIFEST.json", "state.json", "tensors.safetensors"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda p: p.unlink(),
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(p.read_bytes()[:-1]),
        lambda p: p.write_bytes(p.read_bytes() + b" "),
        flip_a_bit,
        lambda p: p.write_text("{}"),
        lambda p: p.write_text("[1]"),
        lambda p: p.write_text('{"state.json": 3, "tensors.safetensors": {}}'),
    ],
    ids=["gone", "empty", "short", "long", "one bit", "no names", "a list", "other words"],
)
def test_damage_of_any_file_falls_back_to_the_older_one(tmp_path, file, damage):
    save(tmp_path, 1, {"x": torch.ones(3)})
    save(tmp_path, 2, {"x": torch.zeros(3)})
    manifest = json.loads((tmp_path / "00000002" / "MANIFEST.json").read_text())
    damage(tmp_path / "00000002" / file)
    found = newest(tmp_path)
    if file == "MANIFEST.json":  # a space after it, or a bit of a name that it need not list, does no harm
        try:
            harmless = json.loads((tmp_path / "00000002" / file).read_text()) == manifest
        except (OSError, ValueError):
            harmless = False
        assert found.step == (2 if harmless else 1)
    else:
        assert found.step == 1
    shutil.rmtree(tmp_path / "00000001")
    if found.step == 1:
        assert newest(tmp_path) is None


def test_leftovers_are_no_checkpoints_and_are_swept(tmp_path):
    save(tmp_path, 1, {"x": 1})
    shutil.copytree(tmp_path / "00000001", tmp_path / ".tmp-00000002-99")
    shutil.copytree(tmp_path / "00000001", tmp_path / ".del-00000000")
    assert newest(tmp_path).step == 1
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]


def kills(folder, how):
    command = [sys.executable, "-m", "tests.engine.runtime.killed_writer", str(folder), how, "20"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="forks, and kills with SIGKILL")
def test_twenty_kills_at_random_moments_never_cost_a_checkpoint(tmp_path):
    found = kills(tmp_path / "safe", "safe")
    assert found["saved"] >= 5
    assert (found["broken"], found["lost"], found["unreadable"]) == (0, 0, 0)
    assert kills(tmp_path / "naive", "naive")["broken"] > 0  # the negative control: files straight into their place


@pytest.fixture
def small_files():
    """Files may not grow beyond 20 kB here: what a full disk says, without filling one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("big", [{"x": torch.zeros(100_000)}, {"x": "long " * 10_000}], ids=["tensors", "text"])
def test_a_full_disk_is_said_in_words_and_leaves_the_older_checkpoint(tmp_path, small_files, big):
    save(tmp_path, 1, {"x": torch.ones(3)})
    with pytest.raises(DiskFull, match=r"The checkpoint of step 2 could not be written: \d+ MB are free") as error:
        save(tmp_path, 2, big)
    assert "resume" in error.value.hint
    assert same(newest(tmp_path).load(), {"x": torch.ones(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]  # the failed one does not fill the disk further


@pytest.mark.parametrize("place", ["_sync_file", "_sync_folder"])
def test_a_disk_that_fills_up_while_syncing_is_the_same(tmp_path, monkeypatch, place):
    save(tmp_path, 1, {"x": 1})

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(checkpoints, place, full)
    with pytest.raises(DiskFull):
        save(tmp_path, 2, {"x": 2})
    monkeypatch.undo()
    assert newest(tmp_path).load() == {"x": 1}


def test_other_troubles_of_a_disk_keep_their_own_name(tmp_path, monkeypatch):
    def broken(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(checkpoints, "_sync_file", broken)
    with pytest.raises(OSError, match="Input/output error"):
        save(tmp_path, 1, {"x": 1})


def test_other_inputs_are_named():
    require_same({"base": "1", "dataset": "2"}, {"dataset": "2", "base": "1"})
    with pytest.raises(CheckpointError, match=r"another dataset \(2, now 3\)") as error:
        require_same({"base": "1", "dataset": "2"}, {"base": "1", "dataset": "3"})
    assert error.value.hint
    with pytest.raises(CheckpointError, match="another reward model"):
        require_same({"base": "1"}, {"base": "1", "reward model": "9"})


def test_a_folder_is_replaced_whole(tmp_path):
    checkpoints.write_folder(tmp_path / "adapter", {"a.json": b"1", "old.json": b"2"})
    checkpoints.write_folder(tmp_path / "adapter", {"a.json": b"3", "w.safetensors": {"x": torch.ones(2).t()}})
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == ["a.json", "w.safetensors"]
    assert (tmp_path / "adapter" / "a.json").read_bytes() == b"3"
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_folder_that_could_not_be_written_leaves_the_old_one_and_nothing_beside_it(tmp_path, monkeypatch):
    checkpoints.write_folder(tmp_path / "adapter", {"a.json": b"1"})
    (tmp_path / ".tmp-adapter-999999").mkdir()  # a process was killed while it wrote this one

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.write_folder(tmp_path / "adapter", {"a.json": b"2", "w.safetensors": {"x": torch.ones(2)}})
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
    assert (tmp_path / "adapter" / "a.json").read_bytes() == b"1"
