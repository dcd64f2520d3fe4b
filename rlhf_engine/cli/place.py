"""Which project a command is about, and which of its runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rlhf_engine.contract.errors import StoreError
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
        StoreError: the chosen folder holds no project.
    """
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


def _own_folder() -> Path:
    home = os.environ.get("RLHF_STUDIO_HOME", "")
    if home:
        return Path(home) / "data"
    import platformdirs

    return platformdirs.user_data_path("rlhf-studio", appauthor=False)
