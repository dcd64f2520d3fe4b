"""The passes over one batch of answers: minibatches, micro-batches, and one step of each optimiser.

It is the same for every method with a clipped surrogate; what differs is where the advantages come from, how a mean is
taken, and whether there is a value model to teach.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from rlhf_engine.contract.online import SurrogateFields
from rlhf_engine.data.batches import parts
from rlhf_engine.data.chat import Rendered
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.rollouts.actors import POLICY, Actors
from rlhf_engine.rollouts.batch import Batch
from rlhf_engine.rollouts.imitation import Imitation
from rlhf_engine.rollouts.loss import Whole, kl_estimate, policy_loss
from rlhf_engine.rollouts.rollout import Rollout
from rlhf_engine.rollouts.stepping import guarded_step
from rlhf_engine.runtime.context import Means, RunContext, scheduled
from rlhf_engine.tensors import masked_mean


class ValuePart(NamedTuple):
    """What a value model says of a micro-batch: its weighted loss, and what is plotted of it."""

    loss: Tensor
    told: dict[str, Tensor]


class Critic(Protocol):
    """A value model as the passes see it. `shared` ones sit on the policy's adapter and learn by the same forward."""

    shared: bool
    warmup: int
    learning_rate: float
    optimizer: torch.optim.Optimizer

    def loss(self, rows: Tensor, batch: Batch, mask: Tensor, total: Tensor, hidden: Tensor | None) -> ValuePart: ...


