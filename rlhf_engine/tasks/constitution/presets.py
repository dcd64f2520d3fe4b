"""Sets of settings to start revising from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import Preset

PRESETS = (
    Preset("default", "Default", "One revision of each answer, by a principle drawn from all of them."),
    Preset(
        "constitutional",
        "Constitutional AI",
        "Four revisions of each answer, all kept as demonstrations.",
        {"rounds": 4, "demonstrations": "all", "limit": 10_000, "temperature": 1.0},
        source="Bai et al. 2022, arXiv:2212.08073, sections 3.2 and 3.5",
    ),
)
