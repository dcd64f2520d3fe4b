from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from rlhf_engine.contract.errors import DiskFull, SpecError, StoreError
from rlhf_engine.runtime.destination import (
    free_folder,
    parent_of_exports,
    publish,
    require_space,
    safe_name,
    written_aside,
)

HOSTILE = [
    "../../x", "/abs", "..", "", "a\0b", "con", "nul.txt", "a:b", "x" * 300, "a\u202eb", "a\nb", "~", "-rf", "a\\b",
]  # fmt: skip


@pytest.mark.parametrize("words", HOSTILE)
def test_no_name_leaves_its_folder_or_means_something_to_a_system(tmp_path: Path, words: str) -> None:
    name = safe_name(words)
    assert 0 < len(name) <= 90 and name.isascii() and name[0].isalnum()
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert name.split(".")[0].lower() not in ("con", "nul")


def test_a_good_name_is_kept() -> None:
    assert safe_name("starter-sft-1a2b3c-merged-bf16") == "starter-sft-1a2b3c-merged-bf16"
    assert safe_name("Zürich model 2.1") == "Zurich-model-2.1"


def test_the_folder_asked_for_is_used_and_a_relative_one_stays_in_the_project(tmp_path: Path) -> None:
    project = tmp_path / "project"
    assert parent_of_exports(project, "") == project / "exports"
    assert parent_of_exports(project, str(tmp_path / "out")) == tmp_path / "out"
    assert parent_of_exports(project, "mine/out") == project / "mine" / "out"
    with pytest.raises(SpecError) as caught:
        parent_of_exports(project, "../out")
    assert caught.value.field == "folder"
    (tmp_path / "file").write_text("x")
    with pytest.raises(SpecError, match="is a file"):
        parent_of_exports(project, str(tmp_path / "file"))


def test_a_published_folder_is_complete_and_nothing_is_left_aside(tmp_path: Path) -> None:
    with written_aside(tmp_path, "run") as aside:
        (aside / "a").write_text("x")
        final = publish(aside, tmp_path, "lamp")
    assert final == tmp_path / "lamp" and (final / "a").read_text() == "x"
    assert [p.name for p in tmp_path.iterdir()] == ["lamp"]
    assert free_folder(tmp_path, "lamp") == tmp_path / "lamp-2"


def test_a_failure_leaves_nothing_and_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".tmp-export-old-999999999").mkdir()
    other = tmp_path / f".tmp-export-other-{os.getppid()}"
    other.mkdir()

    def fail() -> None:
        with written_aside(tmp_path, "run") as aside:
            (aside / "a").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == [other]


def test_a_full_disk_is_found_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1_000_000))
    require_space(tmp_path / "not" / "there", 999_999)
    with pytest.raises(DiskFull, match="needs 2 MB, but 1 MB are free"):
        require_space(tmp_path / "not" / "there", 2_000_000)


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be written"), written_aside(tmp_path / "file" / "exports", "run"):
        pass
