"""Everything a person can choose about importing a file. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass, field

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, choose, param


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSpec:
    """Read files of prompts, demonstrations, comparisons or ratings into one immutable dataset, and report every row
    that is left out. `path` may be a folder, and `more` are further files or folders.

    `columns` maps our field names (prompt, completion, messages, chosen, rejected, ...) to the file's; empty lets the
    reader recognise the format.
    """

    path: str = choose(
        "file", "File", "JSONL, JSON, CSV, TSV, Parquet or text, also compressed with gzip; or a folder of such files."
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
    name: str = param("", "Name", "Shown in lists. Empty takes the file's name.")
    seed: int = param(0, "Seed", "Unused; every spec has one.", between=(0, 2**31 - 1), advanced=True)

    def __post_init__(self) -> None:
        check(self)
        if not isinstance(self.more, list) or not all(isinstance(path, str) and path for path in self.more):
            raise SpecError("more", f"The further files must be a list of paths, not {self.more!r}.")

    @property
    def total_steps(self) -> int:
        return 0
