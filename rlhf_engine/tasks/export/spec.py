"""Everything a person can choose about exporting a model. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, choose, param


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """Write a model to a folder others can load, check it by loading it again, and push it to the Hub if asked."""

    model: str = choose("model", "Model", "The result to export.")
    form: str = param(
        "merged",
        "Form",
        "merged: one complete model. adapter: only what was trained, to put on the same base.",
        choices=("merged", "adapter"),
    )
    dtype: str = param("fp32", "Precision", "Number format of merged weights.", choices=("fp32", "bf16", "fp16"))
    folder: str = param("", "Folder", "Where to write. Empty is the project's exports folder.")
    repo: str = param("", "Hub repository", "owner/name to push to. Empty keeps it on this machine.", group="Hub")
    private: bool = param(True, "Private", "Only you can see the repository.", group="Hub")
    dry_run: bool = param(
        False, "Dry run", "List the files that would be written and pushed, and do nothing.", group="Hub"
    )
    card: str = param(
        "",
        "Model card",
        "Markdown text. Empty writes one from the facts of the run.",
        multiline=True,
        group="Hub",
        advanced=True,
    )
    licence: str = param("", "Licence", "Licence named in the card. Empty leaves it open.", group="Hub", advanced=True)
    seed: int = param(
        0, "Seed", "For the prompts on which the export is compared.", between=(0, 2**31 - 1), advanced=True
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def total_steps(self) -> int:
        return 0
