"""`rlhf project`, `rlhf doctor` and `rlhf demo`: the folder, the machine, and all of it at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from rlhf_engine.cli.outcome import DONE, FAILED
from rlhf_engine.cli.place import AsJson, InProject
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.store.runs import RunsReader

if TYPE_CHECKING:
    from rlhf_engine.store.repair import Repair

app = typer.Typer(help="Make a project, look whether one is sound, and mend it.", no_args_is_help=True)
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
    """Look at every label of a project without changing it: whether all are as they were written, and how many."""
    from rlhf_engine.store.project import Project

    looked = Project.look_into(folder)
    if not looked.healthy:
        hint = f"Put it right: rlhf project repair {folder}"
        told = {"damaged": looked.damaged, "missing": looked.missing, "structure": looked.structure}
        if as_json:
            _say(json.dumps({"project": str(folder), "healthy": False, "said": str(looked), "hint": hint, **told}))
        else:
            _say(f"{folder} is not sound: {looked}\n{hint}")
        return FAILED
    found = {**_counts(folder), "snapshots": len(Project.snapshots(folder))}
    if as_json:
        _say(json.dumps({"project": str(folder), "healthy": True, "rows": looked.rows, **found}))
    else:
        _say(f"{folder} is sound: " + ", ".join(f"{count} {what}" for what, count in found.items()) + f". {looked}")
    return DONE


@app.command()
def repair(folder: Folder, as_json: AsJson = False) -> int:
    """Put labels that have changed or gone back from the journal and the snapshots. The project must be closed."""
    from rlhf_engine.store.project import Project

    done = Project.repair(folder)
    if as_json:
        told = {"restored": done.restored, "lost": done.lost, "backup": str(done.backup) if done.backup else None}
        _say(json.dumps({"project": str(folder), **told}))
    else:
        _say(_words(folder, done))
    return FAILED if done.lost else DONE


@app.command()
def restore(
    folder: Folder,
    snapshot: Annotated[str, typer.Argument(help="Its name, as --list shows it. Default: the newest.")] = "",
    rewind: Annotated[
        bool, typer.Option("--rewind", help="Leave out what was said after it; else the journal puts it back.")
    ] = False,
    show: Annotated[bool, typer.Option("--list", help="Only show which snapshots there are.")] = False,
    as_json: AsJson = False,
) -> int:
    """Put a snapshot in the place of a project's labels. The labels as they were before stay in backups/."""
    from rlhf_engine.store.project import Project
    from rlhf_engine.store.repair import counted

    if show:
        for found in Project.snapshots(folder):
            told = {"snapshot": found.name, "taken": found.taken.isoformat(timespec="seconds"), "bytes": found.bytes}
            _say(json.dumps(told) if as_json else f"{found.name}   {found.taken.astimezone():%Y-%m-%d %H:%M:%S}")
        return DONE
    done = Project.restore(folder, snapshot, rewind)
    if as_json:
        told = {"snapshot": done.snapshot.stem, "later": done.later, "kept": str(done.kept) if done.kept else None}
        _say(json.dumps({"project": str(folder), **told, "restored": done.repair.restored, "lost": done.repair.lost}))
    else:
        later = counted(done.later, "1 row said after it was put back", "{} rows said after it were put back")
        later = "what was said after it is left out" if rewind else later
        kept = f" As it was before: {done.kept}" if done.kept else ""
        _say(f"Restored {done.snapshot.stem}; {later}.{kept}")
        if done.repair.restored or done.repair.lost:
            _say(_words(folder, done.repair))
    return FAILED if done.repair.lost else DONE


def _counts(folder: Path) -> dict[str, int]:
    from rlhf_engine.data.datasets import list_datasets
    from rlhf_engine.store.project import Project

    with Project.open(folder, write=False) as project:
        kinds = ("prompts", "demonstrations", "pairs", "ratings")
        counts = {kind: project.labels.count(kind) for kind in kinds}
        judged, _, skipped = project.labels.progress()
        reader = RunsReader(project.root)
        runs = len(reader.runs())
        reader.close()
        datasets = len(list_datasets(project.root))
        return {**counts, "judged": judged, "skipped": skipped, "datasets": datasets, "runs": runs}


def _words(folder: Path, done: Repair) -> str:
    from rlhf_engine.store.repair import counted

    if done.backup is None and not done.restored and not done.lost:
        return f"{folder} needed no repair."
    lost = ", ".join(f"{table} {row}" for table, row in done.lost[:20])
    more = f" and {len(done.lost) - 20} more" if len(done.lost) > 20 else ""
    end = counted(len(done.lost), " 1 row is in no copy, and is hidden", " {} rows are in no copy, and are hidden")
    end = f"{end}: {lost}{more}." if done.lost else ""
    before = f" As it was before: {done.backup}" if done.backup else ""
    return f"Put back {counted(done.restored, '1 row', '{} rows')}.{end}{before}"


def _say(text: str) -> None:
    Console(highlight=False).out(text, highlight=False)


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
