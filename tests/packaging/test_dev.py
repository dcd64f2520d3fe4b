"""What packaging/dev.py decides, without a network: stamps, Pythons, displays, commands, pip's failures in words."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path("/somewhere/.venv/bin/python")


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "packaging"))
    return importlib.import_module("environment")


@pytest.fixture
def dev(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "packaging"))
    return importlib.import_module("dev")


def test_the_stamp_changes_with_whatever_an_installation_is_made_from(environment):
    def stamp(project=b"a", pins=b"b", version=(3, 11, 7), gpu=False):
        return environment.stamp_of(project, pins, python_version=version, gpu=gpu)

    others = [stamp(project=b"x"), stamp(pins=b"x"), stamp(version=(3, 12, 1)), stamp(gpu=True), stamp(b"ab", b"")]
    assert len({stamp(), *others}) == 6
    assert stamp(project=b"one\r\ntwo") == stamp(project=b"one\ntwo")


def test_an_environment_for_tests_also_runs_the_studio_but_not_the_other_way_round(environment, tmp_path):
    environment.stamp_path(tmp_path, "").write_text("s\n")
    assert environment.is_installed(tmp_path, "s", "")
    assert not environment.is_installed(tmp_path, "s", "test")
    assert not environment.is_installed(tmp_path, "other", "")
    environment.stamp_path(tmp_path, "test").write_text("t\n")
    assert environment.is_installed(tmp_path, "t", "")
    assert environment.is_installed(tmp_path, "t", "test")
    assert not environment.is_installed(tmp_path, "t", "test,oracle")
    environment.stamp_path(tmp_path, "test,oracle").write_text("o\n")
    assert environment.is_installed(tmp_path, "o", "test,oracle")


def test_an_old_python_looks_for_a_newer_one_and_says_so_when_there_is_none(environment):
    assert environment.find_python((3, 13)) == [sys.executable]
    newer = environment.find_python((3, 8), which=lambda name: sys.executable if name == "python3.12" else None)
    assert newer == [sys.executable]
    with pytest.raises(environment.SetupFailed, match=r"Python 3\.8 is too old: Python 3\.11 or newer is needed"):
        environment.find_python((3, 8), which=lambda _: None)


def test_both_files_parse_in_old_pythons_so_that_they_can_say_they_are_too_old():
    for name in ("dev.py", "environment.py"):
        ast.parse((ROOT / "packaging" / name).read_text(encoding="utf-8"), feature_version=(3, 8))


def test_a_python_that_does_not_start_is_not_a_working_one(environment, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    assert environment.working_version(broken) is None
    assert environment.working_version(tmp_path / "absent") is None
    assert environment.working_version(Path(sys.executable)) == tuple(sys.version_info[:3])


@pytest.mark.slow
def test_a_broken_environment_is_rebuilt(environment, tmp_path):
    folder = tmp_path / ".venv"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")  # no pip in it: that counts as broken
    assert environment.working_version(environment.venv_python(folder)) is None
    said: list[str] = []
    environment.make_venv(said.append, folder)
    assert environment.working_version(environment.venv_python(folder)) == tuple(sys.version_info[:3])
    assert "Removing" in said[0]


def test_a_folder_that_is_no_environment_is_left_alone(environment, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(environment.SetupFailed, match="not a Python environment"):
        environment.make_venv(lambda _: None, tmp_path)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("Retrying: NewConnectionError\nERROR: No matching distribution found for torch==2.13.0", "check the network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no build of torch==2.13.0"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: Package 'x' requires a different Python: 3.15.0 not in '<3.15'", "another Python"),
        ("ssl.SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED", "certificate"),
        ("something nobody has seen", "could not install"),
    ],
)
def test_what_pip_says_becomes_one_sentence(environment, words, sentence):
    assert sentence in environment.why_pip_failed(words)


@pytest.mark.parametrize(
    ("gpu", "builds", "torch_requests"),
    [
        (False, [], ["torch==2.13.0"]),
        (True, ["13.0"], ["torch==2.13.0"]),
        (True, ["", "13.0"], ["torch==2.13.0", "torch===2.13.0"]),  # pip knew a CPU build of the same version
    ],
)
def test_beside_a_gpu_a_cpu_build_of_torch_is_replaced(environment, monkeypatch, gpu, builds, torch_requests):
    asked: list[list[str]] = []
    monkeypatch.setattr(environment, "run_pip", lambda _python, arguments, *_: asked.append(arguments))
    monkeypatch.setattr(environment, "torch_build", lambda _: builds.pop(0))
    said: list[str] = []
    environment.install(PYTHON.parents[1], said.append, gpu=gpu, extras="test")
    assert [arguments[1] for arguments in asked[:-1]] == torch_requests
    assert asked[-1][-2:] == ["--editable", ".[test]"] and "--constraint" in asked[-1]
    assert not any("without the GPU" in line for line in said)


def test_a_gpu_that_torch_will_not_use_is_said_aloud(environment, monkeypatch):
    def refuse(_python, arguments, *_):
        if arguments[1].startswith("torch==="):
            raise environment.SetupFailed("pip found no build.")

    monkeypatch.setattr(environment, "run_pip", refuse)
    monkeypatch.setattr(environment, "torch_build", lambda _: "")
    said: list[str] = []
    environment.install(PYTHON.parents[1], said.append, gpu=True, extras="")
    assert any("without the GPU" in line and "doctor" in line for line in said)


def test_a_failing_pip_is_told_with_the_path_of_its_log(environment, tmp_path):
    nowhere = ["install", "--no-index", "--find-links", str(tmp_path), "a-package-that-is-nowhere"]
    with pytest.raises(environment.SetupFailed, match=r"no build of a-package-that-is-nowhere.*setup\.log"):
        environment.run_pip(Path(sys.executable), nowhere, lambda _: None, tmp_path / "setup.log")
    assert "a-package-that-is-nowhere" in (tmp_path / "setup.log").read_text()


def test_the_latest_thing_pip_does_is_told_in_plain_ascii(environment, tmp_path):
    log = tmp_path / "setup.log"
    log.write_text(
        "Collecting torch\n  Downloading torch-2.13.0.whl\n   \u2501\u2501\u2501 30/30 MB\nWARNING: no\n",
        encoding="utf-8",
    )
    assert environment.latest_doing(log) == "Downloading torch-2.13.0.whl"
    log.write_text("")
    assert environment.latest_doing(log) == ""


def test_the_doctor_can_be_asked_before_anything_is_installed(dev, monkeypatch, tmp_path):
    monkeypatch.setattr(dev.environment, "VENV", tmp_path / "none")
    assert dev.doctors_python() == Path(sys.executable)
    monkeypatch.setattr(dev.environment, "VENV", Path(sys.prefix))
    assert dev.doctors_python() == dev.environment.venv_python(Path(sys.prefix))


def test_pip_keeps_the_persons_settings_but_installs_nowhere_else(environment):
    kept = environment.pip_environment({"PIP_FIND_LINKS": "/wheels", "PIP_USER": "1", "PIP_TARGET": "/x"})
    assert kept["PIP_FIND_LINKS"] == "/wheels"
    assert "PIP_USER" not in kept and "PIP_TARGET" not in kept


def test_torch_is_pinned_and_no_index_is_named(environment):
    constraints = (ROOT / "packaging" / "constraints.txt").read_text(encoding="utf-8")
    assert environment.pinned_version(constraints, "torch") == "2.13.0"
    assert "://" not in constraints
    assert "--index-url" not in constraints and "--find-links" not in constraints
    with pytest.raises(environment.SetupFailed, match="does not pin nothing"):
        environment.pinned_version(constraints, "nothing")


def test_every_direct_dependency_is_pinned():
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (ROOT / "packaging" / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["oracle"]]
    names = {re.split(r"[<>=!;\s\[]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    assert {name for name in names if f"\n{name}==" not in pins} == set()


def test_without_a_display_there_is_no_window_and_the_reason_is_said(dev, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "no display" in dev.no_window_because(PYTHON, lambda _: None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can be without a display")
def test_a_display_that_does_not_answer_is_found_out_before_the_studio_starts(dev, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "vnc")  # Qt's own screen: the one display a test machine always has
    assert dev.no_window_because(Path(sys.executable), lambda _: None) == ""
    monkeypatch.setattr(dev.environment, "see_to_qt_libraries", lambda *_: True)
    monkeypatch.setenv("QT_QPA_PLATFORM", "a-platform-that-is-not-there")
    assert "cannot be used" in dev.no_window_because(Path(sys.executable), lambda _: None)


def test_missing_system_libraries_are_told_with_the_command(environment, monkeypatch):
    qt = environment.qt_libraries()
    monkeypatch.setattr(environment, "qt_libraries", lambda: qt)
    monkeypatch.setattr(qt, "missing_libraries", lambda _: [qt.LIBRARIES[7]])
    monkeypatch.setattr(qt, "install_command", lambda missing: ["apt-get", "install", "-y", missing[0].apt[0]])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "platform", "linux")
    said: list[str] = []
    assert environment.see_to_qt_libraries(said.append, {"DISPLAY": ":0"}) is False
    assert said == [
        "Qt misses system libraries: libxcb-icccm.so.4",
        "Install them with: sudo apt-get install -y libxcb-icccm4",
    ]


def test_the_studio_starts_with_the_sample_unless_a_folder_is_named(dev):
    assert dev.studio_command(PYTHON, [])[1:] == ["-m", "studio.app", "--starter"]
    assert dev.studio_command(PYTHON, ["--version"])[3:] == ["--starter", "--version"]
    assert dev.studio_command(PYTHON, ["my-project"])[1:] == ["-m", "studio.app", "my-project"]
    assert dev.demo_command(PYTHON)[1:] == ["-m", "rlhf_engine", "demo", "--out", "rlhf-demo"]


def test_the_checks_are_those_of_ci_with_pytest_last(dev):
    titles = [check.title for check in dev.checks(PYTHON, fast=False, pytest_arguments=[])]
    assert titles == ["ruff check", "ruff format", "mypy", "lint-imports", "pytest"]
    fast = dev.checks(PYTHON, fast=True, pytest_arguments=["tests/engine"])[-1]
    assert fast.command[1:3] == ["-m", "pytest"]
    assert fast.command[-3:] == ["-m", "not slow and not learning", "tests/engine"]


def test_files_of_tests_run_side_by_side_where_there_are_cores(dev):
    assert dev.side_by_side(1) == []
    assert dev.side_by_side(2) == ["-n", "2", "--dist", "loadfile"]
    assert dev.side_by_side(64)[:2] == ["-n", "8"]  # each takes a gigabyte


def test_trl_gets_an_environment_of_its_own_and_only_its_tests_run_there(dev, monkeypatch):
    prepared, ran = [], []
    monkeypatch.setattr(dev.environment, "set_up", lambda _say, *what: prepared.append(what) or PYTHON)
    monkeypatch.setattr(dev.environment, "see_to_qt_libraries", lambda *_: True)
    monkeypatch.setattr(
        dev.subprocess, "run", lambda command, **_: ran.append(command) or argparse.Namespace(returncode=7)
    )
    assert dev.main(["oracle", "-k", "sft"]) == 7
    assert prepared == [("test,oracle", ROOT / ".venv-oracle")]
    assert ran == [[str(PYTHON), "-m", "pytest", "tests/oracle", "-W", "ignore::FutureWarning", "-k", "sft"]]


def test_tests_run_offscreen_with_few_threads_unless_the_person_said_otherwise(dev):
    assert dev.test_environment({}, cores=2)["OMP_NUM_THREADS"] == "1"
    assert dev.test_environment({}, cores=64)["OMP_NUM_THREADS"] == "4"
    assert dev.test_environment({}, cores=1)["QT_QPA_PLATFORM"] == "offscreen"
    assert dev.test_environment({"OMP_NUM_THREADS": "3"}, cores=64)["OMP_NUM_THREADS"] == "3"


def test_later_checks_run_after_a_failure_and_the_end_says_which_failed(dev, monkeypatch, capfd):
    monkeypatch.setattr(dev.environment, "set_up", lambda *_, **__: Path(sys.executable))
    monkeypatch.setattr(dev.environment, "see_to_qt_libraries", lambda *_: True)
    commands = [dev.Check(str(code), [sys.executable, "-c", f"raise SystemExit({code})"]) for code in (0, 1, 0)]
    monkeypatch.setattr(dev, "checks", lambda *_: commands)
    assert dev.run_checks(lambda _: None, fast=False, pytest_arguments=[]) == 1
    out = capfd.readouterr().out
    assert out.index("=== 1 ===") < out.index("FAILED: 1 (")
    commands.pop(1)
    assert dev.run_checks(lambda _: None, fast=False, pytest_arguments=[]) == 0
    assert capfd.readouterr().out.rstrip().splitlines()[-1].startswith("All checks passed (")


def test_it_runs_from_any_folder(tmp_path):
    shown = subprocess.run(
        [sys.executable, str(ROOT / "packaging" / "dev.py"), "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.returncode == 0
    assert "doctor" in shown.stdout
