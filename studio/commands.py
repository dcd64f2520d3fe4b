"""A command: something that can be done, found by its words in the palette and, where it has one, by its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """`panel` is shown beside the title, to tell apart "Start" of two panels; `keys` is a Qt key sequence."""

    title: str
    do: Callable[[], object]
    keys: str = ""
    panel: str = ""
