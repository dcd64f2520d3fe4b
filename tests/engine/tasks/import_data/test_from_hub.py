"""A dataset of the Hub as a dataset of the project, through a real process from a small Hub on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.cli import main
from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Alert, Produced, RunFinished, Stage
from rlhf_engine.data.datasets import freeze, open_dataset
from rlhf_engine.data.records import Comparison
from rlhf_engine.launch.execute import execute
from rlhf_engine.store.project import Project
from rlhf_engine.tasks.download.spec import DownloadSpec
from rlhf_engine.tasks.export_data.spec import ExportDataSpec
from rlhf_engine.tasks.import_data.spec import ImportSpec
from tests.engine.models.hub_of_data import CONVERTED, HubOfData, jsonl, parquet

TRAIN = [{"prompt": f"p{n}", "chosen": "good", "rejected": "bad"} for n in range(30)]
TEST = [*TRAIN[:4], {"prompt": "same", "chosen": "x", "rejected": "x"}]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubOfData]:
    server = HubOfData()
    server.branches[CONVERTED] = {
        "default/train/0000.parquet": parquet(TRAIN[:20], tmp_path),
        "default/train/0001.parquet": parquet(TRAIN[20:], tmp_path),
        "default/test/0000.parquet": parquet(TEST, tmp_path),
    }
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.close()


def run(root: Path, spec: Any, control: RunControl | None = None) -> list[Any]:
    said: list[Any] = []
    execute("d" * 12, spec, lambda envelope: said.append(envelope.event), control or RunControl(), root)
    return said


def of(said: list[Any], kind: type[Any]) -> list[Any]:
    return [event for event in said if isinstance(event, kind)]


def test_the_split_for_training_is_read_and_where_it_came_from_is_kept(hub: HubOfData, tmp_path: Path) -> None:
    said = run(tmp_path, ImportSpec(path="hub:owner/words"))
    assert said[-1] == RunFinished("completed")
    (made,) = of(said, Produced)
    assert (made.facts["kind"], made.facts["rows"], made.facts["total"]) == ("comparisons", 30, 30)
    info = open_dataset(tmp_path, made.facts["ref"]).info
    assert (info.name, info.origin) == ("owner/words train", "Hub owner/words")
    kept = {name: info.facts[name] for name in ("hub", "revision", "config", "split")}
    assert kept == {
        "hub": "owner/words",
        "revision": hub.commit(CONVERTED),
        "config": "default",
        "split": "train",
    }
    (alert,) = of(said, Alert)
    assert (alert.text, alert.hint) == ("Read is default/train of owner/words.", "It also has default/test.")
    told = [event for event in of(said, Stage) if event.text == "Downloading owner/words"]
    assert told[-1].done == told[-1].total == sum(map(len, list(hub.branches[CONVERTED].values())[:2]))
    assert sorted(hub.sent) == ["default/train/0000.parquet", "default/train/0001.parquet"]


def test_a_named_split_is_read_with_its_bad_rows_named(hub: HubOfData, tmp_path: Path) -> None:
    said = run(tmp_path, ImportSpec(path="hub:owner/words", config="default", split="test", name="Mine"))
    (made,) = of(said, Produced)
    assert (made.facts["name"], made.facts["rows"], made.facts["rejected"]) == ("Mine", 4, 1)
    assert made.facts["rejected_rows"] == [{"line": 5, "field": "rejected", "reason": "both answers are the same"}]
    assert of(said, Alert) == []  # nothing was chosen for anyone


def test_a_part_of_which_the_hub_has_only_the_beginning_says_so(hub: HubOfData, tmp_path: Path) -> None:
    hub.branches[CONVERTED] = {"default/partial-train/0000.parquet": parquet(TRAIN, tmp_path)}
    (alert,) = of(run(tmp_path, ImportSpec(path="hub:owner/words")), Alert)
    assert alert.level == "warning" and "converted only the beginning of default/train" in alert.text


def test_a_split_that_is_not_there_marks_its_field(hub: HubOfData, tmp_path: Path) -> None:
    end = run(tmp_path, ImportSpec(path="hub:owner/words", split="dev"))[-1]
    assert (end.outcome, end.message) == ("failed", "owner/words has no split 'dev'.")
    assert end.hint == "It has train, test." and not end.traceback


def test_a_dataset_that_is_not_there_is_one_sentence(hub: HubOfData, tmp_path: Path) -> None:
    end = run(tmp_path, ImportSpec(path="hub:owner/nothing"))[-1]
    assert (end.outcome, end.message) == ("failed", "The Hub has no public dataset owner/nothing.")
    assert end.hint and not end.traceback and list((tmp_path / "datasets").glob("*")) == []


def test_a_fetch_that_hangs_can_be_stopped(hub: HubOfData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "answer", lambda _: time.sleep(30))
    control = RunControl()
    threading.Timer(2.0, control.cancel).start()
    began = time.monotonic()
    assert run(tmp_path, ImportSpec(path="hub:owner/words"), control)[-1].outcome == "cancelled"
    assert time.monotonic() - began < 20


def test_what_a_dataset_holds_is_listed_without_fetching_any(hub: HubOfData, tmp_path: Path) -> None:
    said = run(tmp_path, DownloadSpec(repo="owner/words", kind="dataset", list_only=True))
    (made,) = of(said, Produced)
    assert [(part["config"], part["split"]) for part in made.facts["parts"]] == [
        ("default", "train"),
        ("default", "test"),
    ]
    assert (made.what, made.facts["converted"], hub.sent) == ("hub dataset", True, [])


def test_a_fetched_part_is_read_again_without_fetching_it(hub: HubOfData, tmp_path: Path) -> None:
    (made,) = of(run(tmp_path, DownloadSpec(repo="owner/words", kind="dataset", split="test")), Produced)
    assert [Path(file).name for file in made.facts["files"]] == ["0000.parquet"]
    hub.sent.clear()
    spec = ImportSpec(path="hub:owner/words", config="default", split="test", revision=made.facts["revision"])
    assert run(tmp_path, spec)[-1].outcome == "completed"
    assert hub.sent == []


def test_the_export_of_a_dataset_comes_back_from_the_hub_the_same(hub: HubOfData, tmp_path: Path) -> None:
    """As a private repository, which the Hub does not convert."""
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "=Hi\u2028"}]
    records = [Comparison(f"p{n}", "good", "bad", n % 4, "human", f"id{n}") for n in range(60)]
    info = freeze(tmp_path, "comparisons", [*records, Comparison(turns, "a ", "\tb", 3)], "Mine", "test")
    (made,) = of(run(tmp_path, ExportDataSpec(dataset=info.ref)), Produced)
    files = {path.name: path.read_bytes() for path in (tmp_path / made.path).iterdir()}
    head = files["README.md"].decode().split("---")[1]
    assert "path: train.jsonl" in head and "path: test.jsonl" in head
    hub.branches = {"main": files}
    hub.card = {"configs": [{"config_name": "default", "data_files": [
        {"split": split, "path": f"{split}.jsonl"} for split in ("train", "test")
    ]}]}  # fmt: skip
    original = open_dataset(tmp_path, info.ref)
    for ours, theirs in (("train", "train"), ("heldout", "test")):
        (back,) = of(run(tmp_path, ImportSpec(path="hub:owner/words", split=theirs)), Produced)
        assert open_dataset(tmp_path, back.facts["ref"]).records(ties=True) == original.records(ours, ties=True)
    (again,) = of(run(tmp_path, ExportDataSpec(dataset=back.facts["ref"])), Produced)
    card = (tmp_path / again.path / "README.md").read_text(encoding="utf-8")
    assert f"`default/test` of the Hub's dataset `owner/words` at `{hub.commit('main')}`" in card


@pytest.mark.parametrize(
    "about",
    [
        {"path": "hub:words"},
        {"path": "hub:owner/../words"},
        {"path": "hub:owner/words", "more": ["rows.jsonl"]},
        {"path": "rows.jsonl", "split": "train"},
        {"path": "rows.jsonl", "more": ["hub:owner/words"]},
    ],
)
def test_what_cannot_be_meant_is_refused(about: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        ImportSpec(**about)
    assert caught.value.field in ("path", "more")


def test_the_command_takes_a_name_of_the_hub_where_no_file_is_called_so(
    hub: HubOfData, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[4]))  # the process that fetches is of this tree too
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "project"
    Project.create(root).close()
    assert main(["import", "owner/words", "--list", "--project", str(root)]) == 0
    said = capsys.readouterr().out
    assert "as the Hub has converted them to Parquet" in said and "--config default --split test" in said
    assert main(["import", "owner/words", "--split", "test", "--project", str(root)]) == 0
    assert "4 of 5 rows are comparisons" in capsys.readouterr().out
    assert main(["import", "owner/words.jsonl", "--project", str(root)]) != 0
    assert "There is no file" in capsys.readouterr().err  # ends like a file, so it is one
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "words").write_bytes(jsonl(TRAIN))
    assert main(["import", "owner/words", "--project", str(root)]) == 0
    assert "30 of 30 rows are comparisons" in capsys.readouterr().out
