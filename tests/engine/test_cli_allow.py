"""`rlhf allow`, and `rlhf run` of a spec with code: shown, asked about once, and never run unasked."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from rlhf_engine import consent
from rlhf_engine.cli import allow, main, runs
from rlhf_engine.cli.place import settled
from rlhf_engine.contract.rewards import ModelReward, PythonReward
from rlhf_engine.store.project import Project
from rlhf_engine.store.runs import RunsWriter
from rlhf_engine.tasks.ppo.spec import PPOSpec

SOURCE = "def reward(prompt, answer, reference):\n    return 1.0\n"


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    root = tmp_path / "project"
    Project.create(root).close()
    monkeypatch.setenv("RLHF_PROJECT", str(root))
    monkeypatch.setenv("RLHF_STUDIO_HOME", str(tmp_path / "home"))
    return root


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def terminal(monkeypatch):
    """A terminal on which somebody answers in turn."""

    def says(*answers):
        waiting = list(answers)
        monkeypatch.setattr(allow, "can_ask", lambda: True)
        monkeypatch.setattr(Console, "input", lambda *_, **__: waiting.pop(0))
        return waiting

    return says


@pytest.fixture
def begun(monkeypatch):
    """The specs of the runs that were begun."""
    found = []
    monkeypatch.setattr(runs, "do_run", lambda _root, _id, spec, *_, **__: found.append(spec) or 0)
    return found


def spec_of(tmp_path, file):
    path = tmp_path / "spec.json"
    rewards = [{"kind": "python", "file": str(file)}]
    inputs = {"policy": "starter", "dataset": "dataset:x", "value_init": "zero"}
    path.write_text(json.dumps({"task": "ppo", "rewards": rewards, **inputs}))
    return str(path)


def test_a_yes_is_remembered_and_a_no_is_not(file, terminal, capsys):
    digest = consent.sha256_of(file)
    for answer in ("n", "", "yeah"):
        terminal(answer)
        assert main(["allow", str(file)]) == 4 and not consent.agreed(digest)
    out = capsys.readouterr().out
    assert str(file) in out and digest in out and "    return 1.0" in out
    terminal("y")
    assert main(["allow", str(file)]) == 0 and consent.agreed(digest)
    assert "may now be run" in capsys.readouterr().out
    terminal()  # nobody is asked again
    assert main(["allow", str(file)]) == 0 and "may already be run" in capsys.readouterr().out


def test_a_script_says_yes_itself_or_is_refused(file, capsys):
    assert main(["allow", str(file)]) == 2
    assert f"rlhf allow {file} --yes" in capsys.readouterr().err
    assert main(["allow", str(file), "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["hint"].endswith("--yes")
    assert main(["allow", str(file), "--yes", "--json"]) == 0
    digest = consent.sha256_of(file)
    said = {"file": str(file), "sha256": digest, "size": len(SOURCE), "known": False}
    assert json.loads(capsys.readouterr().out) == said and consent.agreed(digest)


def test_a_file_that_is_not_there_exits_with_2(tmp_path, capsys):
    assert main(["allow", str(tmp_path / "nowhere.py"), "--yes"]) == 2
    assert "cannot be read: No such file" in capsys.readouterr().err


def test_nothing_in_a_file_can_hide_from_who_reads_it(file, terminal, capsys):
    file.write_bytes(b"x = 1  # \x1b[8m\x1b[2K hidden\r\ny = '\xe2\x80\xae'\n\xff\n")
    terminal("n")
    main(["allow", str(file)])
    out = capsys.readouterr().out
    assert r"\x1b[8m\x1b[2K hidden" in out and "\x1b" not in out  # no colours, no erasing
    assert r"y = '\u202e'" in out and r"\xff" in out  # no letters that turn the line around


def test_a_long_file_is_left_to_an_editor(file, terminal, capsys):
    file.write_text("x = 1\n" * 401)
    terminal("n")
    main(["allow", str(file)])
    out = capsys.readouterr().out
    assert "401 lines: read them in an editor" in out and "x = 1" not in out and "2,406 bytes" in out


def test_a_run_without_a_terminal_says_what_to_type_and_does_not_begin(file, tmp_path, begun, capsys):
    for more in ([], ["--json"]):
        assert main(["run", spec_of(tmp_path, file), *more]) == 2
        said = capsys.readouterr().err
        assert "has not been agreed to be run here (SHA-256 " in said and f"rlhf allow {file}" in said
    assert begun == []
    assert main(["allow", str(file), "--yes"]) == 0
    assert main(["run", spec_of(tmp_path, file)]) == 0
    assert begun[0].rewards == (PythonReward(file=str(file)),)


def test_a_run_on_a_terminal_asks_first(file, tmp_path, begun, terminal, capsys):
    terminal("n")
    assert main(["run", spec_of(tmp_path, file)]) == 2 and begun == []
    terminal("y")
    assert main(["run", spec_of(tmp_path, file)]) == 0 and len(begun) == 1
    terminal()
    assert main(["run", spec_of(tmp_path, file)]) == 0 and len(begun) == 2  # once is enough
    file.write_text(SOURCE + "# changed\n")
    terminal("n")
    assert main(["run", spec_of(tmp_path, file)]) == 2 and len(begun) == 2
    assert "    return 1.0" in capsys.readouterr().out


def test_going_on_with_a_run_asks_too(file, tmp_path, begun, terminal, monkeypatch, capsys):
    assert main(["allow", str(file), "--yes"]) == 0
    main(["run", spec_of(tmp_path, file)])
    with RunsWriter(tmp_path / "project") as writer:
        writer.start("aaaabbbbcccc", "{}", "ppo", "")
    monkeypatch.setattr(runs, "require_resumable", lambda *_: begun[0])
    assert main(["resume", "aaaa"]) == 0 and len(begun) == 2
    file.write_text(SOURCE + "# changed\n")
    assert main(["resume", "aaaa"]) == 2 and len(begun) == 2
    assert "has not been agreed" in capsys.readouterr().err


def test_what_entries_name_does_not_depend_on_where_the_command_was_given(project, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    with RunsWriter(project) as writer:
        writer.start("aaaabbbbcccc", "{}", "reward", "my judge")
    rewards = (PythonReward(file="mine.py"), ModelReward(model="run:my judge"))
    spec = settled(project, PPOSpec(policy="starter", dataset="dataset:x", value_init="zero", rewards=rewards))
    assert spec.rewards == (PythonReward(file=str(file)), ModelReward(model="run:aaaabbbbcccc"))
