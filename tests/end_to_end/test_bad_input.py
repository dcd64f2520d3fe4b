"""Everything that can be wrong with what a person gives, met through the command: a sentence that names the place, the
right exit code, and nothing lost."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rlhf_engine.cli import main
from rlhf_engine.store.project import Project
from rlhf_engine.store.runs import RunsReader
from tests.engine.tiny import tiny_model

ROOT = Path(__file__).parents[2]
DONE, FAILED, BAD_INPUT, NOT_FOUND = 0, 1, 2, 3
SETTINGS = {"batch_size": 4, "micro_batch_size": 4, "device": "cpu", "sample_every": 0, "evaluate_every": 0}


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    root = tmp_path / "project"
    Project.create(root).close()
    monkeypatch.setenv("RLHF_PROJECT", str(root))
    monkeypatch.setenv("RLHF_STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return root


@pytest.fixture
def said(capfd):
    """Do a command that must end with `code`; what it said, stdout and stderr together."""

    def do(code: int, *words: str) -> str:
        capfd.readouterr()
        assert main(words) == code, "".join(capfd.readouterr())
        out = "".join(capfd.readouterr())
        assert "Traceback" not in out and "bug in the engine" not in out
        return out

    return do


def rows(*bodies: object) -> str:
    return "".join(json.dumps(body) + "\n" for body in bodies)


def facts(count: int = 24) -> str:
    return rows(*({"prompt": f"What is {i}?", "completion": f"It is {i}."} for i in range(count)))


def spec(task: str = "sft", **settings: object) -> str:
    Path("spec.json").write_text(json.dumps({"task": task, **SETTINGS, **settings}))
    return "spec.json"


def datasets(project: Path) -> list[str]:
    return [path.name for path in (project / "datasets").glob("[0-9a-f]*")]


def runs(project: Path):
    reader = RunsReader(project)
    found = reader.runs()
    reader.close()
    return found


# Files --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.jsonl", None, r"There is no file .*missing\.jsonl\."),
        ("empty.jsonl", b"", r"empty\.jsonl is empty\."),
        (
            "cut.jsonl.gz",
            gzip.compress(facts(500).encode(), mtime=0)[:-40],
            r"cut\.jsonl\.gz is damaged: .* after line \d+\.",
        ),
        ("list.json", b'[{"prompt": "a"},\n {"prompt" "b"}]', r"list\.json is not JSON: .* at line 2, column 12\."),
        ("wide.jsonl", b"\xff\xfe{\x00", r"wide\.jsonl is written in UTF-16\."),
        ("other.jsonl", rows({"foo": "a", "bar": "b"}).encode(), r"other\.jsonl .* its columns are 'foo', 'bar'\."),
        (
            "onesided.jsonl",
            rows({"prompt": "q", "chosen": "a", "rejected": ""}).encode(),
            r"None of the 1 rows of .*onesided\.jsonl can be used as comparisons\. Line 1, rejected: is empty\.",
        ),
        (
            "same.jsonl",
            rows({"prompt": "q", "chosen": "a", "rejected": "a"}).encode(),
            r"same\.jsonl can be used as comparisons\. Line 1, rejected: both answers are the same\.",
        ),
        ("broken.jsonl", b"{\n", r"broken\.jsonl can be used as prompts\. Line 1 is not JSON"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_the_place_that_is_wrong(said, project, name, content, sentence):
    if content is not None:
        Path(name).write_bytes(content)
    out = said(BAD_INPUT, "import", name)
    assert re.search(sentence, out), out
    assert datasets(project) == []
    assert [(row.name, row.state) for row in runs(project)] == [(name, "failed")]


def test_a_bad_line_costs_itself_and_is_told_by_its_number(said, project):
    Path("people.jsonl").write_text(
        rows({"prompt": "a", "completion": "b"}) + '{"prompt": \n' + rows({"prompt": "c", "completion": "d"})
    )
    out = said(DONE, "import", "people.jsonl")
    assert "2 of 3 rows are demonstrations" in out
    assert "1 row was left out:\n  line 2 is not JSON" in out


def test_importing_the_same_records_again_says_that_they_were_there(said, project):
    Path("people.jsonl").write_text(facts())
    assert "already had" not in said(DONE, "import", "people.jsonl")
    again = said(DONE, "import", "people.jsonl", "--name", "another name")
    assert "The project already had exactly these records, as 'people.jsonl'." in again
    assert len(datasets(project)) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "train.jsonl is empty"),
        (
            rows({"prompt": "a"}),
            "train.jsonl needs to hold demonstrations but has only prompts: its columns are 'prompt'",
        ),
        (None, "There is no file train.jsonl"),
    ],
)
def test_a_run_on_a_file_without_what_it_needs_says_so_before_a_model_is_loaded(said, weights, content, sentence):
    if content is not None:
        Path("train.jsonl").write_text(content)
    out = said(BAD_INPUT, "run", spec(model=str(weights), dataset="train.jsonl"))
    assert sentence in out
    assert "Loading" not in out


def test_a_dataset_of_another_kind_is_named_with_both_kinds(said, weights, project):
    Path("questions.jsonl").write_text(rows(*({"prompt": f"What is {i}?"} for i in range(20))))
    said(DONE, "import", "questions.jsonl")
    ref = f"dataset:{datasets(project)[0]}"
    out = said(BAD_INPUT, "run", spec(model=str(weights), dataset=ref))
    assert f"The dataset 'questions.jsonl' ({ref}) holds prompts, but demonstrations are needed." in out


# Models -------------------------------------------------------------------------------------------------------------


def without(weights: Path, token: str) -> str:
    """A copy of the model whose tokenizer lacks a special token."""
    folder = Path(f"no-{token}")
    shutil.copytree(weights, folder)
    for name in ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json"):
        if (folder / name).is_file():
            body = json.loads((folder / name).read_text())
            body = {key: value for key, value in body.items() if key not in (token, f"{token}_id")}
            (folder / name).write_text(json.dumps(body))
    return str(folder)


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("nowhere/at/all", "There is no folder nowhere/at/all."),
        ("hollow", "hollow is not a model folder: it has no config.json."),
        ("dataset.jsonl", "There is no folder"),
    ],
)
def test_what_is_no_model_is_refused_by_name(said, named, sentence):
    Path("hollow").mkdir()
    Path("dataset.jsonl").write_text(facts())
    assert sentence in said(BAD_INPUT, "run", spec(model=named, dataset="dataset.jsonl"))
    assert sentence in said(BAD_INPUT, "chat", named, "--prompt", "hello")


def test_a_tokenizer_without_an_end_token_is_refused(said, weights):
    Path("train.jsonl").write_text(facts())
    out = said(BAD_INPUT, "run", spec(model=without(weights, "eos_token"), dataset="train.jsonl"))
    assert re.search(r"no-eos_token has no end-of-text token, so answers could never end", out)
    assert "Set eos_token in tokenizer_config.json" in out


def test_a_tokenizer_without_padding_trains_all_the_same(said, weights):
    Path("train.jsonl").write_text(facts())
    out = said(DONE, "run", spec(model=without(weights, "pad_token"), dataset="train.jsonl", epochs=0.5))
    assert "Completed." in out


# Lengths ------------------------------------------------------------------------------------------------------------


def test_demonstrations_that_are_all_too_long_are_counted_with_the_shortest(said, weights):
    Path("train.jsonl").write_text(facts())
    out = said(BAD_INPUT, "run", spec(model=str(weights), dataset="train.jsonl", max_tokens=8))
    assert re.search(r"All \d+ demonstrations \(train\) are longer than 8 tokens; the shortest has \d+\.", out)
    assert "Raise the longest example (8 tokens; the model reads up to 256)." in out


def test_some_that_exceed_the_models_context_are_left_out_and_the_hint_does_not_blame_a_setting(said, weights, project):
    long = rows(*({"prompt": f"What is {i}?", "completion": "It is many. " * 200} for i in range(6)))
    Path("train.jsonl").write_text(facts() + long)
    out = said(DONE, "run", spec(model=str(weights), dataset="train.jsonl", max_tokens=4096, epochs=0.3))
    assert re.search(
        r"\d of \d+ demonstrations \(train\) are longer than 256 tokens \(up to [\d,]+\) and were left", out
    )
    assert "The model reads no more than 256 tokens: use one with a longer context." in out
    assert "were left out" in said(DONE, "show", runs(project)[0].id), "a run's warnings can be read later"


def test_a_question_longer_than_the_context_is_refused_with_both_numbers(said, weights):
    out = said(BAD_INPUT, "chat", str(weights), "--prompt", "word " * 600)
    assert re.search(r"The prompt has [\d,]+ tokens, but .* reads at most 256", out)


# Settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"epochz": 3}, "spec.json, epochz: SFTSpec has no setting named 'epochz'."),
        ({"epochs": "three"}, "spec.json, epochs: Epochs is 'three', but must be a number."),
        ({"epochs": -3}, "spec.json, epochs: Epochs is -3.0, but must be between 0.01 and 1000.0."),
        ({"batch_size": 2.5}, "spec.json, batch_size: Batch size is 2.5, but must be a whole number."),
        (
            {"schedule": "steps"},
            "spec.json, schedule: Schedule is 'steps', but must be one of constant, linear, cosine.",
        ),
        ({"model": ""}, "spec.json, model: Model has not been chosen."),
        ({"task": "cooking"}, "spec.json, task: There is no task 'cooking'."),
    ],
)
def test_a_wrong_setting_is_named_with_file_and_field_and_makes_no_run(said, project, changed, sentence):
    out = said(BAD_INPUT, "run", spec(**{"model": "starter", "dataset": "x.jsonl", **changed}))
    assert sentence in out
    assert runs(project) == []


def test_a_spec_that_is_no_json_is_named_with_line_and_column(said):
    Path("spec.json").write_text('{"task": "sft",\n "epochs" 3}')
    assert re.search(
        r"spec\.json: The spec is not JSON: .* at line 2, column 11\.", said(BAD_INPUT, "run", "spec.json")
    )


def test_a_run_that_is_not_there_is_named_whatever_is_asked_of_it(said):
    Path("people.jsonl").write_text(facts())
    sentence = "There is no run 'nobody' in this project.\nSee `rlhf list`."
    for words in (
        ("show", "nobody"),
        ("resume", "nobody"),
        ("cancel", "nobody"),
        ("suspend", "nobody"),
        ("export", "run:nobody"),
        ("chat", "run:nobody", "--prompt", "x"),
        ("run", spec(model="run:nobody", dataset="people.jsonl")),
    ):
        assert sentence in said(NOT_FOUND, *words)


# The project --------------------------------------------------------------------------------------------------------


def test_a_project_of_a_newer_version_is_left_alone_by_every_command(said, project):
    Path("people.jsonl").write_text(facts())
    card = json.loads((project / "project.json").read_text())
    (project / "project.json").write_text(json.dumps({**card, "format": 99}))
    before = sorted(project.rglob("*"))
    for words in (
        ("list",),
        ("import", "people.jsonl"),
        ("run", spec(model="starter", dataset="people.jsonl")),
        ("chat", "starter", "--prompt", "x"),
        ("project", "check", str(project)),
    ):
        assert f"{project} was made by a newer version of this program." in said(NOT_FOUND, *words)
    assert sorted(project.rglob("*")) == before


def test_runs_locked_by_a_second_process_are_told_with_its_number(said, project):
    hold = (
        "import sys; from pathlib import Path; from rlhf_engine.store.runs import RunsWriter\n"
        "w = RunsWriter(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(project)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert other.stdout.readline() == "held\n"
        Path("people.jsonl").write_text(facts())
        out = said(NOT_FOUND, "import", "people.jsonl")
        assert f"A run is going on in this project, in process {other.pid} on" in out
        assert "There are no runs yet." in said(DONE, "list"), "reading needs no lock"
    finally:
        other.communicate("")
    said(DONE, "import", "people.jsonl")


def test_a_database_locked_by_another_program_is_said_to_be(said, project):
    Path("people.jsonl").write_text(facts())
    said(DONE, "import", "people.jsonl")
    other = sqlite3.connect(project / "runs.db", isolation_level=None)
    other.execute("begin immediate")
    try:
        out = said(NOT_FOUND, "import", "people.jsonl", "--name", "second")
    finally:
        other.execute("rollback")
        other.close()
    assert re.search(r"runs\.db is being written by another program\.", out), out
    said(DONE, "import", "people.jsonl", "--name", "third")
    assert [row.name for row in runs(project) if row.state == "completed"] == ["third", "people.jsonl"]


# While it runs ------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_ends_the_run_at_that_step_and_keeps_the_checkpoint(
    said, weights, project, monkeypatch
):
    from rlhf_engine.tasks.sft import train

    real, calls = train.nll_loss, []

    def sometimes_nan(*given):
        calls.append(1)
        return real(*given) * (torch.nan if len(calls) == 4 else 1.0)

    monkeypatch.setattr(train, "nll_loss", sometimes_nan)
    Path("train.jsonl").write_text(facts())
    spec_file = spec(model=str(weights), dataset="train.jsonl", epochs=2, checkpoint_every=1)
    out = said(FAILED, "run", spec_file)
    run = runs(project)[0]
    assert re.search(r"(gradient|loss).*(not finite|NaN).*", out, re.IGNORECASE), out
    assert "lower learning rate" in out
    assert f"Step 3 is saved: `rlhf resume {run.id}` goes on from there." in out
    assert "failed" in said(DONE, "list")
    said(DONE, "resume", run.id)  # the number was bad once
    assert runs(project)[0].state == "completed"


def test_a_full_disk_at_a_checkpoint_keeps_the_one_before_and_the_run_goes_on_later(
    said, weights, project, monkeypatch
):
    from rlhf_engine.runtime import checkpoints

    real = checkpoints.save_file

    def full(tensors, path, *more):
        if "00000004" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(tensors, path, *more)

    Path("train.jsonl").write_text(facts())
    spec_file = spec(model=str(weights), dataset="train.jsonl", epochs=1, checkpoint_every=2)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_file", full)
        out = said(FAILED, "run", spec_file)
    run = runs(project)[0]
    assert re.search(r"The checkpoint of step 4 could not be written: [\d,]+ MB are free\.", out)
    assert "Free some space, then resume the run" in out and f"rlhf resume {run.id}" in out
    assert [path.name for path in sorted((project / "runs" / run.id / "checkpoints").iterdir())] == ["00000002"]
    assert "Completed." in said(DONE, "resume", run.id)


def stopped_run(said, project, weights, monkeypatch) -> str:
    """A run that failed after the checkpoints of steps 2 and 4."""
    from rlhf_engine.tasks.sft import train

    real, calls = train.nll_loss, []

    def gives_up(*given):
        calls.append(1)
        return real(*given) * (torch.nan if len(calls) == 5 else 1.0)

    Path("train.jsonl").write_text(facts())
    spec_file = spec(model=str(weights), dataset="train.jsonl", epochs=1.5, checkpoint_every=2, keep_checkpoints=2)
    with monkeypatch.context() as patch:
        patch.setattr(train, "nll_loss", gives_up)
        said(FAILED, "run", spec_file)
    run_id = runs(project)[0].id
    kept = sorted(path.name for path in (project / "runs" / run_id / "checkpoints").iterdir())
    assert kept == ["00000002", "00000004"]
    return str(run_id)


def damage(checkpoint: Path) -> None:
    file = checkpoint / "tensors.safetensors"
    body = bytearray(file.read_bytes())
    body[-100] ^= 1
    file.write_bytes(body)


def test_a_damaged_checkpoint_is_told_and_an_older_one_taken(said, weights, project, monkeypatch):
    run_id = stopped_run(said, project, weights, monkeypatch)
    folder = project / "runs" / run_id / "checkpoints"
    damage(folder / "00000004")
    out = said(DONE, "resume", run_id)
    assert "The checkpoint of step 4 is damaged and cannot be used. The run goes on from step 2." in out
    assert "Completed." in out
    assert len(list(folder.iterdir())) == 2


def test_a_run_with_no_whole_checkpoint_starts_again_and_says_so(said, weights, project, monkeypatch):
    run_id = stopped_run(said, project, weights, monkeypatch)
    for checkpoint in (project / "runs" / run_id / "checkpoints").iterdir():
        damage(checkpoint)
    out = said(DONE, "resume", run_id)
    assert "The checkpoints of steps 2, 4 are damaged and cannot be used." in out
    assert "starts again from its beginning" in out and "Completed." in out


def test_a_run_whose_data_changed_is_not_gone_on_with(said, weights, project, monkeypatch):
    run_id = stopped_run(said, project, weights, monkeypatch)
    content = Path("train.jsonl").read_text()
    Path("train.jsonl").write_text(facts(30))
    out = said(FAILED, "resume", run_id)
    assert re.search(r"The checkpoint was made with another dataset \([0-9a-f]{16}, now [0-9a-f]{16}\)\.", out)
    assert "Put the old one back to continue this run, or start a new run." in out
    assert len(list((project / "runs" / run_id / "checkpoints").iterdir())) == 2, "nothing is lost by trying"
    Path("train.jsonl").write_text(content)
    assert "Completed." in said(DONE, "resume", run_id)
