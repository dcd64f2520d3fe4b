"""`rlhf fit`: whether a run fits into memory, before it starts."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlhf_engine.cli.place import AsJson, InProject, project_root, settled
from rlhf_engine.cli.runs import read_spec
from rlhf_engine.contract.errors import ModelError, SpecError
from rlhf_engine.launch.forecast import advise, forecast
from rlhf_engine.machine import memory, nvidia_driver
from rlhf_engine.runtime.fit import PARTS, Fit
from rlhf_engine.tasks import task_of


def fit(
    spec_file: Annotated[Path, typer.Argument(metavar="SPEC.json", help="The spec; - reads it from stdin.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a setting.")
    ] = None,
    project: InProject = None,
    as_json: AsJson = False,
) -> int:
    """Say what a run will take of the memory in each of its phases, and what would lower it. Exit code 1: too much."""
    root = project_root(project)
    spec = settled(root, read_spec(spec_file, settings or []))
    task = task_of(spec)
    if not task.trains:
        raise SpecError("task", f"{task.title} does not train, and nothing is foreseen of it.")
    values = {f.name: getattr(spec, f.name) for f in fields(spec)}
    gpus = nvidia_driver().gpus if values["device"] != "cpu" else ()
    free = gpus[0].free if gpus else memory()[1]
    found = forecast(root, task.key, values, on_gpu=bool(gpus))
    if found is None:
        raise ModelError(
            "The files of the model do not say how large it is, or it has not been downloaded.",
            "Give a folder with config.json and safetensors, or download the model first.",
        )
    lower = advise(root, task.key, values, bool(gpus), found)
    console = Console(highlight=False)
    if as_json:
        body = {**found.to_json(), "free": free, "fits": found.peak <= free, "advice": [asdict(one) for one in lower]}
        console.out(json.dumps(body, ensure_ascii=False), highlight=False)
    else:
        console.print(_table(found))
        console.print(Text(f"\n{_verdict(found, free)}", "bold" if found.peak <= free else "red"), soft_wrap=True)
        for one in lower[:5]:
            console.print(Text(f"  {one.text}: {_size(one.peak)}", "dim"), soft_wrap=True)
        console.print(Text(f"{_source(found)}", "dim"), soft_wrap=True)
    return 0 if found.peak <= free else 1


def _table(found: Fit) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("")
    for phase in found.phases:
        table.add_column(phase, justify="right")
    for part, title in PARTS.items():
        sizes = [parts.get(part, 0) for parts in found.phases.values()]
        if any(sizes):
            table.add_row(title, *(_size(size) if size else "" for size in sizes))
    table.add_row("Together", *(Text(_size(size), "bold") for size in found.totals.values()))
    return table


def _verdict(found: Fit, free: int) -> str:
    most = f"The most is in the {found.largest} phase: {_size(found.peak)}, chiefly {PARTS[found.main_part].lower()}."
    if found.peak > free:
        return f"It will not fit: {_size(free)} are free. {most}"
    return f"It fits: {_size(free)} are free. {most}"


def _source(found: Fit) -> str:
    runs = found.correction.runs
    if not runs:
        return "From sizes alone: no run of this kind has been completed here."
    return f"From {runs} run{'s' * (runs > 1)} on this machine (times {found.correction.factor:.2f})."


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
