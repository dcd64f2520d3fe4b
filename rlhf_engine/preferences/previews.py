"""Samples on the way: answers to held-out prompts, beside what the policy said before the first step."""

from __future__ import annotations

from rlhf_engine.contract.preference import PreferenceFields
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.records import canonical
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.previews import Previews
from rlhf_engine.models.sampling import Sampler
from rlhf_engine.preferences.reference import POLICY
from rlhf_engine.runtime.context import RunContext

TOKENS = 64
CANDIDATES = 32  # held-out prompts among which the previews look for some that fit


def previews_of(backbone: Backbone, dataset: Dataset, spec: PreferenceFields, run: RunContext) -> Previews:
    """To be called while the policy is still what it starts as: its answers now are what later ones are put beside."""
    previews = Previews(backbone, POLICY, Sampler(TOKENS), run.seed)
    distinct = {canonical(record.prompt): record.prompt for record in dataset.records("heldout")}
    if spec.sample_every:
        previews.choose(list(distinct.values())[:CANDIDATES], [], spec.template)
    return previews
