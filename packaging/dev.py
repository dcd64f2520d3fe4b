"""One command for a fresh checkout: `run` sets up and opens the studio, `test` sets up and runs every check.

    python packaging/dev.py run [FOLDER ...]     python packaging/dev.py test [--fast] [PYTEST ARGUMENTS ...]
    python packaging/dev.py setup                python packaging/dev.py doctor [--json]
    python packaging/dev.py oracle [PYTEST ARGUMENTS ...]     compares the engine with TRL, in an environment of its own

Standard library only; Linux, macOS and Windows; from any folder.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import environment
from environment import ROOT, Progress, SetupFailed


class Check(NamedTuple):
    """One thing `test` runs: its headline and its command."""

    title: str
    command: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev.py", description="Set up, run and check RLHF Studio.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="set up, then open the studio (or the demo, where there is no display)")
    run.add_argument("--terminal", action="store_true", help="run the demo in the terminal even if there is a display")
    test = commands.add_parser("test", help="set up, then run every check: style, types, imports, tests")
    test.add_argument("--fast", action="store_true", help="leave out the tests marked slow or learning")
    commands.add_parser(
        "oracle", help="set up .venv-oracle with TRL, then compare losses and gradients with its trainers"
    )
    commands.add_parser("setup", help="make or mend .venv and install everything into it, with what `test` needs")
    commands.add_parser("doctor", help="say whether this machine can run the studio and train")
    chosen, rest = parser.parse_known_args(arguments)
    if chosen.command == "setup" and rest:
        parser.error(f"setup takes no arguments: {' '.join(rest)}")

    say = Progress()
    try:
        if chosen.command == "run":
            return run_studio(say, rest, chosen.terminal)
        if chosen.command == "test":
            return run_checks(say, chosen.fast, rest)
        if chosen.command == "oracle":
            return run_oracle(say, rest)
        if chosen.command == "doctor":
            return subprocess.run([str(doctors_python()), "-m", "rlhf_engine.doctor", *rest], cwd=ROOT).returncode
        environment.set_up(say, "test")
        environment.see_to_qt_libraries(say, os.environ)
        say("Ready: python packaging/dev.py run")
        return 0
    except SetupFailed as failed:
        print(f"\n{failed}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def doctors_python() -> Path:
    """The environment's Python, or any other: the doctor is asked most of all when setting up has failed."""
    python = environment.venv_python(environment.VENV)
    return python if environment.working_version(python) else Path(environment.find_python()[0])


def run_studio(say: Callable[[str], None], rest: Sequence[str], in_terminal: bool) -> int:
    """Open the window; where none can be shown, say so and run the demo in the terminal."""
    python = environment.set_up(say)
    obstacle = "You asked for the terminal" if in_terminal else no_window_because(python, say)
    if obstacle:
        say(f"{obstacle}: running the demo in the terminal instead")
        return subprocess.run(demo_command(python), cwd=ROOT).returncode
    say("Opening the studio")
    return subprocess.run(studio_command(python, rest)).returncode


def no_window_because(python: Path, say: Callable[[str], None]) -> str:
    """Why no window can be shown here; empty when one can."""
    if not environment.qt_libraries().has_display(os.environ, sys.platform):
        chosen = os.environ.get("QT_QPA_PLATFORM")
        why = f"QT_QPA_PLATFORM is {chosen}" if chosen else "neither DISPLAY nor WAYLAND_DISPLAY is set"
        return f"There is no display ({why})"
    if not environment.see_to_qt_libraries(say, os.environ):
        return "Qt cannot start without those libraries"
    if sys.platform.startswith("linux"):
        # Qt aborts the process when the display does not answer, so a child tries first
        probe = "from PySide6.QtGui import QGuiApplication as A; A([])"
        try:
            tried = subprocess.run(
                [str(python), "-c", probe], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60
            )
        except subprocess.TimeoutExpired:
            return "The display does not answer"
        if tried.returncode != 0:
            words = tried.stderr.decode("utf-8", "replace").strip().splitlines()
            return f"The display cannot be used ({words[0] if words else 'Qt gave no reason'})"
    return ""


