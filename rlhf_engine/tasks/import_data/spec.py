"""Everything a person can choose about importing data. No torch in this file: the studio reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, choose, param

HUB = "hub:"  # before the name of a dataset of the Hub
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSpec:
    """Read files of prompts, demonstrations, comparisons or ratings into one immutable dataset, and report every row
    that is left out. `path` may be a folder, and `more` are further files or folders; or it is "hub:owner/name", of
    which one split of one configuration is read.

    `columns` maps our field names (prompt, completion, messages, chosen, rejected, ...) to the file's; empty lets the
    reader recognise the format.
    """

    path: str = choose(
        "file",
        "File",
        "JSONL, JSON, CSV, TSV, Parquet or text, also compressed with gzip; a folder of such files; or hub:owner/name.",
    )
    kind: str = param(
        "auto",
        "Holds",
        "What the rows are.",
        choices=("auto", "prompts", "demonstrations", "comparisons", "ratings"),
    )
    layout: str = param("auto", "Layout", "How the rows are written, such as hh, alpaca or sharegpt.")
    columns: dict[str, str] = field(default_factory=dict)
    more: list[str] = field(default_factory=list)
    examples: int = param(
        2,
        "Examples shown",
        "How many of a task's solved examples each of its prompts shows. Only files that hold one task have them.",
        between=(0, 4),
        source="Wang et al. 2022, Super-NaturalInstructions (two positive examples)",
    )
    pairs: str = param(
        "best and worst",
        "Pairs",
        "Where a prompt has several ranked or scored answers: the best against the worst, or all that differ.",
        choices=("best and worst", "all"),
    )
    config: str = param("", "Configuration", "Of a dataset of the Hub. Empty takes the only one, or the default.")
    split: str = param("", "Split", "Of a dataset of the Hub. Empty takes the only one, or the one to train on.")
    revision: str = param("", "Revision", "Of a dataset of the Hub: a branch or a commit. Empty takes the newest.")
    name: str = param("", "Name", "Shown in lists. Empty takes the file's name.")
    seed: int = param(0, "Seed", "Unused; every spec has one.", between=(0, 2**31 - 1), advanced=True)

    def __post_init__(self) -> None:
        check(self)
        if not isinstance(self.more, list) or not all(isinstance(path, str) and path for path in self.more):
            raise SpecError("more", f"The further files must be a list of paths, not {self.more!r}.")

        if any(path.startswith(HUB) for path in self.more):
            raise SpecError("more", "A dataset of the Hub is imported by itself.", "Import the files in another go.")
        if self.repo and (self.more or not _HUB_ID.fullmatch(self.repo)):
            why = "is not a name of a dataset" if not self.more else "cannot be read together with files"
            raise SpecError("path", f"{self.path!r} {why}.", "Names look like hub:owner/name, one at a time.")
        if not self.repo and (self.config or self.split or self.revision):
            raise SpecError(
                "path", "Only datasets of the Hub have configurations, splits and revisions.", "Leave them out."
            )

    @property
    def repo(self) -> str:
        """The dataset's name on the Hub; "" for files."""
        return self.path.removeprefix(HUB) if self.path.startswith(HUB) else ""

    @property
    def total_steps(self) -> int:
        return 0
