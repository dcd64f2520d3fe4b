"""Which project a command is about, and which of its runs."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.contract.fields import about
from rlhf_engine.store.runs import RunRow, RunsReader

InProject = Annotated[
    Path | None,
    typer.Option(
        "--project", envvar="RLHF_PROJECT", help="The project's folder. Default: this folder, or your own one."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]


def project_root(chosen: Path | None) -> Path:
    """The chosen project; else the one in the current folder; else a person's default one, made when it is not there.

    Raises:
        StoreError: the chosen folder holds no project, or one of a newer version of this program.
    """
    from rlhf_engine.store.project import require_known

    root = _project_root(chosen)
    require_known(root)
    return root


def _project_root(chosen: Path | None) -> Path:
    from rlhf_engine.store.project import Project, is_project

    if chosen is not None:
        if not is_project(chosen):
            hint = f"Make one with `rlhf project create {chosen}`."
            raise StoreError(f"{chosen} holds no project.", hint)
        return chosen.absolute()
    if is_project(Path.cwd()):
        return Path.cwd()
    root = _own_folder() / "default"
    if not is_project(root):
        Project.create(root).close()
    return root


def find_run(reader: RunsReader, run_id: str) -> RunRow:
    """The run with this id, or the only one whose id or name begins like this.

    Raises:
        StoreError: none, or several.
    """
    runs = reader.runs()
    exact = [run for run in runs if run_id in (run.id, run.name)]
    found = exact or [run for run in runs if run.id.startswith(run_id)]
    if not found:
        raise StoreError(f"There is no run {run_id!r} in this project.", "See `rlhf list`.")
    if len(found) > 1:
        ids = ", ".join(run.id for run in found[:5])
        raise StoreError(f"{run_id!r} could be any of {len(found)} runs: {ids}.", "Give more of the id.")
    return found[0]


def settled(root: Path, spec: Any) -> Any:
    """`spec` with everything it names made independent of where the command was given: a run by its whole id, a folder
    or file of this machine by its whole path, also in the entries of its lists. Hub ids and datasets of the project
    stay as they are.

    Raises:
        StoreError: it names a run that the project does not have.
    """
    whole: dict[str, Any] = {}
    for f in fields(spec):
        said, value = about(f), getattr(spec, f.name)
        if said is not None and said.entries:
            whole[f.name] = tuple(settled(root, entry) for entry in value)
        elif said is not None and said.picks:
            named = isinstance(value, tuple)
            whole[f.name] = tuple(_whole(root, one) for one in value) if named else _whole(root, value)
    return replace(spec, **{name: value for name, value in whole.items() if value != getattr(spec, name)})


def _whole(root: Path, named: Any) -> Any:
    if not isinstance(named, str) or not named or named == "starter" or named.startswith("dataset:"):
        return named
    if named.startswith("run:"):
        reader = RunsReader(root)
        try:
            return f"run:{find_run(reader, named[4:]).id}"
        finally:
            reader.close()
    path = Path(named).expanduser()
    return str(path.absolute()) if path.exists() else named


def _own_folder() -> Path:
    home = os.environ.get("RLHF_STUDIO_HOME", "")
    if home:
        return Path(home) / "data"
    import platformdirs

    return platformdirs.user_data_path("rlhf-studio", appauthor=False)
