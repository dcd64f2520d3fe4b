"""`rlhf chat`: one answer, or a conversation, streamed as it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rlhf_engine.cli.here import do_run
from rlhf_engine.cli.outcome import STOPPED
from rlhf_engine.cli.place import AsJson, InProject, project_root, settled
from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Envelope, Text
from rlhf_engine.launch.engine import new_run_id
from rlhf_engine.tasks.generate.spec import GenerateSpec


def chat(
    model: Annotated[str, typer.Argument(help="starter, a folder, owner/name, or run:ID.")],
    prompt: Annotated[str | None, typer.Option(help="Ask this and end. Without it, a conversation.")] = None,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Choose among the likeliest tokens that add up to this.")] = 1.0,
    longest: Annotated[int, typer.Option("--max-new-tokens", help="Where to stop at the latest.")] = 128,
    stop: Annotated[list[str] | None, typer.Option(help="A text that ends an answer. May be given again.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same answers.")] = 0,
    project: InProject = None,
    as_json: AsJson = False,
) -> int:
    """Talk to a model. In a conversation, /again forgets it and begins anew, and Ctrl-D ends it."""
    root = project_root(project)
    settings: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "max_new_tokens": longest, "seed": seed}
    settings["stop"] = tuple(stop or ())
    if prompt is not None:
        return _answer(root, model, prompt, settings, as_json)[0]
    if as_json:
        raise DataError("A conversation has no JSON form.", "Give the question with --prompt.")
    return _converse(root, model, settings)


def _converse(root: Path, model: str, settings: dict[str, Any]) -> int:
    console = Console(highlight=False)
    turns: list[dict[str, str]] = []
    while True:
        try:
            said = console.input("> ", markup=False).strip()
        except EOFError:
            console.print()
            return 0
        if said == "/again":
            turns = []
        elif said:
            turns.append({"role": "user", "content": said})
            code, answer = _answer(root, model, list(turns), settings, as_json=False)
            if code not in (0, STOPPED):
                return code  # what went wrong with this question would go wrong with the next
            turns.append({"role": "assistant", "content": answer})
            settings = {**settings, "seed": settings["seed"] + 1}


def _answer(
    root: Path, model: str, prompt: str | list[dict[str, str]], settings: dict[str, Any], as_json: bool
) -> tuple[int, str]:
    spec = settled(root, GenerateSpec(models=(model,), prompts=(prompt,), alternatives=0, **settings))
    pieces: list[str] = []

    def listen(envelope: Envelope) -> None:
        if isinstance(envelope.event, Text) and envelope.event.answer == 0:
            pieces.append(envelope.event.piece)

    code = do_run(root, new_run_id(), spec, as_json=as_json, answers=True, also=listen)
    return code, "".join(pieces)
