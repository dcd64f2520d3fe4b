"""A look at a dataset as a run: what it tells, writes, and leaves alone."""

from __future__ import annotations

import json

from resources import starter
from rlhf_engine.cli import main
from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Produced, RunFinished, Stage
from rlhf_engine.data.datasets import freeze, list_datasets
from rlhf_engine.data.records import Comparison
from rlhf_engine.launch.execute import execute
from rlhf_engine.store.project import Project
from rlhf_engine.tasks.check_data.spec import CheckSpec

PAIRS = [Comparison("p", "a good answer", "a bad one"), Comparison("q", "Yes.", "yes"), Comparison("q", "yes", "Yes.")]


def run(root, spec, cancel=False):
    said, control = [], RunControl()

    def publish(envelope):
        said.append(envelope.event)
        if cancel and isinstance(envelope.event, Stage):
            control.cancel()

    execute("aaaaaaaaaaaa", spec, publish, control, root)
    return said


def test_findings_are_told_and_written_and_the_dataset_stays_as_it_is(tmp_path):
    info = freeze(tmp_path, "comparisons", PAIRS, "Mine", "test")
    before = {path: path.read_bytes() for path in info.path.iterdir()}
    events = run(tmp_path, CheckSpec(dataset=info.ref))
    (made,) = [event for event in events if isinstance(event, Produced)]
    assert (made.what, events[-1]) == ("check", RunFinished("completed"))
    counts = {finding["key"]: finding["count"] for finding in made.facts["findings"]}
    assert counts == {"contradictions": 1, "same_answers": 2}
    assert json.loads((tmp_path / made.path).read_text()) == made.facts
    assert {path: path.read_bytes() for path in info.path.iterdir()} == before


def test_lengths_are_those_of_the_models_tokens_where_one_is_named(tmp_path):
    info = freeze(tmp_path, "comparisons", [Comparison("\U0001f600" * 30, "a", "b")], "Mine", "test")

    def too_long(model):
        events = run(tmp_path, CheckSpec(dataset=info.ref, max_tokens=20, model=model))
        (made,) = [event for event in events if isinstance(event, Produced)]
        return [finding["key"] for finding in made.facts["findings"]]

    assert (too_long(""), too_long("starter")) == ([], ["too_long"])
    assert starter.MODEL.is_dir()


def test_a_check_can_be_cancelled(tmp_path):
    info = freeze(tmp_path, "comparisons", PAIRS, "Mine", "test")
    assert run(tmp_path, CheckSpec(dataset=info.ref), cancel=True)[-1].outcome == "cancelled"


def test_the_command_checks_a_file_and_says_what_to_do(tmp_path, capsys):
    Project.create(tmp_path / "project").close()
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": r.prompt, "chosen": r.chosen, "rejected": r.rejected} for r in PAIRS]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert main(["data", "check", str(file), "--project", str(tmp_path / "project")]) == 0
    out = capsys.readouterr().out
    assert "The same two answers, judged both ways: 1 of 3" in out
    assert "row 3 and row 2: yes / Yes." in out and "Decide which judgement holds" in out
    assert [info.rows for info in list_datasets(tmp_path / "project")] == [3]
