"""`rlhf presets`, recipes to start from and what each of them changes; and `rlhf help`, the pages of the window."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlhf_engine.cli.place import AsJson
from rlhf_engine.contract.changes import changes
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.presets import Preset
from rlhf_engine.tasks import TASKS, presets_of

METHODS = [key for key, task in TASKS.items() if task.trains]


def presets(
    task: Annotated[str, typer.Argument(metavar="[METHOD]", help="Such as ppo; without one, of all methods.")] = "",
    key: Annotated[str, typer.Argument(metavar="[PRESET]", help="One of them, with all that it changes.")] = "",
    as_json: AsJson = False,
) -> int:
    """Settings to start from: published recipes, and what each changes in the defaults."""
    if task and task not in METHODS:
        raise SpecError("task", f"There is no training method {task!r}.", f"Methods: {', '.join(METHODS)}.")
    found = [(method, preset) for method in ([task] if task else METHODS) for preset in presets_of(method)]
    if key:
        known = ", ".join(preset.key for _, preset in found)
        found = [(method, preset) for method, preset in found if preset.key == key]
        if not found:
            raise SpecError("preset", f"{task} has no preset {key!r}.", f"It has: {known}.")
    console = Console(highlight=False)
    if as_json:
        for method, preset in found:
            console.out(json.dumps(_body(method, preset), ensure_ascii=False), highlight=False)
        return 0
    for method, preset in found:
        told = changes(TASKS[method].spec, preset.values)
        head = Text.assemble((f"{method} {preset.key}", "bold"), f"  {preset.title}. {preset.summary} {preset.source}")
        console.print(head, soft_wrap=True)
        if not key:
            line = ", ".join(change.text() for change in told)
            console.print(Text(f"  {line or 'All settings at their defaults.'}", "dim"), soft_wrap=True)
            continue
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        for title in ("setting", "", "default", "this preset"):
            table.add_column(title)
        for change in told:
            before, _, after = change.text().removeprefix(f"{change.label} ").partition(" → ")
            table.add_row(change.name, change.label, before, after)
        console.print(table)
    return 0


def help_(
    topic: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC]", help="A page, such as ppo, or words to look for.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """The help pages: what every method, setting, preset and metric means."""
    from rich.markdown import Markdown

    from rlhf_engine.help import PAGES, read, search

    words = " ".join(topic or [])
    console = Console(highlight=False)
    if not words and as_json:
        for page in PAGES.values():
            body = {"page": page.key, "title": page.title, "group": page.group}
            console.out(json.dumps(body, ensure_ascii=False), highlight=False)
        return 0
    key = words or "index"
    if key in PAGES:
        if as_json:
            console.out(json.dumps({"page": key, "markdown": read(key)}, ensure_ascii=False), highlight=False)
            return 0
        console.print(Markdown(read(key), hyperlinks=False))
        if not words:
            console.print(Text("\nPages: " + ", ".join(PAGES), "dim"), soft_wrap=True)
        return 0
    hits = search(words)
    if not hits:
        raise SpecError("topic", f"Nothing is said of {words!r} in the help.", f"Pages: {', '.join(PAGES)}.")
    for hit in hits:
        if as_json:
            found: dict[str, Any] = {"page": hit.page.key, "heading": hit.heading, "name": hit.anchor}
            found |= {"text": hit.text, "also": hit.also}
            console.out(json.dumps(found, ensure_ascii=False), highlight=False)
            continue
        where = ", also ".join(filter(None, (hit.page.key, ", ".join(hit.also))))
        head = Text.assemble((hit.heading or hit.page.title, "bold"), f"  (rlhf help {where})")
        console.print(head, soft_wrap=True)
        console.print(Text(f"  {hit.text}", "dim"), soft_wrap=True)
    return 0


def _body(method: str, preset: Preset) -> dict[str, Any]:
    told = [asdict(change) for change in changes(TASKS[method].spec, preset.values)]
    return {"task": method, **asdict(preset), "changes": told}
