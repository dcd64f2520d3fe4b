"""What every page of judging works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.panels.compare.announcer import Announcer
    from studio.panels.compare.beside import Beside
    from studio.panels.compare.looks import Looks
    from studio.panels.compare.saving import Saving
    from studio.session import Session


@dataclass(frozen=True, slots=True)
class Desk:
    """The session, what Compare remembers, who judges and by what rubric, and the two that write and tell."""

    session: Session
    looks: Looks
    beside: Beside
    saving: Saving
    announcer: Announcer
