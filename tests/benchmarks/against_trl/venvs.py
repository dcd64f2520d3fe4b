"""Environments with TRL, made as `packaging/dev.py oracle` makes its own and kept for the next time.

The current release stands in that very one. PPO, which later releases have no more, has one of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "packaging"))

import environment
from environment import Progress

__all__ = ["Progress", "current", "for_ppo"]

PPO_VENV = environment.ROOT / ".venv-trl-ppo"
PPO = ("trl==0.29.*", "peft", "accelerate", "pandas")


def current(say: Progress) -> str:
    """The Python of `.venv-oracle`, made or brought up to date first."""
    return str(environment.set_up(say, "oracle", environment.ORACLE_VENV))


def for_ppo(say: Progress) -> str:
    """The Python of `.venv-trl-ppo`, which holds the last TRL with PPO and torch at the project's version."""
    python, done = environment.venv_python(PPO_VENV), PPO_VENV / "installed"
    pinned = environment.CONSTRAINTS.read_text(encoding="utf-8")
    if done.is_file() and done.read_text(encoding="utf-8") == pinned and environment.working_version(python):
        return str(python)
    environment.make_venv(say, PPO_VENV)
    others = PPO_VENV / "constraints.txt"
    others.write_text("\n".join(line for line in pinned.splitlines() if not line.startswith("trl==")), encoding="utf-8")
    say("Installing torch and TRL 0.29")
    torch = f"torch=={environment.pinned_version(pinned, 'torch')}"
    for packages in ((torch,), (torch, *PPO)):  # torch alone first: the largest part
        environment.run_pip(python, ["install", "--constraint", str(others), *packages], say, PPO_VENV / "setup.log")
    done.write_text(pinned, encoding="utf-8")  # last: a cut-off install is redone
    return str(python)
