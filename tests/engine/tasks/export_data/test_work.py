"""Exports of datasets: what comes back is what went out, what has no place is counted, and the card says so."""

from __future__ import annotations

import json

import pytest

from rlhf_engine.cli import main
from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import HubError, SpecError
from rlhf_engine.contract.events import Produced, RunFinished
from rlhf_engine.data.datasets import freeze, open_dataset
from rlhf_engine.data.reading import read
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord, Rating
from rlhf_engine.launch.execute import execute
from rlhf_engine.models import hub
from rlhf_engine.store.project import Project
from rlhf_engine.tasks.export_data.spec import ExportDataSpec

SYSTEM = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
MADE = {
    "prompts": lambda i: PromptRecord(f"=p{i}", "human", f"id{i}"),
    "demonstrations": lambda i: Demonstration(f"p{i}", "=a", "human", f"id{i}"),
    "comparisons": lambda i: Comparison(f"p{i}", "good", "bad", 2, "human", f"id{i}"),
    "ratings": lambda i: Rating(f"p{i}", "a", i % 2 == 0, "human", f"id{i}"),
}
TIE, TOLD = Comparison("t", "a", "b", 0), Comparison(SYSTEM, "good", "bad")


def run(root, info, **about):
    said = []
    execute(
        "aaaaaaaaaaaa", ExportDataSpec(dataset=info.ref, **about), lambda e: said.append(e.event), RunControl(), root
    )
    (made,) = [event for event in said if isinstance(event, Produced)] or [None]
    return made, said[-1]


def plain(records):
    names = ("prompt", "completion", "chosen", "rejected", "liked")
    return sorted(repr([getattr(record, name, "") for name in names]) for record in records)


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("format", ["jsonl", "parquet", "csv"])
def test_the_import_of_a_native_export_is_the_dataset(tmp_path, kind, format):
    info = freeze(tmp_path, kind, [MADE[kind](i) for i in range(40)], "Mine", "test")
    made, end = run(tmp_path, info, format=format)
    assert end == RunFinished("completed")
    dataset = open_dataset(tmp_path, info.ref)
    for ours, theirs in (("train", "train"), ("heldout", "test")):
        assert read(tmp_path / made.path / f"{theirs}.{format}").records == dataset.records(ours, ties=True)
    card = (tmp_path / made.path / "README.md").read_text()
    assert f"path: train.{format}" in card and info.hash in card and ("apostrophe" in card) == (format == "csv")


@pytest.mark.parametrize("layout", ["trl", "hh", "argilla"])
@pytest.mark.parametrize("kind", MADE)
def test_other_layouts_say_the_same_and_count_what_they_have_no_place_for(tmp_path, layout, kind):
    records = [MADE[kind](i) for i in range(40)]
    odd = [TIE, TOLD] if kind == "comparisons" else []
    info = freeze(tmp_path, kind, [*records, *odd], "Mine", "test")
    made, end = run(tmp_path, info, layout=layout)
    if layout == "hh" and kind != "comparisons":
        assert (made, end.outcome) == (None, "failed") and "has a place for none of its records" in end.message
        return
    folder = tmp_path / made.path
    files = [path for path in folder.iterdir() if path.name != "README.md"]
    found = [record for file in sorted(files) for record in read(file, kind).records]
    if layout == "argilla" and kind == "prompts":
        assert found == []  # nobody has judged anything there yet
        return
    lost = {"trl": 1, "hh": 2, "argilla": 0}[layout] if odd else 0
    assert (sum(made.facts["left_out"].values()), made.facts["rows"]) == (lost, 40 + len(odd) - lost)
    expected = [*records, *([TOLD] if odd and layout == "trl" else [])]
    if layout == "argilla" and odd:
        found = [record for record in found if record.prompt not in ("t", "System: Be brief.\n\nUser: Hi")]
    assert plain(found) == plain(expected)
    card = (folder / "README.md").read_text()
    assert all(f"Left out: {count:,} {why}" in card for why, count in made.facts["left_out"].items())


def test_a_push_goes_to_the_datasets_and_one_that_fails_leaves_the_export(tmp_path, monkeypatch):
    info = freeze(tmp_path, "prompts", [MADE["prompts"](i) for i in range(20)], "Mine", "test")
    seen = []
    monkeypatch.setattr(hub, "push", lambda _, repo, *__, kind: seen.append((repo, kind)) or "https://there")
    made, _ = run(tmp_path, info, repo="me/mine")
    assert (seen, made.facts["url"]) == ([("me/mine", "dataset")], "https://there")

    def fails(*_, **__):
        raise HubError("The Hub cannot be reached.", "Check the network.")

    monkeypatch.setattr(hub, "push", fails)
    made, end = run(tmp_path, info, repo="me/mine")
    assert end.outcome == "failed" and "The export itself is complete: exports/" in end.message
    assert (tmp_path / made.path / "README.md").is_file()


@pytest.mark.parametrize("about", [{"layout": "trl", "format": "csv"}, {"layout": "argilla", "format": "parquet"}])
def test_a_format_that_cannot_hold_a_layout_is_refused(about):
    with pytest.raises(SpecError):
        ExportDataSpec(dataset="dataset:1", **about)


def test_the_command_writes_into_a_folder(tmp_path, capsys):
    root = tmp_path / "project"
    Project.create(root).close()
    info = freeze(root, "comparisons", [MADE["comparisons"](i) for i in range(20)] + [TIE], "Mine", "test")
    told = ["data", "export", info.ref, "--layout", "trl", "--folder", str(tmp_path / "out"), "--project", str(root)]
    assert main(told) == 0
    (folder,) = (tmp_path / "out").iterdir()
    row = json.loads((folder / "train.jsonl").read_text().splitlines()[0])
    assert row["chosen"] == [{"role": "assistant", "content": "good"}]
    assert "ties, for which TRL has no place: 1" in capsys.readouterr().out
