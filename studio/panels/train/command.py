"""A run as a command: its spec in a file of the project, and the line that carries it out in a terminal."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

from rlhf_engine.tasks import spec_to_json, task_of


def save_spec(root: Path, spec: Any) -> Path:
    """Write a spec into the project's `specs` folder; the same spec has the same file."""
    body = spec_to_json(spec)
    name = f"{task_of(spec).key}-{hashlib.sha256(body.encode()).hexdigest()[:8]}.json"
    path = root / "specs" / name
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(json.loads(body), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
    return path


def command(root: Path, spec_file: Path, name: str = "") -> str:
    words = ["rlhf", "run", str(spec_file), "--project", str(root), *(["--name", name] if name else [])]
    return shlex.join(words)
