"""Every file that the program reads from its own folders is also in the wheel, and the commands it declares exist."""

from __future__ import annotations

import fnmatch
import importlib
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKED = PROJECT["tool"]["setuptools"]["package-data"]["*"]


def test_every_resource_is_packed():
    left_out = [
        path.relative_to(ROOT)
        for package in ("rlhf_engine", "studio", "resources")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
        if not any(fnmatch.fnmatch(path.name, pattern) for pattern in PACKED)
    ]
    assert left_out == []


def test_the_declared_commands_exist():
    for command in (*PROJECT["project"]["scripts"].values(), *PROJECT["project"]["gui-scripts"].values()):
        module, _, name = command.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), command
