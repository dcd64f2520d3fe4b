"""Everything a person can choose about exporting a dataset. No torch in this file: the studio reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, choose, param

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportDataSpec:
    """Write a dataset to a folder others can load, with a card that says what it is; push it to the Hub if asked."""

    dataset: str = choose("dataset", "Dataset", "The dataset to export.")
    layout: str = param(
        "native",
        "Layout",
        "native keeps everything. trl, hh and argilla are what those programs read.",
        choices=("native", "trl", "hh", "argilla"),
    )
    format: str = param(
        "jsonl",
        "Format",
        "jsonl and parquet keep everything. csv is for spreadsheets, and native only.",
        choices=("jsonl", "parquet", "csv"),
    )
    folder: str = param("", "Folder", "Where to write. Empty is the project's exports folder.")
    repo: str = param("", "Hub repository", "owner/name to push to. Empty keeps it on this machine.", group="Hub")
    private: bool = param(True, "Private", "Only you can see the repository.", group="Hub")
    licence: str = param("", "Licence", "Licence named in the card. Empty leaves it open.", group="Hub", advanced=True)
    seed: int = param(0, "Seed", "Unused; every spec has one.", between=(0, 2**31 - 1), advanced=True)

    def __post_init__(self) -> None:
        check(self)
        if self.format == "csv" and self.layout != "native":
            raise SpecError("format", f"The layout {self.layout} has lists, which CSV cannot hold.", "Choose jsonl.")
        if self.layout == "argilla" and self.format == "parquet":
            raise SpecError("format", "Argilla reads its records from JSON.", "Choose jsonl.")
        if self.repo and not _HUB_ID.fullmatch(self.repo):
            raise SpecError("repo", f"{self.repo!r} is not a name of a repository.", "Names look like owner/name.")

    @property
    def total_steps(self) -> int:
        return 0
