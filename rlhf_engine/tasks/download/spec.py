"""Everything a person can choose about fetching from the Hub. No torch in this file: the studio reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, choose, param

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadSpec:
    """Fetch a model, or one split of a dataset, into the cache that all tools of this machine share; what is there
    already is not fetched again.
    """

    repo: str = choose("", "Hub repository", "owner/name, as on huggingface.co.")
    kind: str = param("model", "Holds", "What the repository is.", choices=("model", "dataset"))
    config: str = param("", "Configuration", "Of a dataset. Empty takes the only one, or the default.")
    split: str = param("", "Split", "Of a dataset. Empty takes the only one, or the one to train on.")
    revision: str = param("", "Revision", "Of a dataset: a branch or a commit. Empty takes the newest.")
    list_only: bool = param(False, "Only list", "Only say which configurations and splits a dataset has.")
    seed: int = param(0, "Seed", "Unused; every spec has one.", between=(0, 2**31 - 1), advanced=True)

    def __post_init__(self) -> None:
        check(self)
        if not _HUB_ID.fullmatch(self.repo):
            raise SpecError("repo", f"{self.repo!r} is not a name of a repository.", "Names look like owner/name.")

    @property
    def total_steps(self) -> int:
        return 0
