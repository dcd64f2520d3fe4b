"""Fetching a model or a dataset from the Hub, with its bytes told and a way to stop at any moment."""

from __future__ import annotations

from pathlib import Path

from rlhf_engine.contract.events import Produced
from rlhf_engine.models.fetching import fetched
from rlhf_engine.models.folders import check_model, folder_facts
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.download.spec import DownloadSpec


def download(spec: DownloadSpec, run: RunContext) -> None:
    """Put `spec.repo` into the Hub's cache, or find it there. What was fetched before a stop is kept for the next time.

    Of a dataset one part is fetched, and told are its files and all parts; with `list_only` only these.

    Raises:
        HubError: the Hub refused or could not be reached. ModelError, DataError: it is nothing that can be used here.
        SpecError: the dataset has several parts and none is named. DiskFull: it does not fit.
    """
    run.stage(f"Asking the Hub for {spec.repo}")
    if spec.kind == "dataset":
        _dataset(spec, run)
    else:
        _model(spec.repo, run)


def _model(repo: str, run: RunContext) -> None:
    folder = Path(fetched({"repo": repo}, run)["folder"])
    check_model(folder, repo)
    facts = folder_facts(folder, repo)
    told = {"repo": repo, "parameters": facts.parameters, "bytes": facts.bytes}
    run.emit(Produced("model", str(folder), told))


def _dataset(spec: DownloadSpec, run: RunContext) -> None:
    asked = {"repo": spec.repo, "kind": "dataset", "revision": spec.revision, "list": spec.list_only}
    told = fetched({**asked, "config": spec.config, "split": spec.split}, run)
    run.emit(Produced("hub dataset", told.get("files", [""])[0], told))
