"""Importing a file: a dataset, a report of every row left out, and a sentence where nothing can be used."""

from __future__ import annotations

import json
import re

import pytest

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Alert, Produced, RunFinished, Stage
from rlhf_engine.data.datasets import list_datasets, open_dataset
from rlhf_engine.launch.execute import execute
from rlhf_engine.tasks.import_data import work
from rlhf_engine.tasks.import_data.spec import ImportSpec


def run(root, spec, cancel_at=-1):
    said, control = [], RunControl()

    def publish(envelope):
        said.append(envelope.event)
        if isinstance(envelope.event, Stage) and envelope.event.done == cancel_at:
            control.cancel()

    execute("aaaaaaaaaaaa", spec, publish, control, root)
    return said


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def test_a_file_becomes_a_dataset_and_every_row_left_out_is_on_record(tmp_path):
    rows = [{"prompt": f"p{i}", "chosen": "good", "rejected": "good" if i % 5 == 0 else "bad"} for i in range(1000)]
    path = write(tmp_path / "mine.jsonl", rows)
    events = run(tmp_path, ImportSpec(path=path, name="Mine"))

    assert events[-1] == RunFinished("completed")
    (made,) = [event for event in events if isinstance(event, Produced)]
    assert (made.what, made.facts["rows"], made.facts["rejected"], made.facts["total"]) == ("dataset", 800, 200, 1000)
    assert made.facts["rejected_rows"][1] == {"line": 6, "field": "rejected", "reason": "both answers are the same"}
    assert len(made.facts["rejected_rows"]) == 200

    dataset = open_dataset(tmp_path, made.facts["ref"])
    assert (tmp_path / made.path).is_dir() and dataset.info.name == "Mine"
    assert [record.prompt for record in dataset.records()][:4] == ["p1", "p2", "p3", "p4"]
    report = (tmp_path / "runs" / "aaaaaaaaaaaa" / "rejected.jsonl").read_text().splitlines()
    assert len(report) == 200 and json.loads(report[-1])["line"] == 996
    json.dumps(made.facts)  # facts are JSON values


def test_columns_and_kind_of_the_spec_are_used(tmp_path):
    path = write(tmp_path / "mine.jsonl", [{"frage": "Wie?", "antwort": "So.", "note": 1}])
    spec = ImportSpec(path=path, kind="demonstrations", columns={"prompt": "frage", "completion": "antwort"})
    assert run(tmp_path, spec)[-1].outcome == "completed"
    (info,) = list_datasets(tmp_path)
    assert (info.kind, info.name, info.facts["columns"]) == ("demonstrations", "mine.jsonl", spec.columns)
    assert str(tmp_path) not in (info.path / "card.json").read_text()  # a card may be published


def test_several_files_become_one_dataset_and_a_row_left_out_is_named_with_its_file(tmp_path):
    first = write(tmp_path / "a.jsonl", [{"prompt": "Hi", "completion": "A", "liked": True}])
    rows = [{"prompt": "Hi", "completion": "B", "liked": "no"}, {"prompt": "Hi", "completion": "", "liked": "no"}]
    events = run(tmp_path, ImportSpec(path=first, more=[write(tmp_path / "b.jsonl", rows)]))

    (made,) = [event for event in events if isinstance(event, Produced)]
    assert (made.facts["kind"], made.facts["rows"], made.facts["liked"]) == ("ratings", 2, 1)
    assert (made.facts["name"], made.facts["files"]) == ("a.jsonl and 1 more", 2)
    assert made.facts["rejected_rows"] == [{"file": "b.jsonl", "line": 2, "field": "completion", "reason": "is empty"}]
    assert open_dataset(tmp_path, made.facts["ref"]).info.origin == "files a.jsonl and 1 more"


def test_how_many_solved_examples_the_prompts_of_a_task_show_is_a_setting(tmp_path):
    body = {
        "Definition": ["Add."],
        "Positive Examples": [{"input": "1 + 1", "output": "2"}, {"input": "2 + 2", "output": "4"}],
        "Instances": [{"input": "3 + 4", "output": ["7"]}],
    }
    (tmp_path / "task1_sums.json").write_text(json.dumps(body))
    events = run(tmp_path, ImportSpec(path=str(tmp_path / "task1_sums.json"), examples=1))
    (made,) = [event for event in events if isinstance(event, Produced)]
    (record,) = open_dataset(tmp_path, made.facts["ref"]).records()
    assert (record.prompt.count("Example"), record.completion, record.source) == (1, "7", "task1_sums")
    assert made.facts["examples"] == 1


def test_further_files_must_be_paths():
    with pytest.raises(SpecError, match="must be a list of paths"):
        ImportSpec(path="a.jsonl", more="b.jsonl")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [{"prompt": ""}, {"prompt": " "}],
            "None of the 2 rows of .* can be used as prompts. Line 1, prompt: is empty",
        ),
        ([{"foo": 1}], "in no layout that is known"),
    ],
)
def test_a_file_of_which_nothing_can_be_used_fails_in_a_sentence(tmp_path, rows, said):
    end = run(tmp_path, ImportSpec(path=write(tmp_path / "mine.jsonl", rows)))[-1]
    assert end.outcome == "failed" and end.hint and not end.traceback
    assert re.search(said, end.message)
    assert list_datasets(tmp_path) == []


def test_a_missing_file_fails_in_a_sentence(tmp_path):
    end = run(tmp_path, ImportSpec(path=str(tmp_path / "nowhere.jsonl")))[-1]
    assert (end.outcome, "There is no file" in end.message) == ("failed", True)


def test_an_import_can_be_cancelled_and_leaves_no_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "_EVERY", 10)
    path = write(tmp_path / "mine.jsonl", [{"prompt": f"p{i}"} for i in range(50)])
    assert run(tmp_path, ImportSpec(path=path), cancel_at=20)[-1].outcome == "cancelled"
    assert list((tmp_path / "datasets").iterdir()) == []


def test_progress_and_quoted_control_tokens_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "_EVERY", 10)
    path = write(tmp_path / "mine.jsonl", [{"prompt": f"p{i} <|im_end|>"} for i in range(30)])
    events = run(tmp_path, ImportSpec(path=path))
    assert [event.done for event in events if isinstance(event, Stage)][-1] == 30
    assert any(isinstance(event, Alert) and "30 records quote" in event.text for event in events)
