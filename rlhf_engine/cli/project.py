"""`rlhf project`, `rlhf doctor` and `rlhf demo`: the folder, the machine, and all of it at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rlhf_engine.cli.place import AsJson, InProject
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.store.runs import RunsReader

app = typer.Typer(help="Make a project, or look whether one is sound.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(help="The project's folder.")]


@app.command()
def create(
    folder: Folder,
    starter: Annotated[
        bool, typer.Option(help="Fill it with the sample prompts, demonstrations and judgements.")
    ] = False,
    name: Annotated[str, typer.Option(help="What to call it. Default: the folder's name.")] = "",
    as_json: AsJson = False,
) -> int:
    """Make a project in a new or empty folder."""
    from rlhf_engine.store.project import Project

    made = Project.create_starter(folder, name) if starter else Project.create(folder, name)
    made.close()
    said = json.dumps({"project": str(made.root), "name": made.name}) if as_json else f"Made {made.root}."
    Console(highlight=False).out(said, highlight=False)
    return 0


@app.command()
def check(folder: Folder, as_json: AsJson = False) -> int:
    """Open a project without changing it, and count what it holds."""
    from rlhf_engine.data.datasets import list_datasets
    from rlhf_engine.store.project import Project

    with Project.open(folder, write=False) as project:
        kinds = ("prompts", "demonstrations", "pairs", "ratings")
        counts = {kind: project.labels.count(kind) for kind in kinds}
        judged, _, skipped = project.labels.progress()
        datasets = len(list_datasets(project.root))
        reader = RunsReader(project.root)
        runs = len(reader.runs())
        reader.close()
        found = {**counts, "judged": judged, "skipped": skipped, "datasets": datasets, "runs": runs}
        if as_json:
            said = json.dumps({"project": str(project.root), "name": project.name, **found})
        else:
            said = f"{project.root} is sound: " + ", ".join(f"{count} {what}" for what, count in found.items()) + "."
    Console(highlight=False).out(said, highlight=False)
    return 0


def doctor(project: InProject = None, as_json: AsJson = False) -> int:
    """Say whether this machine can run the studio and train, and what to do where it cannot."""
    from rlhf_engine.doctor import diagnose, hardware_line, report, worst

    findings = diagnose(folder=project or Path.cwd())
    if as_json:
        said = "\n".join(json.dumps(finding.to_json(), ensure_ascii=False) for finding in findings)
    else:
        said = f"{hardware_line(findings)}\n\n{report(findings)}"
    Console(highlight=False).out(said, highlight=False)
    return 1 if worst(findings) == "fail" else 0


def demo(
    out: Annotated[Path | None, typer.Option(help="Where to write the report.")] = None,
    project: InProject = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other random numbers everywhere.")] = 0,
    as_json: AsJson = False,
) -> int:
    """Take the starter model through all of RLHF on this machine, in minutes, and write a report with the curves."""
    from rlhf_engine.cli.demo import demo as take_through

    return take_through(out, project, as_json, seed)


def shootout(
    methods: Annotated[list[str] | None, typer.Argument(help="Which methods; without any, the usual ones.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write table and plot.")] = None,
    project: InProject = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other random numbers everywhere.")] = 0,
    as_json: AsJson = False,
) -> int:
    """Compare methods on the starter project: gold win rate over SFT against drift, with equal numbers of answers."""
    from rlhf_engine.cli.shootout import ONLINE, PREFERENCE, USUAL
    from rlhf_engine.cli.shootout import shootout as compare

    known = (*PREFERENCE, *ONLINE)
    if unknown := [method for method in methods or () if method not in known]:
        raise SpecError("methods", f"There is no method {unknown[0]!r} to compare.", f"Known are {', '.join(known)}.")
    return compare(out, project, tuple(dict.fromkeys(methods or USUAL)), seed, as_json)