class Learner:
    """`how` and `level` are those of `Whole` and `policy_loss`. `imitation` mixes demonstrations in (PTX)."""

    def __init__(
        self,
        spec: SurrogateFields,
        run: RunContext,
        actors: Actors,
        critic: Critic | None = None,
        how: str = "token",
        level: str = "token",
    ) -> None:
        self._spec, self._run, self._actors, self._critic = spec, run, actors, critic
        self._how, self._level = how, level
        self.policy_optimizer = optimizer_for(actors.backbone, POLICY, spec)
        self.imitation = Imitation(spec, run, actors.backbone) if spec.ptx_coef else None

    @property
    def kept(self) -> dict[str, Any]:
        """What else a checkpoint must hold: where the demonstrations stand, if any are mixed in."""
        return {"ptx_order": self.imitation.order} if self.imitation else {}

    def learn(self, update: int, found: Rollout, weights: Tensor, beta: float) -> dict[str, float]:
        """`spec.epochs` passes; the first in the order of the rollout, the others in a fresh one.

        Args:
            weights: (B, R) what each token's probability is pushed by: its advantage.
            beta: the KL penalty, for the loss where it counts there.
        """
        spec, run = self._spec, self._run
        rates = [
            scheduled(rate, spec.schedule, spec.warmup, update, spec.updates)
            for rate in (spec.learning_rate, self._critic.learning_rate if self._critic else 0.0)
        ]
        means = Means()
        peak = torch.zeros((), device=run.device)
        count = len(found.logp)
        for epoch in range(spec.epochs):
            order = torch.arange(count) if epoch == 0 else torch.randperm(count, generator=run.rng)
            for rows in order.split(spec.minibatch_size):
                run.safe_point()
                drift, highest = self._minibatch(update, rows.to(run.device), found, weights, beta, rates, means)
                found = replace(found, policy_measured=True)
                peak = torch.maximum(peak, highest)
            if spec.target_kl and drift > 1.5 * spec.target_kl:
                break
        return {
            "policy/grad_norm": 0.0,  # where every minibatch was skipped
            **means.result(),
            "policy/ratio_max": run.world.gather(peak.unsqueeze(0)).max().item(),
            "train/learning_rate": rates[0],
            "policy/epochs": float(epoch + 1),
        }

    def _minibatch(
        self,
        update: int,
        rows: Tensor,
        found: Rollout,
        weights: Tensor,
        beta: float,
        rates: list[float],
        means: Means,
    ) -> tuple[float, Tensor]:
        """One step of each optimiser. Returns the approximate KL of this step, nats per token, and the largest ratio,
        ()."""
        spec, run, critic = self._spec, self._run, self._critic
        learns_policy = critic is None or update > critic.warmup
        shown = self.imitation.next() if self.imitation is not None and learns_policy else []
        sums, peak = run.attempt("update", self._gradients, rows, found, weights, beta, learns_policy, shown)
        means.add(**sums)
        if sums["policy__ratio_mean"] > spec.max_ratio:
            self.policy_optimizer.zero_grad(set_to_none=True)
            text = f"A minibatch was skipped: its mean probability ratio was {sums['policy__ratio_mean'].item():.1f}."
            run.alert("ratio", "warning", text, "Lower the learning rate or the epochs per update.", update)
        elif learns_policy:
            norm = self._step(self.policy_optimizer, rates[0], update, rows, found, weights)
            means.add(policy__grad_norm=norm)
        else:
            self.policy_optimizer.zero_grad(set_to_none=True)  # what a shared value model left there
            means.add(policy__grad_norm=torch.zeros(()))
        if critic is not None:
            means.add(value__grad_norm=self._step(critic.optimizer, rates[1], update, rows, found, weights))
        return float(sums["policy__approx_kl"]), peak

    def _gradients(
        self,
        rows: Tensor,
        found: Rollout,
        weights: Tensor,
        beta: float,
        learns_policy: bool,
        shown: list[Rendered],
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Those of a minibatch, and of the demonstrations `shown` with it. Gradients of micro-batches add up to the
        minibatch's exactly: every sum is divided by the minibatch's tokens or answers. Returns what is plotted, ()
        each, and the largest ratio, ()."""
        spec, run, actors, critic = self._spec, self._run, self._actors, self._critic
        kept = found.mask[rows]
        answers = max(1, int(kept.any(1).sum()))  # a method may leave answers out of what is learned from
        whole = Whole(self._how, kept.sum().clamp(min=1), answers, spec.response_tokens)
        assert isinstance(whole.tokens, Tensor)
        sums: dict[str, Tensor] = {}
        peak = torch.zeros((), device=run.device)
        mine = torch.tensor(run.world.share(rows.tolist()), device=run.device, dtype=torch.int64)
        for part in parts(mine, run.at_once(spec.micro_batch_size, len(rows))):
            batch, mask = found.batch.rows(part), found.mask[part]
            with torch.set_grad_enabled(learns_policy or (critic is not None and critic.shared)):
                # else what it keeps for a backward pass that never comes would lie beside what the value model keeps
                hidden = actors.hidden(POLICY, batch)
                now = actors.logprobs_of(POLICY, hidden, batch, spec.temperature)
            if not found.policy_measured:
                found.logp[part], found.entropy[part] = now.logp.detach(), now.entropy.detach()
            policy = policy_loss(
                now.logp,
                found.logp[part],
                weights[part],
                mask,
                spec.clip,
                spec.clip_high,
                spec.dual_clip,
                whole,
                self._level,
            )
            entropy = masked_mean(now.entropy, mask, whole.tokens)
            loss = policy.loss - spec.entropy_coef * entropy
            told = {
                "policy__loss": policy.loss,
                "policy__clip_fraction": policy.clipped,
                "policy__approx_kl": policy.approx_kl,
                "policy__ratio_mean": policy.ratio,
                "policy__entropy": entropy,
            }
            if spec.kl_in == "loss":
                drift = torch.where(mask, now.logp - found.ref_logp[part], 0.0)
                told["policy__kl_loss"] = whole.mean(kl_estimate(drift, spec.kl_estimator), mask)
                loss = loss + beta * told["policy__kl_loss"]
            if critic is not None and critic.shared:
                value = critic.loss(part, batch, mask, whole.tokens, hidden)
                (loss + value.loss if learns_policy else value.loss).backward()
                told |= value.told
            elif learns_policy:
                loss.backward()
            if critic is not None and not critic.shared:
                value = critic.loss(part, batch, mask, whole.tokens, None)
                value.loss.backward()
                told |= value.told
            sums = {name: sums.get(name, 0.0) + number.detach() for name, number in told.items()}
            peak = torch.maximum(peak, policy.ratio_max)
        if not sums:  # this process has no row of it, and must still add nothing to every number
            sums = self._nothing()
        flat = torch.stack([sums[name] for name in sorted(sums)])
        run.world.sum_([flat])
        sums = dict(zip(sorted(sums), flat, strict=True))
        if self.imitation is not None and learns_policy:
            sums["policy__ptx_loss"] = self.imitation.backward(shown)
        return sums, peak

    def _nothing(self) -> dict[str, Tensor]:
        names = ["loss", "clip_fraction", "approx_kl", "ratio_mean", "entropy"]
        names += ["kl_loss"] if self._spec.kl_in == "loss" else []
        told = [f"policy__{name}" for name in names]
        told += ["value__loss", "value__clip_fraction"] if self._critic else []
        return {name: torch.zeros((), device=self._run.device) for name in told}

    def _step(
        self,
        optimizer: torch.optim.Optimizer,
        rate: float,
        update: int,
        rows: Tensor,
        found: Rollout,
        weights: Tensor,
    ) -> Tensor:
        kept = {"old_logp": found.logp[rows], "weights": weights[rows], "scores": found.scores[rows]}
        kept["ref_logp"] = found.ref_logp[rows]
        return guarded_step(self._spec, self._run, optimizer, rate, update, found.batch.rows(rows), kept)
