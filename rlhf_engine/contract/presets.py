"""What a set of settings to start from is, and what several methods say of theirs.

Published learning rates are for training all weights; the presets' are ten times as high, as adapters need
(TRL documentation, "PEFT integration"). Answers too long for a small model are left to the person.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """`values` are the settings that differ from the task's defaults; everything else goes back to its default."""

    key: str
    title: str
    summary: str
    values: dict[str, Any] = field(default_factory=dict)
    source: str = ""


STARTER = "For the starter model: a minute or two on two cores. Larger models want lower learning rates."
GLANCE: dict[str, Any] = {"epochs": 0.2, "sample_every": 5, "evaluate_every": 5}
