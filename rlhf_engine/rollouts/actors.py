"""The roles that every method on one's own answers has: a policy, the reference it started as, and what rewards it."""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf_engine.contract.online import RolloutFields
from rlhf_engine.models.adapters import new_lora, start_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import ModelSource
from rlhf_engine.models.logprobs import TokenLogprobs, logprobs_of_hidden
from rlhf_engine.models.opening import open_backbone
from rlhf_engine.rewards.judges import Bench
from rlhf_engine.rewards.mix import Rewards
from rlhf_engine.rollouts.batch import Batch
from rlhf_engine.runtime.context import RunContext

POLICY, REFERENCE = "policy", "reference"


class Actors:
    """Policy (trained), reference (its frozen copy) and rewards, on one base where they can share it."""

    def __init__(self, backbone: Backbone, source: ModelSource, rewards: Rewards) -> None:
        self.backbone, self.source, self.rewards = backbone, source, rewards

    @classmethod
    def load(cls, spec: RolloutFields, run: RunContext) -> Actors:
        """Raises ModelError when a reward model is none, or would read prompts written otherwise than those it was
        trained on; SpecError for code that nobody agreed to run."""
        backbone, source = open_backbone(spec.policy, run, spec)
        start_adapter(backbone, POLICY, source, new_lora(spec))
        backbone.copy(POLICY, REFERENCE)
        bench = Bench(backbone, source, run, spec)
        return cls(backbone, source, Rewards(spec, bench, backbone.base.tokenizer, run.at_once))

    def hidden(self, role: str, batch: Batch) -> Tensor:
        """Last hidden states (B, P + R, H) under a role, where the batch reads them."""
        with self.backbone.acting_as(role):
            return self.backbone.hidden(batch.ids, batch.attention, wanted=batch.states)

    def logprobs_of(self, role: str, hidden: Tensor, batch: Batch, temperature: float) -> TokenLogprobs:
        """Of the answers' tokens, from a role's hidden states of the whole batch; every field (B, R)."""
        with self.backbone.acting_as(role):
            measured = logprobs_of_hidden(self.backbone, hidden, batch.ids, batch.mask, temperature)
        return TokenLogprobs(*(column[:, batch.prompt_width :] for column in measured))

    def logprobs(self, role: str, batch: Batch, temperature: float) -> TokenLogprobs:
        """Of the answers' tokens under a role; every field (B, R)."""
        return self.logprobs_of(role, self.hidden(role, batch), batch, temperature)

    @torch.no_grad()
    def refresh_reference(self, share: float) -> None:
        """Move the reference towards the policy: reference = share * policy + (1 - share) * reference."""
        policy, reference = self.backbone.state(POLICY), self.backbone.state(REFERENCE)
        mixed = {key: share * policy[key] + (1 - share) * reference[key] for key in policy}
        self.backbone.load_state(REFERENCE, mixed)
