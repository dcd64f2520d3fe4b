"""The rlhf command: what it prints, where it finds things, and a test for each exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_engine.cli import main
from rlhf_engine.cli.outcome import code_of
from rlhf_engine.cli.runs import sparkline, with_settings
from rlhf_engine.contract import errors
from rlhf_engine.contract.events import Alert, Curve, Envelope, Produced, RunFinished, RunStarted
from rlhf_engine.contract.events import Text as Piece
from rlhf_engine.store.project import Project
from rlhf_engine.store.runs import RunsReader, RunsWriter
from rlhf_engine.tasks import TASKS, Task
from tests.engine.launch.conftest import until
from tests.engine.launch.tiny_task import fake_runtime, tiny_tasks

PROGRAM = (sys.executable, "-m", "tests.engine.launch.tiny_task", "rlhf")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    root = tmp_path / "project"
    Project.create(root).close()
    monkeypatch.setenv("RLHF_PROJECT", str(root))
    monkeypatch.setenv("RLHF_STUDIO_HOME", str(tmp_path / "home"))
    for key, task in tiny_tasks().items():
        monkeypatch.setitem(TASKS, key, task)
    for name, module in fake_runtime().items():
        monkeypatch.setitem(sys.modules, name, module)
    return root


@pytest.fixture
def spec(tmp_path):
    def write(task: str = "tiny", **settings: object) -> str:
        path = tmp_path / "spec.json"
        path.write_text(json.dumps({"task": task, **settings}))
        return str(path)

    return write


def runs_of(project: Path):
    reader = RunsReader(project)
    rows = reader.runs()
    reader.close()
    return rows


# Exit codes ---------------------------------------------------------------------------------------------------------


def test_a_run_that_goes_well_exits_with_0_and_is_kept(spec, project, capsys):
    assert main(["run", spec(steps=5), "--name", "first"]) == 0
    assert "Completed.  step 5  loss 0.2" in capsys.readouterr().out
    assert [(row.name, row.state) for row in runs_of(project)] == [("first", "completed")]


def test_a_run_that_fails_exits_with_1_and_says_why_on_stderr(spec, capsys):
    assert main(["run", spec(end="full")]) == 1
    said = capsys.readouterr().err
    assert said.splitlines()[0] == "The disk is full while writing /somewhere/adapter.safetensors."
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "/nowhere.json"], "/nowhere.json cannot be read"),
        (["run", "SPEC", "--set", "stepz=3"], "TinySpec has no setting named 'stepz'"),
        (["run", "SPEC", "--set", "steps"], "not of the form field=value"),
        (["run", "SPEC", "--set", "steps=many"], "steps is 'many', which is not int"),
        (["run", "SPEC", "--set", "end=data"], "people.jsonl, line 3"),
        (["frobnicate"], "No such command"),
        (["run"], "Missing argument"),
    ],
)
def test_bad_input_exits_with_2(spec, capsys, arguments, sentence):
    assert main([spec() if word == "SPEC" else word for word in arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_an_unknown_task_or_broken_json_exits_with_2(spec, tmp_path, capsys):
    assert main(["run", spec("cooking")]) == 2
    (tmp_path / "broken.json").write_text("{")
    assert main(["run", str(tmp_path / "broken.json")]) == 2
    assert "The spec is not JSON" in capsys.readouterr().err


def test_what_is_not_found_exits_with_3(tmp_path, capsys):
    assert main(["show", "nothing"]) == main(["resume", "nothing"]) == main(["cancel", "nothing"]) == 3
    assert main(["list", "--project", str(tmp_path)]) == 3
    assert "rlhf project create" in capsys.readouterr().err


def test_a_busy_project_exits_with_3_and_names_the_holder(spec, project, capsys):
    with RunsWriter(project):
        assert main(["run", spec()]) == 3
    assert f"A run is going on in this project, in process {os.getpid()}" in capsys.readouterr().err


def test_a_bug_exits_with_70_and_shows_the_traceback(spec, capsys):
    assert main(["run", spec(end="bug")]) == 70
    said = capsys.readouterr().err
    assert "Traceback" in said and "ZeroDivisionError" in said and "This is a bug in the engine." in said


def test_a_bug_in_a_command_exits_with_70(monkeypatch, capsys):
    monkeypatch.setattr("rlhf_engine.cli.runs.RunsReader", lambda _: 1 / 0)
    assert main(["list"]) == 70
    assert "This is a bug" in capsys.readouterr().err


def test_every_error_has_an_exit_code_of_its_own_blame():
    codes = {
        name: code_of(kind("field", "m") if name == "SpecError" else kind("m"))
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert codes == {
        "EngineError": 1,
        "SpecError": 2,
        "DataError": 2,
        "ModelError": 2,
        "HubError": 1,
        "CheckpointError": 1,
        "StoreError": 3,
        "StoreDamaged": 3,
        "ProjectLocked": 3,
        "DiskFull": 1,
        "OutOfMemory": 1,
        "NotFinite": 1,
        "DeviceLost": 1,
        "RunCancelled": 4,
        "RunSuspended": 4,
    }
    assert code_of(KeyboardInterrupt()) == 130 and code_of(None) == 0


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*PROGRAM, *arguments], stdout=-1, stderr=-1, text=True)


def going(project: Path):
    return until(lambda: next((row for row in runs_of(project) if row.state == "running" and row.step), None))


def test_ctrl_c_stops_the_run_at_a_safe_point_and_exits_with_4(spec, project):
    process = start("run", spec(steps=10_000, pause=0.02))
    going(project)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 4 and "Cancelled." in out
    assert runs_of(project)[0].state == "cancelled"


def test_a_second_ctrl_c_exits_with_130_whatever_the_run_is_doing(spec, project):
    process = start("run", spec(steps=1, pause=60))
    going(project)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        until(lambda: True)
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    process.communicate(timeout=10)
    assert process.returncode == 130
    assert runs_of(project)[0].state == "interrupted"


def test_another_terminal_cancels_suspends_and_resumes_a_run(spec, project, capsys):
    process = start("run", spec(steps=10_000, pause=0.02), "--name", "long")
    row = going(project)
    assert main(["suspend", row.id[:6]]) == 0
    process.communicate(timeout=20)
    assert process.returncode == 4 and runs_of(project)[0].state == "suspended"

    again = start("resume", "long")
    going(project)
    assert main(["pause", "long"]) == 0
    until(lambda: runs_of(project)[0].state == "paused")
    assert main(["unpause", "long"]) == 0
    until(lambda: runs_of(project)[0].state == "running")
    assert main(["cancel", "long"]) == 0
    again.communicate(timeout=20)
    assert again.returncode == 4 and runs_of(project)[0].state == "cancelled"
    assert main(["cancel", "long"]) == 3
    assert "it is cancelled" in capsys.readouterr().err


# What is printed ----------------------------------------------------------------------------------------------------


def test_json_is_one_envelope_per_line_and_nothing_else(spec, project, capfd):
    assert main(["run", spec(steps=3), "--json"]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if "a C library speaks" not in line]
    story = [Envelope.from_json(line) for line in lines]
    assert [envelope.seq for envelope in story] == list(range(len(story)))
    assert story[-1].event == RunFinished("completed")
    assert "a library speaks" in (project / "worker.log").read_text()


def test_an_error_is_a_json_object_when_json_was_asked_for(capsys):
    assert main(["show", "nothing", "--json"]) == 3
    said = json.loads(capsys.readouterr().err)
    assert said == {
        "error": "There is no run 'nothing' in this project.",
        "hint": "See `rlhf list`.",
        "field": "",
        "code": 3,
    }
    assert main(["run", "--json"]) == 2
    assert "Missing argument" in json.loads(capsys.readouterr().err)["error"]


def test_list_and_show_tell_a_run(spec, capsys):
    assert main(["list"]) == 0
    assert "There are no runs yet." in capsys.readouterr().out
    main(["run", spec(steps=4), "--name", "[red]mine[/red]"])
    capsys.readouterr()
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "[red]mine[/red]" in out and "completed" in out and "4/4" in out
    assert main(["show", "[red]mine[/red]"]) == 0
    out = capsys.readouterr().out
    assert "█▃▁▁ " in out and "0.25" in out and "steps = 4" in out  # 1, 1/2, 1/3, 1/4
    assert "····" in out  # a metric that is never a number


def test_a_narrow_list_shortens_names_and_never_ids(spec, capsys, project, monkeypatch):
    main(["run", spec(steps=5), "--name", "a name that is far too long for any list " * 3])
    run_id = runs_of(project)[0].id
    capsys.readouterr()
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert run_id in lines[1] and "completed" in lines[1] and "5/5" in lines[1] and "…" in lines[1]
    assert len(lines) == 2


def test_a_run_says_its_id_and_how_to_go_on_with_it(spec, capsys, project):
    main(["run", spec(end="full"), "--name", "first"])
    run_id = runs_of(project)[0].id
    assert f"run {run_id}" in capsys.readouterr().out.splitlines()[0]


def test_what_a_spec_names_does_not_depend_on_where_the_command_was_given(project, tmp_path, monkeypatch):
    from rlhf_engine.cli.place import settled
    from rlhf_engine.tasks.ppo.spec import PPOSpec

    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    with RunsWriter(project) as writer:
        writer.start("aaaabbbbcccc", "{}", "reward", "my judge")
    spec = settled(project, PPOSpec(policy="weights", reward_model="run:my judge", dataset="people.jsonl"))
    assert (spec.policy, spec.reward_model) == (str(tmp_path / "weights"), "run:aaaabbbbcccc")
    assert spec.dataset == "people.jsonl"  # not there: said when it is opened, in the words that were given
    with pytest.raises(errors.StoreError, match="There is no run 'nobody'"):
        settled(project, PPOSpec(policy="owner/name", reward_model="run:nobody", dataset="dataset:x"))


def test_list_and_show_as_json(spec, capsys):
    main(["run", spec(steps=2)])
    capsys.readouterr()
    main(["list", "--json"])
    row = json.loads(capsys.readouterr().out)
    assert row["spec"]["steps"] == 2 and row["metrics"] == {"loss": 0.5, "nothing": {"float": "nan"}}
    main(["show", row["id"], "--json"])
    assert json.loads(capsys.readouterr().out)["produced"] == []


def test_show_lists_the_newest_of_each_curve(project, capsys):
    points = {"said": (0.5, 0.7, 0.9), "agreed": (0.5, 0.6, float("nan"))}
    with RunsWriter(project) as writer:
        writer.start("aaaabbbbcccc", "{}", "reward", "mine")
        events = (RunStarted("reward", 4), Curve(2, "heldout/reliability", {"said": (1.0,)}))
        for seq, event in enumerate((*events, Curve(4, "heldout/reliability", points))):
            writer.append(Envelope("aaaabbbbcccc", seq, 0.0, event))
    main(["show", "mine", "--json"])
    (curve,) = json.loads(capsys.readouterr().out)["curves"]
    assert curve["step"] == 4 and curve["columns"] == {
        "said": [0.5, 0.7, 0.9],
        "agreed": [0.5, 0.6, {"float": "nan"}],
    }
    main(["show", "mine"])
    assert "heldout/reliability: agreed by said" in capsys.readouterr().out


def test_presets_are_listed_with_what_they_change(capsys):
    assert main(["presets", "ppo"]) == 0
    out = capsys.readouterr().out
    assert "ppo instructgpt" in out and "KL penalty 0.05 → 0.02" in out and "arXiv:2203.02155" in out
    assert main(["presets", "sft", "gentle"]) == 0
    assert "epochs" in (lines := capsys.readouterr().out) and "cosine" in lines
    assert main(["presets", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    own = {key for key, task in TASKS.items() if task.trains and task.spec.__module__.startswith("rlhf_engine.")}
    assert {body["task"] for body in told} >= own  # and those that other tests put into the table
    gentle = next(body for body in told if (body["task"], body["key"]) == ("sft", "gentle"))
    assert {c["name"]: (c["before"], c["after"]) for c in gentle["changes"]}["epochs"] == (3.0, 2.0)
    assert main(["presets", "dance"]) == 2 and main(["presets", "sft", "nothing"]) == 2
    assert "It has: default, " in capsys.readouterr().err


def test_help_shows_pages_and_finds_words(capsys):
    assert main(["help"]) == 0
    out = capsys.readouterr().out
    assert "Getting started" in out and "Pages: index, getting-started" in out
    assert main(["help", "sft"]) == 0
    assert "Epochs" in capsys.readouterr().out
    assert main(["help", "KL", "penalty"]) == 0
    assert "rlhf help ppo" in capsys.readouterr().out
    assert main(["help", "objective/kl_sequence", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"ppo", "metrics"} <= {page for body in found for page in (body["page"], *body["also"])}
    assert main(["help", "xylophone"]) == 2
    assert "Nothing is said of 'xylophone'" in capsys.readouterr().err
    assert main(["help", "--json"]) == 0
    assert {"page": "ppo", "title": "PPO", "group": "Online"} in map(json.loads, capsys.readouterr().out.splitlines())


def test_settings_are_read_as_the_type_of_their_field():
    body = json.loads(
        with_settings(
            '{"task": "generate"}', ["temperature=0.5", "models=a, b", "dtype=fp32", "seed=3", 'prompts=["x"]']
        )
    )
    expected = {"temperature": 0.5, "models": ["a", "b"], "dtype": "fp32", "seed": 3, "prompts": ["x"]}
    assert body == {"task": "generate", **expected}


def test_a_sparkline_is_as_tall_as_its_values_and_no_wider_than_it_may_be():
    assert sparkline([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == "▁▂▃▄▅▆▇█"
    assert sparkline([1.0, float("nan"), 3.0]) == "▁·█"
    assert sparkline([0.0, 0.0, 7.0, 7.0], width=2) == "▁█"
    assert len(sparkline([1.0] * 1000)) == 40
    assert sparkline([]) == ""


def test_the_current_folder_is_the_project_when_it_is_one_and_else_there_is_a_default(
    tmp_path, project, monkeypatch, spec
):
    monkeypatch.delenv("RLHF_PROJECT")
    monkeypatch.chdir(project)
    main(["run", spec()])
    assert len(runs_of(project)) == 1
    monkeypatch.chdir(tmp_path)
    assert main(["run", spec()]) == 0
    assert len(runs_of(tmp_path / "home" / "data" / "default")) == 1


def answer(spec, run) -> None:
    prompt = spec.prompts[0]
    run.emit(Piece(0, "[bold]you said "))
    run.emit(
        Piece(0, prompt if isinstance(prompt, str) else f"{len(prompt)} turns: {prompt[-1]['content']}", finish="eos")
    )


def read_people(spec, run) -> None:
    run.emit(Alert("warning", f"columns {dict(spec.columns)}"))
    rows = [{"line": i, "field": "chosen", "reason": "is [empty]"} for i in range(1, 31)]
    facts = {"kind": "prompts", "layout": "native", "columns": dict(spec.columns), "name": "people.jsonl"}
    counts = {"rows": 1007, "total": 1037, "train": 900, "heldout": 107, "rejected": 30, "rejected_rows": rows}
    run.emit(Produced("dataset", "datasets/abcdef", {**facts, **counts, "report": "runs/x/rejected.jsonl"}))


@pytest.fixture
def stand_ins(monkeypatch):
    from rlhf_engine.tasks.generate.spec import GenerateSpec
    from rlhf_engine.tasks.import_data.spec import ImportSpec

    monkeypatch.setitem(TASKS, "generate", Task("generate", "", "", GenerateSpec, f"{__name__}:answer", kept=False))
    monkeypatch.setitem(TASKS, "import_data", Task("import_data", "", "", ImportSpec, f"{__name__}:read_people"))


def test_chat_answers_one_prompt_and_ends(stand_ins, capsys, project):
    assert main(["chat", "starter", "--prompt", "hello [red]"]) == 0
    assert capsys.readouterr().out == "[bold]you said hello [red]\n"
    assert runs_of(project) == []


def test_a_conversation_remembers_its_turns(stand_ins, capsys, monkeypatch):
    said = iter(["one", "two", "/again", "three"])

    def typed(*_, **__):
        try:
            return next(said)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("rich.console.Console.input", typed)
    assert main(["chat", "starter"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line] == [
        "[bold]you said 1 turns: one",
        "[bold]you said 3 turns: two",
        "[bold]you said 1 turns: three",
    ]


def test_import_prints_the_dataset_and_the_first_rejected_rows(stand_ins, capsys, tmp_path):
    (tmp_path / "people.jsonl").write_text("{}\n")
    assert main(["import", str(tmp_path / "people.jsonl"), "--column", "prompt=question"]) == 0
    out = capsys.readouterr().out
    assert "1,007 of 1,037 rows are prompts: 900 to train on, 107 held out." in out
    assert "Read as native: prompt from 'question'." in out and "Use it as dataset:abcdef" in out
    assert "30 rows were left out:" in out and "line 10, chosen: is [empty]" in out and "line 11," not in out
    assert "and 20 more, all in runs/x/rejected.jsonl" in out
    assert "already had" not in out
    assert main(["import", str(tmp_path / "people.jsonl"), "--column", "prompt"]) == 2


def test_import_reads_several_files_and_ratings_and_names_the_file_of_a_row_left_out(tmp_path, capsys):
    root = tmp_path / "mine"
    assert main(["project", "create", str(root)]) == 0
    paths = []
    for name, stars in (("a", (5, 1)), ("b", (3, 2))):
        paths.append(tmp_path / f"{name}.csv")
        rows = "".join(f"Hi,{name}{number},{number}\n" for number in stars)
        paths[-1].write_text(f"prompt,completion,rating\n{rows}")

    def told(*asked):  # a process of its own: the runtime is a stand-in in this one
        command = [sys.executable, "-m", "rlhf_engine", "import", *map(str, asked), "--project", str(root)]
        return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)

    out = told(*paths).stdout
    assert "3 of 4 rows are ratings" in out and "Liked: 1." in out
    assert "The first file was read as native" in out
    assert "  b.csv, line 2, rating: is 3 of 5, which is undecided" in out
    refused = told(paths[0], "--examples", "9")
    assert refused.returncode == 2 and "must be between 0 and 4" in refused.stderr


def test_project_create_and_check(tmp_path, capsys):
    assert main(["project", "create", str(tmp_path / "new"), "--name", "Mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "Mine"
    assert main(["project", "create", str(tmp_path / "new")]) == 3
    assert main(["project", "check", str(tmp_path / "new")]) == 0
    assert "is sound: 0 prompts" in capsys.readouterr().out
    assert main(["project", "check", str(tmp_path / "nothing")]) == 3


def test_a_project_is_repaired_and_restored_by_command(tmp_path, capsys):
    from rlhf_engine.store.project import Project

    root = tmp_path / "mine"
    with Project.create(root) as project:
        for n in range(4):
            project.labels.add_prompt(f"p{n}")
        project.snapshot()
        project.labels.add_prompt("later")
        assert main(["project", "repair", str(root)]) == 3  # it is open
        assert "already open: process" in capsys.readouterr().err
        project.labels._db.execute("UPDATE prompts SET prompt = 'forged' WHERE row = 2")
    assert main(["project", "check", str(root)]) == 1
    assert (
        "is not sound: 1 row has changed since it was written." in (said := capsys.readouterr().out)
        and "rlhf project repair" in said
    )
    assert main(["project", "check", str(root), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["damaged"] == [["prompts", 2]]
    assert main(["project", "repair", str(root)]) == 0
    assert "Put back 1 row. As it was before: " in capsys.readouterr().out
    assert main(["project", "repair", str(root)]) == 0
    assert "needed no repair" in capsys.readouterr().out

    assert main(["project", "restore", str(root), "--list"]) == 0
    (name,) = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert main(["project", "restore", str(root)]) == 0
    assert f"Restored {name}; 1 row said after it was put back." in capsys.readouterr().out
    assert main(["project", "restore", str(root), name, "--rewind", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["snapshot"] == name
    assert main(["project", "check", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prompts"] == 4
    assert main(["project", "restore", str(root), "nothing"]) == 3
    assert "There is no snapshot 'nothing'" in capsys.readouterr().err


def test_labels_that_are_gone_come_back_from_what_is_left_and_are_never_begun_anew_in_silence(tmp_path, capsys):
    from rlhf_engine.store.project import Project

    root = tmp_path / "mine"
    with Project.create(root) as project:
        for n in range(4):
            project.labels.add_prompt(f"p{n}")
        project.snapshot()
    for lost in (["labels.db"], ["labels.db", "labels.journal.jsonl"]):  # the journal, then the snapshot has them
        for name in lost:
            (root / name).unlink()
        assert main(["project", "check", str(root)]) == 1
        assert "labels.db does not exist.\n" in capsys.readouterr().out
        assert main(["project", "repair", str(root)]) == 0
        assert capsys.readouterr().out.strip() == "Put back 4 rows."
        assert main(["project", "check", str(root), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["prompts"] == 4
    for name in (
        "labels.db",
        "labels.journal.jsonl",
        *(f"backups/{path.name}" for path in (root / "backups").iterdir()),
    ):
        (root / name).unlink()
    for _ in range(2):
        assert main(["project", "repair", str(root)]) == 3
        said = capsys.readouterr().err
        assert "neither a journal nor a snapshot holds a copy" in said and "backup of your own" in said
        assert not (root / "labels.db").exists()


def test_doctor_tells_every_finding(monkeypatch, capsys):
    from rlhf_engine.doctor import Finding

    found = [
        Finding("ok", "Python", "Python 3.11.", facts={"cores": 2}),
        Finding("fail", "Qt", "No Qt.", "Install it."),
    ]
    monkeypatch.setattr("rlhf_engine.doctor.diagnose", lambda **_: found)
    assert main(["doctor"]) == 1
    assert "Install it." in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 1
    assert [json.loads(line)["subject"] for line in capsys.readouterr().out.splitlines()] == ["Python", "Qt"]


def test_listing_runs_does_not_import_torch():
    code = (
        "import sys; from rlhf_engine.cli import main; code = main(['list']); "
        "sys.exit(code or ('torch' in sys.modules) or ('transformers' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