def studio_command(python: Path, rest: Sequence[str]) -> list[str]:
    """Without a folder to open, the studio starts with the sample project."""
    names_folder = any(not argument.startswith("-") for argument in rest)
    return [str(python), "-m", "studio.app", *([] if names_folder else ["--starter"]), *rest]


def demo_command(python: Path) -> list[str]:
    return [str(python), "-m", "rlhf_engine", "demo", "--out", "rlhf-demo"]


def run_checks(say: Callable[[str], None], fast: bool, pytest_arguments: Sequence[str]) -> int:
    """Every check to its end, whatever fails; 0 when all pass. pytest comes last: its summary ends the output."""
    python = environment.set_up(say, "test")
    environ = test_environment(os.environ, os.cpu_count() or 1)
    if not environment.see_to_qt_libraries(say, environ):
        raise SetupFailed("The window's tests need those libraries.")
    failed, times = [], []
    for check in checks(python, fast, pytest_arguments):
        print(f"\n=== {check.title} ===", flush=True)
        start = time.monotonic()
        passed = subprocess.run(check.command, cwd=ROOT, env=environ).returncode == 0
        times.append(f"{check.title} {time.monotonic() - start:.0f} s")
        if not passed:
            failed.append(check.title)
    print(f"\n{closing_line(failed, times)}", flush=True)
    return 1 if failed else 0


def checks(python: Path, fast: bool, pytest_arguments: Sequence[str]) -> list[Check]:
    """What CI runs, in order: the quick ones first."""
    lint_imports = python.with_name("lint-imports.exe" if os.name == "nt" else "lint-imports")
    narrowed = ["-m", "not slow and not learning"] if fast else []
    spread = side_by_side(os.cpu_count() or 1)
    return [
        Check("ruff check", [str(python), "-m", "ruff", "check", "."]),
        Check("ruff format", [str(python), "-m", "ruff", "format", "--check", "."]),
        Check("mypy", [str(python), "-m", "mypy"]),
        Check("lint-imports", [str(lint_imports), "--no-logo"]),
        Check("pytest", [str(python), "-m", "pytest", *spread, *narrowed, *pytest_arguments]),
    ]


def side_by_side(cores: int) -> list[str]:
    """A file at a time for each core: what a file's tests share is made once."""
    return ["-n", str(min(cores, 8)), "--dist", "loadfile"] if cores > 1 else []


def run_oracle(say: Callable[[str], None], pytest_arguments: Sequence[str]) -> int:
    """The tests that need TRL, where it is installed: in `.venv-oracle`."""
    python = environment.set_up(say, "test,oracle", environment.ORACLE_VENV)
    environ = test_environment(os.environ, os.cpu_count() or 1)
    if not environment.see_to_qt_libraries(say, environ):
        raise SetupFailed("pytest's Qt plugin needs those libraries.")
    say("Comparing the engine with TRL")
    return subprocess.run(oracle_command(python, pytest_arguments), cwd=ROOT, env=environ).returncode


def oracle_command(python: Path, pytest_arguments: Sequence[str]) -> list[str]:
    quiet = ["-W", "ignore::FutureWarning"]  # TRL's own use of transformers
    return [str(python), "-m", "pytest", "tests/oracle", *quiet, *pytest_arguments]


def test_environment(environ: Mapping[str, str], cores: int) -> dict[str, str]:
    """Offscreen windows, and few threads: the tests' tensors are small, and threads that wait for each other cost more
    than they save. What the person has set already stays.
    """
    quiet = {
        "QT_QPA_PLATFORM": "offscreen",
        "OMP_NUM_THREADS": str(max(1, min(4, cores // 2))),
        "TOKENIZERS_PARALLELISM": "false",
    }
    return {**quiet, **environ}


def closing_line(failed: Sequence[str], times: Sequence[str]) -> str:
    spent = ", ".join(times)
    return f"FAILED: {', '.join(failed)} ({spent})" if failed else f"All checks passed ({spent})"


if __name__ == "__main__":
    sys.exit(main())
