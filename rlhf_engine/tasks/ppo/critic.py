"""The value model: what the rest of an answer is expected to bring, token by token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.models.adapters import KeptAdapter
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.rewards.mix import REWARD
from rlhf_engine.rollouts.actors import POLICY, Actors
from rlhf_engine.rollouts.batch import Batch
from rlhf_engine.rollouts.learner import ValuePart
from rlhf_engine.rollouts.rollout import Rollout, passes
from rlhf_engine.runtime.context import RunContext, adamw
from rlhf_engine.tasks.ppo.loss import value_loss
from rlhf_engine.tasks.ppo.spec import PPOSpec
from rlhf_engine.tensors import last_index

VALUE = "value"


class Critic:
    """A head on an adapter of its own, or on the policy's (`shared`). `teach` says what it is to learn next."""

    def __init__(self, spec: PPOSpec, actors: Actors) -> None:
        """Raises ModelError when it cannot start from the reward model, which sits on another base."""
        self._spec, self._backbone = spec, actors.backbone
        self.shared, self.warmup = spec.critic == "shared", spec.value_warmup
        self.learning_rate = spec.value_learning_rate
        self.role = POLICY if self.shared else VALUE
        backbone = actors.backbone
        if spec.value_init == "reward":
            self._require_same_base(actors)
            backbone.copy(REWARD, VALUE, trainable=True)
            backbone.add_head(VALUE, like=REWARD, trainable=True)
        else:
            if not self.shared:
                backbone.copy(POLICY, VALUE, trainable=True)
            backbone.add_head(VALUE, zero=True, trainable=True)
        self.optimizer = (
            adamw(backbone.heads[VALUE].parameters(), spec.weight_decay)
            if self.shared
            else optimizer_for(backbone, VALUE, spec)
        )
        self._old = self._returns = torch.zeros(0, 0)

    @property
    def kept(self) -> Any:
        """The value model as something a checkpoint can hold."""
        return _KeptHead(self._backbone.heads[VALUE]) if self.shared else KeptAdapter(self._backbone, VALUE)

    def values(self, batch: Batch, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The value before each answer token (B, R), and after the last one (B,)."""
        if hidden is None:
            with self._backbone.acting_as(self.role):
                hidden = self._backbone.hidden(batch.ids, batch.attention, wanted=batch.states)
        values = self._backbone.heads[VALUE](hidden[:, batch.prompt_width - 1 :])
        after = values.gather(1, (last_index(batch.answer_mask) + 1).unsqueeze(1)).squeeze(1)
        return values[:, :-1], after

    @torch.no_grad()
    def measure(self, found: Rollout, run: RunContext) -> tuple[Tensor, Tensor]:
        """The values of a whole rollout, in the same forward passes as learning repeats."""
        parts = []
        for part in passes(len(found.logp), self._spec, run):
            run.safe_point()
            parts.append(self.values(found.batch.rows(part)))
        values, after = zip(*parts, strict=True)
        return torch.cat(values), torch.cat(after)

    def teach(self, old: Tensor, returns: Tensor) -> None:
        """What the next passes are about: the values when the answers were written, and the returns, (B, R) each."""
        self._old, self._returns = old, returns

    def loss(self, rows: Tensor, batch: Batch, mask: Tensor, total: Tensor, hidden: Tensor | None) -> ValuePart:
        values, _ = self.values(batch, hidden)
        found = value_loss(values, self._old[rows], self._returns[rows], mask, self._spec.value_clip, total)
        told = {"value__loss": found.loss, "value__clip_fraction": found.clipped}
        return ValuePart(self._spec.value_coef * found.loss, told)

    @staticmethod
    def _require_same_base(actors: Actors) -> None:
        judge = actors.rewards.main
        assert judge is not None  # the spec saw to it
        if judge.backbone is not actors.backbone:
            raise ModelError(
                f"The value model cannot start from {judge.source.ref}: it sits on {judge.source.base}, the policy on "
                f"{actors.source.base}.",
                'Set "Value starts from" to zero.',
            )


class _KeptHead:
    """A head alone, without an adapter, as something a checkpoint can hold."""

    def __init__(self, head: torch.nn.Module) -> None:
        self._head = head

    def state_dict(self) -> dict[str, Any]:
        return {key: tensor.clone() for key, tensor in self._head.state_dict().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._head.load_state_dict(state)
