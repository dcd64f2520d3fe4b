"""Code that a person has agreed to run, by its content: asked once, and again when a byte of it has changed.

No torch here: the window asks before a run starts, the engine looks again before it runs anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import DataError, SpecError
from rlhf_engine.contract.fields import about


def register() -> Path:
    """The file that remembers what was agreed to: this person's, on this machine. RLHF_STUDIO_HOME moves it."""
    home = os.environ.get("RLHF_STUDIO_HOME", "")
    if home:
        return Path(home) / "config" / "agreed_code.json"
    import platformdirs

    return platformdirs.PlatformDirs("rlhf-studio", appauthor=False).user_config_path / "agreed_code.json"


def read(path: Path | str) -> tuple[bytes, str]:
    """A file's content, and the SHA-256 of exactly this content. Raises DataError when it cannot be read."""
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise DataError(f"The code file {path} cannot be read: {error.strerror or error}.") from error
    return content, hashlib.sha256(content).hexdigest()


def sha256_of(path: Path | str) -> str:
    """Hash of a file's content. Raises DataError when it cannot be read."""
    return read(path)[1]


def not_agreed(path: Path | str, sha256: str) -> SpecError:
    """What is raised where code would be run that nobody has agreed to."""
    return SpecError(
        "rewards",
        f"{path} has not been agreed to be run here (SHA-256 {sha256[:16]}…).",
        f"Read it, then start again from the window and agree, or type: rlhf allow {path}",
    )


def agreed(sha256: str) -> bool:
    """Whether somebody has agreed to run exactly this content here."""
    return sha256 in _read()


def agree(path: Path | str, sha256: str) -> None:
    """Remember that this content may be run. `path` and the time are kept for whoever reads the file."""
    known = _read() | {sha256: {"path": str(path), "agreed": time.strftime("%Y-%m-%d %H:%M:%S")}}
    file = register()
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    aside.write_text(json.dumps(known, indent=1), encoding="utf-8")
    aside.replace(file)


def asks_for(spec: Any) -> list[tuple[str, str]]:
    """(file, SHA-256) of the code that a spec would run and nobody has agreed to yet.

    Raises:
        SpecError: a file that cannot be read; it names the field.
    """
    found = []
    for name, path in code_in(spec):
        try:
            digest = sha256_of(path)
        except DataError as error:
            raise SpecError(name, str(error), "Choose a file that is there.") from error
        if not agreed(digest) and (path, digest) not in found:
            found.append((path, digest))
    return found


def code_in(spec: Any) -> Iterator[tuple[str, str]]:
    """(field of the spec, path) of every file that is to be run."""
    for f in fields(spec):
        said = about(f)
        if said is None:
            continue
        if said.picks == "code" and getattr(spec, f.name):
            yield f.name, getattr(spec, f.name)
        if said.entries:
            for entry in getattr(spec, f.name):
                yield from ((f.name, path) for _, path in code_in(entry))


def _read() -> dict[str, Any]:
    try:
        body = json.loads(register().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # none yet, or damaged: whoever is asked twice has lost nothing
    return body if isinstance(body, dict) else {}
