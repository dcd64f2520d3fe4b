"""Who is signed in to the Hugging Face Hub, told in words; its token stays with huggingface_hub."""

from __future__ import annotations

import os
from pathlib import Path

from PySide6.QtCore import QCoreApplication


def hub_account() -> str | None:
    """Who is signed in; None without a token, "" where the Hub may not be asked. Waits for the network."""
    from huggingface_hub import get_token, whoami
    from huggingface_hub.constants import is_offline_mode

    token = get_token()
    if not token:
        return None
    return "" if is_offline_mode() else str(whoami(token=token)["name"])


def signed_in() -> bool:
    """Whether huggingface_hub has a token on this machine; it is not kept or shown. Called on another thread."""
    from huggingface_hub import get_token

    return get_token() is not None


def hub_words(error: BaseException) -> str:
    """Why the Hub did not say who we are, without the address and the token that its own message may hold."""
    translate = QCoreApplication.translate
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status in (401, 403):
        return translate("HubAccount", "The Hub does not know this token: it is wrong or has expired.")
    if isinstance(error, ValueError):
        return translate("HubAccount", "This is no token of the Hub: it begins with hf_.")
    return translate("HubAccount", "The Hub cannot be reached from here.")


def hub_cache() -> Path:
    """Where downloaded models lie, as huggingface_hub finds it, without importing it."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"])
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(home) / "hub"
