"""Models from and to the Hugging Face Hub: nothing is used that is not whole, nothing is pushed that is not read back.

The token is the one huggingface_hub keeps; this program never holds, stores or shows it.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, get_token, snapshot_download
from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError, LocalTokenNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import disable_progress_bars
from tqdm.std import tqdm  # type: ignore[import-untyped]

from rlhf_engine.contract.errors import DiskFull, HubError, ModelError
from rlhf_engine.models.folders import TOKENIZERS
from rlhf_engine.models.hub_errors import HUB_FAILURES, SITE, explain, page_of
from rlhf_engine.models.weight_files import fault_in_file, fault_in_weights

Progress = Callable[[str, int, int], None]

disable_progress_bars()  # the Hub's own bars write to the terminal; ours report to the run

ALLOWED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "tokenizer*", "*.tiktoken"]
IGNORED = ["*/*", "consolidated*", "*.bin", "*.pt", "*.pth", "*.pkl"]  # other formats of the same weights


def download(repo: str, progress: Progress | None = None) -> Path:
    """The folder of a model, from the cache when it is whole there (no network needed), else from the Hub.

    Bytes are reported as they come, from other threads.

    Raises:
        HubError: the Hub refused or could not be reached; each reason has its own sentence.
        ModelError: the repository holds no whole safetensors weights.
        DiskFull: the model does not fit; nothing was downloaded.
    """
    if (cached := _cached(repo)) is not None:
        return cached
    require_room(repo, dry_run_size(repo))
    folder = _fetch(repo, progress)
    if (fault := _fault(folder, deep=True)) is not None:  # the cache would never repair it by itself
        forget(fault[0])
        folder = _fetch(repo, progress)
    if (fault := _fault(folder, deep=True)) is not None:
        forget(fault[0])
        raise ModelError(f"{fault[0].name} of {repo} {fault[1]}.", "Try again later, or choose another model.")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{repo} has no weights in the safetensors format.",
            "Choose another repository: weights in other formats could run code when opened.",
        )
    return folder


def dry_run_size(repo: str) -> int:
    """Bytes that a download would still have to fetch. Raises HubError as `download` does."""
    try:
        files = snapshot_download(
            repo, allow_patterns=ALLOWED, ignore_patterns=IGNORED, dry_run=True, tqdm_class=progress_bar(repo, None)
        )
    except HUB_FAILURES as error:
        raise explain(error, repo, "download", _partly_here(repo)) from None
    return sum(file.file_size or 0 for file in files if file.will_download)


def require_room(repo: str, needed: int) -> None:
    """Raise DiskFull where `needed` bytes do not fit into the cache, rather than after minutes of fetching."""
    free = _free_space()
    if needed > free:
        raise DiskFull(
            f"{repo} needs {_megabytes(needed)}, but {_megabytes(free)} are free in {_shown(_cache())}.",
            "Free some space, or set HF_HOME to a folder on another disk.",
        )


def push(folder: Path, repo: str, private: bool = True, progress: Progress | None = None, kind: str = "model") -> str:
    """Upload a folder as one commit, and compare every file there with the one here. Returns the page's address.

    `kind` is "model" or "dataset".

    The folder is only read. Nothing of the repository is deleted.

    Raises:
        HubError: nobody is signed in, the Hub refused or could not be reached, a repository that holds other weights or
            is more public than was asked for, or a file that arrived changed.
    """
    if get_token() is None:
        raise explain(LocalTokenNotFoundError(), repo, "push to", kind=kind)
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    total = sum(path.stat().st_size for path in files.values())
    tell = progress or (lambda _text, _done, _total: None)
    api = HfApi()
    try:
        tell(f"Opening {repo}", 0, total)
        repo = api.create_repo(repo, private=private, exist_ok=True, repo_type=kind).repo_id
        if private and api.repo_info(repo, repo_type=kind).private is False:
            raise HubError(f"{repo} is public already, but a private one was asked for.", "Choose another name.")
        if kind == "model":
            _refuse_mixture(repo, set(_remote(api, repo, None, kind)) - files.keys())
        tell(f"Pushing to {repo}", 0, total)
        message = f"Upload a {kind} from RLHF Studio"
        commit = api.upload_folder(repo_id=repo, repo_type=kind, folder_path=folder, commit_message=message)
        tell(f"Comparing with {repo}", total, total)
        there = _remote(api, repo, commit.oid, kind)
    except HUB_FAILURES as error:
        raise explain(error, repo, "push to", kind=kind) from None
    for name, path in files.items():
        if name not in there or not _same(there[name], path):
            raise HubError(f"{name} arrived at {repo} changed or not at all.", "Push again; the files here are whole.")
    return page_of(repo, kind)


def _cached(repo: str) -> Path | None:
    """The snapshot in the cache, if a model could be loaded from it; a file that nobody reads may be missing."""
    try:
        folder = Path(snapshot_download(repo, allow_patterns=ALLOWED, ignore_patterns=IGNORED, local_files_only=True))
    except IncompleteSnapshotError as error:
        folder = Path(error.snapshot_path)
    except LocalEntryNotFoundError:
        return None
    except HUB_FAILURES as error:
        raise explain(error, repo, "download") from None
    tokenizer = any((folder / name).is_file() for name in TOKENIZERS)
    whole = (folder / "config.json").is_file() and any(folder.glob("*.safetensors")) and tokenizer
    return folder if whole and _fault(folder, deep=False) is None else None


def _partly_here(repo: str) -> bool:
    home = _cache() / f"models--{repo.replace('/', '--')}"
    return any(home.glob("snapshots/*/*")) or any(home.glob("blobs/*.incomplete"))


def _fetch(repo: str, progress: Progress | None) -> Path:
    try:
        return Path(
            snapshot_download(
                repo,
                allow_patterns=ALLOWED,
                ignore_patterns=IGNORED,
                tqdm_class=progress_bar(f"Downloading {repo}", progress),
            )
        )
    except HUB_FAILURES as error:
        raise explain(error, repo, "download", _partly_here(repo)) from None


def _fault(folder: Path, deep: bool) -> tuple[Path, str] | None:
    """A weight file that is not what it should be. `deep` also hashes large files: the cache names them by sha256."""
    if (fault := fault_in_weights(folder)) is not None or not deep:
        return fault
    for path in sorted(folder.glob("*.safetensors")):
        name = path.resolve().name
        if len(name) == 64 and not fault_in_file(path) and sha256_of(path) != name:
            return path, "arrived changed (its sha256 is another)"
    return None


def forget(path: Path) -> None:
    """Take a damaged file out of the cache, so that it is fetched again."""
    if _cache() in path.parents:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def progress_bar(text: str, progress: Progress | None) -> type[Any]:
    """A progress bar that draws nothing and tells `progress` the bytes.

    The Hub keeps several bars at once (received, put together, files done): the furthest of those that count bytes is
    what a person is waiting for.
    """
    reached: dict[int, tuple[int, int]] = {}
    lock = threading.Lock()

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "file": io.StringIO(), "disable": False})

        def display(self, *_args: Any, **_kwargs: Any) -> bool:
            if progress is not None and self.unit == "B":
                with lock:
                    reached[id(self)] = (int(self.n), int(self.total or 0))
                    done = max(n for n, _ in reached.values())
                    total = max(t for _, t in reached.values())
                progress(text, min(done, total) if total else done, total)
            return True

    Bar.set_lock(threading.RLock())
    return Bar


def _remote(api: HfApi, repo: str, revision: str | None, kind: str) -> dict[str, RepoFile]:
    tree = api.list_repo_tree(repo, recursive=True, revision=revision, repo_type=kind)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _refuse_mixture(repo: str, others: set[str]) -> None:
    """Weights of two models in one repository load as neither."""
    weights = sorted(name for name in others if name.endswith((".safetensors", ".bin", ".index.json")))
    if weights:
        raise HubError(
            f"{repo} already holds other weights, such as {weights[0]}.",
            f"Choose another name, or delete them first at {SITE}/{repo}/tree/main.",
        )


def _same(there: RepoFile, path: Path) -> bool:
    if there.lfs is not None:
        return bool(there.lfs.sha256 == sha256_of(path))
    content = path.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return bool(there.blob_id == git)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache() -> Path:
    return Path(constants.HF_HUB_CACHE).expanduser().resolve()


def _free_space() -> int:
    folder = _cache()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _shown(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
