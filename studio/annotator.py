"""Who is sitting here: the name that the open project knows them by, else that of the account."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.store.judging_settings import read_judging

if TYPE_CHECKING:
    from studio.session import Session


def annotator(session: Session) -> str:
    """Under which name this person's records are kept."""
    if session.root is not None:
        try:
            return read_judging(session.root).annotator or account()
        except EngineError as error:
            session.say(error)
    return account()


def account() -> str:
    """The name of the account."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return ""
