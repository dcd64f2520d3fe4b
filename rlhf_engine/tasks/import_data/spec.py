"""Everything a person can choose about importing a file. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass, field

from rlhf_engine.contract.fields import check, choose, param


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSpec:
    """Read a file of prompts, demonstrations or comparisons into an immutable dataset, and report every row left out.

    `columns` maps our field names (prompt, completion, messages, chosen, rejected, ...) to the file's; empty lets the
    reader recognise the format.
    """

    path: str = choose("file", "File", "JSONL, JSON, CSV, TSV, Parquet or text, also compressed with gzip.")
    kind: str = param(
        "auto",
        "Holds",
        "What the rows are.",
        choices=("auto", "prompts", "demonstrations", "comparisons"),
    )
    layout: str = param("auto", "Layout", "How the rows are written, such as hh, alpaca or sharegpt.")
    columns: dict[str, str] = field(default_factory=dict)
    name: str = param("", "Name", "Shown in lists. Empty takes the file's name.")
    seed: int = param(0, "Seed", "Unused; every spec has one.", between=(0, 2**31 - 1), advanced=True)

    def __post_init__(self) -> None:
        check(self)

    @property
    def total_steps(self) -> int:
        return 0
