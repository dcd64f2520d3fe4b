"""What Compare remembers of itself over a restart: layout, switches, where one stopped, days in a row."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from studio.panels.compare.sitting import day_after

if TYPE_CHECKING:
    from studio.session import Session

MEMORY = "compare"


class Looks:
    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, name: str, default: Any = None) -> Any:
        return self._session.recall(MEMORY, {}).get(name, default)

    def put(self, **values: Any) -> None:
        self._session.remember(MEMORY, {**self._session.recall(MEMORY, {}), **values})

    @property
    def reveals(self) -> bool:
        """Whether the sources are told after each verdict."""
        return bool(self.get("reveal", True))

    @property
    def days(self) -> int:
        """Days in a row on which something was judged."""
        return int(self.get("streak", {}).get("days", 0))

    def count_day(self) -> None:
        """Something was judged today."""
        kept, today = self.get("streak", {}), date.today()
        if kept.get("day") != today.isoformat():
            self.put(streak=day_after(kept, today))

    def stop_at(self, pair_id: str) -> None:
        self.put(at={"project": str(self._session.root), "pair": pair_id})

    @property
    def stopped_at(self) -> str:
        """The pair that was on the screen when this project was left; "" if that is not known."""
        at = self.get("at", {})
        return str(at.get("pair", "")) if at.get("project") == str(self._session.root) else ""
