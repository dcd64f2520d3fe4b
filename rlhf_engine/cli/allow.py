"""`rlhf allow`: reading code of one's own, and agreeing that exactly this content may be run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rlhf_engine import consent
from rlhf_engine.cli.outcome import DONE, STOPPED
from rlhf_engine.cli.place import AsJson
from rlhf_engine.contract.errors import DataError

LONGEST = 400  # lines that are shown; longer files are for an editor


def allow(
    file: Annotated[Path, typer.Argument(help="A Python file that a reward names.")],
    yes: Annotated[bool, typer.Option("--yes", help="Agree without being asked, for scripts.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show a file of code and ask whether it may be run here; asked again when a byte of it has changed."""
    console = Console(highlight=False)
    content, digest = consent.read(file)
    path = str(file.expanduser().absolute())
    known = consent.agreed(digest)
    if not known and not yes:
        if as_json or not can_ask():
            hint = f"Read it, then type: rlhf allow {path} --yes"
            raise DataError(f"Nobody can be asked here whether {path} may be run.", hint)
        if not ask(console, path, content, digest):
            return STOPPED
    if not known:
        consent.agree(path, digest)
    if as_json:
        console.out(json.dumps({"file": path, "sha256": digest, "size": len(content), "known": known}), highlight=False)
    else:
        console.out(f"{path} may {'already' if known else 'now'} be run here (SHA-256 {digest}).", highlight=False)
    return DONE


def ask_about_code(spec: Any, as_json: bool) -> None:
    """Ask about the code that a spec would run and nobody has agreed to.

    Raises:
        SpecError: there is some, and nobody to ask, or the answer was no.
    """
    for path, digest in consent.asks_for(spec):
        if as_json or not can_ask():
            raise consent.not_agreed(path, digest)
        content, digest = consent.read(path)
        if not ask(Console(highlight=False), path, content, digest):
            raise consent.not_agreed(path, digest)
        consent.agree(path, digest)


def can_ask() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(console: Console, path: str, content: bytes, digest: str) -> bool:
    """Show the file, and whether somebody says yes to it. Only a y is a yes."""
    text = visible(content)
    lines = text.splitlines()
    console.out(f"{path}\nSHA-256 {digest}, {len(content):,} bytes", highlight=False)
    if len(lines) <= LONGEST:
        console.out("\n".join(f"  {line}" for line in lines), highlight=False)
    else:
        console.out(f"  ({len(lines):,} lines: read them in an editor)", highlight=False)
    question = "It is run with your rights whenever a reward names it. Agree? [y/N] "
    try:
        return console.input(question, markup=False).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def visible(content: bytes) -> str:
    """A file's text with everything escaped that a terminal would obey, or not show as it stands."""
    text = content.decode("utf-8", errors="backslashreplace")
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
