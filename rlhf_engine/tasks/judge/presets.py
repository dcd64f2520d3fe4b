"""Sets of settings to start judging from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import Preset

PRESETS = (
    Preset("default", "Default", "Pairs that wait, by helpfulness, with a few canaries."),
    Preset(
        "measure",
        "Measure the judge",
        "Pairs that people have judged, by every principle, and many canaries: how far can this judge be trusted?",
        {"pairs": "judged by people", "principles": (), "canaries": 64},
    ),
    Preset(
        "constitutional",
        "Constitutional AI",
        "Pairs that wait, each by one principle drawn from all of them.",
        {"principles": (), "by": "one per pair", "limit": 10_000},
        source="Bai et al. 2022, arXiv:2212.08073, section 4.1",
    ),
    Preset("base", "Base model", "The short question, for a judge that goes on writing.", {"template": "short"}),
)
