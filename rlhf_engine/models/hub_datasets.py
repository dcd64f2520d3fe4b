"""Datasets of the Hugging Face Hub: what a repository holds, and the files of one part of it in the shared cache.

The files are read by our own readers, so nothing of the repository is ever run. The Hub keeps a Parquet conversion of
most public datasets in a branch of its own, a folder a configuration and a folder a split: that is taken where it is
there, else the data files as their owner wrote them. The library `datasets` would do no more than that for us, takes a
second to import, and brings pandas and twenty other packages.
"""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from rlhf_engine.contract.errors import DataError, HubError, SpecError
from rlhf_engine.data.files import format_of_name
from rlhf_engine.models.hub import Progress, forget, progress_bar, require_room, sha256_of
from rlhf_engine.models.hub_errors import HUB_FAILURES, explain

CONVERTED = "refs/convert/parquet"  # the branch in which the Hub keeps its conversion
DEFAULT = "default"
_CONVERTED_FILE = re.compile(r"[^/]+/[^/]+/\d{4,}\.parquet")
_PARTIAL = "partial-"  # before the name of a split of which only the first gigabytes were converted
_FORMATS = ("parquet", "jsonl", "json", "csv", "tsv", "text")  # the best first
_NO_DATA = {  # what repositories hold beside their data, in formats of data
    *("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "config.json", "package.json"),
    *("license.txt", "readme.txt", "requirements.txt"),
}
_SPLITS = {  # how files of a split are called, by the words in their names
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One split of one configuration: its files with their sizes in bytes, in the order of their rows.

    `partial` says that the Hub has converted only the beginning of it.
    """

    config: str
    split: str
    files: tuple[tuple[str, int], ...]
    partial: bool = False

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a repository holds at one commit, `revision`. `converted` says whether by the Hub's Parquet files."""

    repo: str
    revision: str
    converted: bool
    parts: tuple[Part, ...]

    @property
    def configs(self) -> list[str]:
        return list(dict.fromkeys(part.config for part in self.parts))

    def splits(self, config: str) -> list[str]:
        return [part.split for part in self.parts if part.config == config]


def listing_of(repo: str, revision: str = "") -> Listing:
    """What the repository holds: by the Hub's conversion where there is one, unless a revision is named.

    Raises:
        HubError: the Hub refused or could not be reached; each reason has its own sentence.
        DataError: there are no data files in it that could be read.
    """
    api = HfApi()
    try:
        converted = None if revision else _conversion(api, repo)
        return converted or _listing(api, repo, revision)
    except HUB_FAILURES as error:
        raise explain(error, repo, "download", kind="dataset") from None


def _conversion(api: HfApi, repo: str) -> Listing | None:
    try:
        about = api.dataset_info(repo, revision=CONVERTED)
    except RevisionNotFoundError:
        return None
    parts = _converted(_files(api, repo, about.sha))
    return Listing(repo, str(about.sha), True, parts) if parts else None


def _listing(api: HfApi, repo: str, revision: str) -> Listing:
    try:
        about = api.dataset_info(repo, revision=revision or None)
    except RevisionNotFoundError:
        if not revision:
            raise
        raise HubError(f"{repo} has no revision {revision!r}.", "Leave it out to take the newest.") from None
    files = _files(api, repo, about.sha)
    if all(_CONVERTED_FILE.fullmatch(name) or name == ".gitattributes" for name in files):  # a commit of that branch
        if parts := _converted(files):
            return Listing(repo, str(about.sha), True, parts)
    elif parts := _as_written(files, _card(about)):
        return Listing(repo, str(about.sha), False, parts)
    if any(name.endswith(".py") for name in files):
        raise DataError(
            f"{repo} holds a program that makes its data, and no data files.",
            "Programs from the Hub are never run here. Look for a copy of the dataset in Parquet or JSONL.",
        )
    raise DataError(
        f"{repo} holds no data files that can be read.", "Parquet, JSONL, JSON, CSV, TSV and text can be, also gzipped."
    )


def part_of(listing: Listing, config: str = "", split: str = "") -> Part:
    """The part that is meant: the one that is named, the only one, or the default configuration and "train".

    Raises:
        SpecError: there are several and none is named, or the named one is not among them; all are listed.
    """
    config = _chosen(listing.repo, "config", "configuration", config, listing.configs, DEFAULT)
    split = _chosen(listing.repo, "split", "split", split, listing.splits(config), "train")
    return next(part for part in listing.parts if (part.config, part.split) == (config, split))


def fetch(listing: Listing, part: Part, progress: Progress | None = None) -> list[Path]:
    """The files of a part, in the cache that all tools of this machine share. What is there already is not fetched.

    Raises:
        HubError: the Hub refused or could not be reached, or a file arrived changed. DiskFull: they do not fit.
    """
    names = [name for name, _ in part.files]
    folder = _snapshot(listing, names, progress)
    if changed := _changed(folder, names):
        forget(changed)
        folder = _snapshot(listing, names, progress)
        if changed := _changed(folder, names):
            forget(changed)
            raise HubError(f"{changed.name} of {listing.repo} arrived changed.", "Try again later.")
    return [folder / name for name in names]


def _snapshot(listing: Listing, names: list[str], progress: Progress | None) -> Path:
    about: dict[str, Any] = {
        "repo_type": "dataset",
        "revision": listing.revision,
        "allow_patterns": [glob.escape(name) for name in names],
    }
    try:
        missing = snapshot_download(listing.repo, dry_run=True, tqdm_class=progress_bar("", None), **about)
        require_room(listing.repo, sum(file.file_size or 0 for file in missing if file.will_download))
        bar = progress_bar(f"Downloading {listing.repo}", progress)
        return Path(snapshot_download(listing.repo, tqdm_class=bar, **about))
    except HUB_FAILURES as error:
        raise explain(error, listing.repo, "download", kind="dataset") from None


def _changed(folder: Path, names: Iterable[str]) -> Path | None:
    """A file whose content is not what the cache calls it by; only large files are called by their sha256."""
    for name in names:
        blob = (folder / name).resolve()
        if len(blob.name) == 64 and sha256_of(blob) != blob.name:
            return folder / name
    return None


def _files(api: HfApi, repo: str, revision: str | None) -> dict[str, int]:
    tree = api.list_repo_tree(repo, recursive=True, revision=revision, repo_type="dataset")
    return {
        entry.path: entry.size for entry in sorted(tree, key=lambda entry: entry.path) if isinstance(entry, RepoFile)
    }


def _converted(files: Mapping[str, int]) -> tuple[Part, ...]:
    """Parts by the folders of the Hub's conversion: configuration/split/0000.parquet."""
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for name, size in files.items():
        if not _CONVERTED_FILE.fullmatch(name):
            continue
        config, split, _ = name.split("/")
        found.setdefault((config, split), []).append((name, size))
    return _sorted(
        Part(config, split.removeprefix(_PARTIAL), tuple(inside), split.startswith(_PARTIAL))
        for (config, split), inside in found.items()
    )


def _as_written(files: Mapping[str, int], card: Mapping[str, Any]) -> tuple[Part, ...]:
    """Parts by what the dataset's card says of its files, else by their folders and names."""
    data = {name: size for name, size in files.items() if _is_data(name)}
    told: dict[tuple[str, str], list[str]] = {}
    for config in _dicts(card.get("configs")):
        for split, pattern in _patterns(config.get("data_files")):
            inside = [name for name in data if fnmatch.fnmatchcase(name, pattern)]
            kept = told.setdefault((str(config.get("config_name") or DEFAULT), split), [])
            kept += [name for name in inside if name not in kept]
    if not any(told.values()):
        told = {}
        for name in data:
            path = PurePosixPath(name)
            folder = [part for part in path.parts[:-1] if part.lower() not in {"data", *_SPLITS}]
            told.setdefault(("/".join(folder) or DEFAULT, _split_in(name)), []).append(name)
        told = {part: _of_one_format(inside) for part, inside in told.items()}
    return _sorted(
        Part(config, split, tuple((name, data[name]) for name in inside))
        for (config, split), inside in told.items()
        if inside
    )


def _is_data(name: str) -> bool:
    hidden = any(part.startswith((".", "_")) for part in name.split("/"))
    return bool(format_of_name(name)) and not hidden and name.rpartition("/")[2].lower() not in _NO_DATA


def _of_one_format(names: list[str]) -> list[str]:
    """Of the same rows in several formats only those in the best: reading all would read each row several times."""
    there = [format_of_name(name) for name in names]
    best = min(there, key=_FORMATS.index)
    return [name for name, format_ in zip(names, there, strict=True) if format_ == best]


def _patterns(data_files: Any) -> list[tuple[str, str]]:
    """(split, pattern) of a card's `data_files`: one pattern, several, or those of each split."""
    found: list[tuple[str, str]] = []
    for entry in data_files if isinstance(data_files, list) else [data_files]:
        split, paths = (entry.get("split"), entry.get("path")) if isinstance(entry, dict) else ("train", entry)
        for path in paths if isinstance(paths, list) else [paths]:
            if isinstance(path, str):
                found.append((str(split), path.removeprefix("./")))
    return found


def _split_in(name: str) -> str:
    """The split that a file belongs to, by the last word of its path that says one; else it is for training."""
    words = re.findall(r"[a-z]+", name.rpartition(".")[0].lower())
    return next((_SPLITS[word] for word in reversed(words) if word in _SPLITS), "train")


def _card(about: Any) -> Mapping[str, Any]:
    """The head of the dataset's card, as the Hub has read it."""
    card = about.card_data
    body = card.to_dict() if card is not None else {}
    return body if isinstance(body, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _sorted(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The default configuration and the split for training first."""
    return tuple(
        sorted(parts, key=lambda part: (part.config != DEFAULT, part.config, part.split != "train", part.split))
    )


def _chosen(repo: str, field: str, noun: str, asked: str, there: list[str], usual: str) -> str:
    """The one that is asked for, the only one, or the usual one."""
    listed = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
    if asked and asked not in there:
        raise SpecError(field, f"{repo} has no {noun} {asked!r}.", f"It has {listed}.")
    if asked or len(there) == 1:
        return asked or there[0]
    if usual in there:
        return usual
    raise SpecError(field, f"{repo} has {len(there)} {noun}s: {listed}.", f"Say which one as {field}.")
