"""What went wrong between this machine and the Hugging Face Hub, as a sentence and something to try.

Messages of the libraries are never passed on: they carry addresses, and once in a while the token itself.
"""

from __future__ import annotations

import errno
from typing import cast

from huggingface_hub import get_token
from huggingface_hub.errors import (
    DisabledRepoError,
    DryRunError,
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from rlhf_engine.contract.errors import DiskFull, EngineError, HubError, ModelError

# The HTTP library under huggingface_hub has changed its name twice. Its own exception is what the Hub's is built on.
HTTPError = cast(type[Exception], HfHubHTTPError.__bases__[0])
HUB_FAILURES: tuple[type[Exception], ...] = (
    HTTPError,
    OSError,
    HFValidationError,
    LocalTokenNotFoundError,
    EntryNotFoundError,
    DryRunError,
    RuntimeError,  # the Xet downloader's only class
)
SITE = "https://huggingface.co"
_LOG_IN = f"Make a token at {SITE}/settings/tokens, run `hf auth login`, and try again."
_LOCAL = {"model": "a model", "dataset": "a file"}
_WRAPPERS = (LocalEntryNotFoundError, DryRunError, FileMetadataError)


def explain(error: BaseException, repo: str, doing: str, partly_here: bool = False, kind: str = "model") -> EngineError:
    """The error to raise instead. `doing` is what was tried: "download" or "push to"; `kind` is "model" or "dataset".

    `partly_here` says that some of the repository's files are in the cache.
    """
    cause = error
    while isinstance(cause, _WRAPPERS) and isinstance(cause.__cause__, Exception):
        cause = cause.__cause__
    if isinstance(cause, HFValidationError):
        return ModelError(f"{repo!r} is not a name of a repository.", "Names look like owner/name.")
    if isinstance(cause, LocalTokenNotFoundError):
        return HubError(f"Nobody is signed in to the Hub, so {repo} cannot be used.", _LOG_IN)
    if isinstance(cause, HfHubHTTPError):
        return _refused(cause, repo, doing, kind)
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"There is no space left to {doing} {repo}.", "Free some space and try again.")
    if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return HubError(
            f"The folder for downloaded {kind}s cannot be written ({cause.filename}).", "Set HF_HOME to another folder."
        )
    if partly_here or isinstance(error, IncompleteSnapshotError):
        return HubError(
            f"{repo} is only half downloaded, and the Hub cannot be reached to fetch the rest.",
            "Try again with a network connection; what is already here is kept.",
        )
    if isinstance(cause, OfflineModeIsEnabled):
        return HubError(
            f"{repo} is not on this machine, and HF_HUB_OFFLINE forbids asking the Hub.",
            f"Unset HF_HUB_OFFLINE, or choose {_LOCAL[kind]} on this machine.",
        )
    if "Timeout" in type(cause).__name__ or isinstance(cause, TimeoutError):
        return HubError(
            f"The Hub stopped answering while trying to {doing} {repo}.",
            "Try again: what has already been transferred is kept.",
        )
    if type(cause).__name__ == "LocalProtocolError":  # an HTTP header that cannot be sent: the token's
        return HubError("The token saved on this machine is damaged.", _LOG_IN)
    if isinstance(cause, EntryNotFoundError | FileMetadataError) and not isinstance(cause, LocalEntryNotFoundError):
        return HubError(f"A file of {repo} has disappeared from the Hub.", "Try again in a minute.")
    return HubError(
        f"The Hub cannot be reached to {doing} {repo} ({type(cause).__name__}).",
        f"Check the network connection, or use {_LOCAL[kind]} that is on this machine.",
    )


def _refused(error: HfHubHTTPError, repo: str, doing: str, kind: str) -> EngineError:
    """The Hub answered, and said no."""
    status = error.response.status_code
    said = (error.server_message or "").lower()
    signed_in = get_token() is not None
    noun = "repository" if kind == "model" else kind
    if isinstance(error, GatedRepoError):
        return _gated(repo, said, signed_in, kind)
    if isinstance(error, DisabledRepoError):
        return HubError(f"The Hub has disabled {repo}.", "Choose another repository.")
    if isinstance(error, RevisionNotFoundError):
        return HubError(f"{repo} is empty on the Hub: it has no main branch.", "Choose another repository.")
    if isinstance(error, RepositoryNotFoundError):
        if not signed_in:
            return HubError(
                f"The Hub has no public {noun} {repo}.",
                "Check the spelling. A private one needs a token: run `hf auth login`.",
            )
        return HubError(
            f"The Hub has no {noun} {repo} that your token may see.",
            "Check the spelling, and that the token belongs to the right account.",
        )
    if status == 401:
        if signed_in:
            return HubError("The Hub does not accept the token saved on this machine.", _LOG_IN)
        return HubError(f"The Hub asks who you are before it lets you {doing} {repo}.", _LOG_IN)
    if status == 403:
        return HubError(
            f"Your token is not allowed to {doing} {repo}.",
            f"Give it the right at {SITE}/settings/tokens, or use another account.",
        )
    if status == 429:
        return HubError("The Hub is receiving too many requests from here.", "Wait a few minutes and try again.")
    if status in (408, 504):
        return HubError(f"The Hub stopped answering while trying to {doing} {repo}.", "Try again in a few minutes.")
    if status >= 500:
        return HubError(f"The Hub has a fault of its own (status {status}).", f"Look at {SITE}, and try again later.")
    return HubError(f"The Hub refused to {doing} {repo} (status {status}).", "Check the name of the repository.")


def page_of(repo: str, kind: str) -> str:
    """The address of a repository's page."""
    return f"{SITE}/{repo}" if kind == "model" else f"{SITE}/datasets/{repo}"


def _gated(repo: str, said: str, signed_in: bool, kind: str) -> HubError:
    page = page_of(repo, kind)
    if not signed_in:
        return HubError(
            f"{repo} is gated: its owner asks who you are before giving it out.",
            f"Accept its terms at {page}. {_LOG_IN}",
        )
    if "fine-grained" in said or "token settings" in said:
        return HubError(
            f"Your token may not read gated repositories such as {repo}.",
            f'Switch on "Read access to public gated repos" for it at {SITE}/settings/tokens.',
        )
    if "awaiting" in said or "pending" in said:
        return HubError(f"Your request to use {repo} has not been answered yet.", f"Its page is {page}.")
    return HubError(f"Your account has not accepted the terms of {repo}.", f"Accept them at {page}, then try again.")
