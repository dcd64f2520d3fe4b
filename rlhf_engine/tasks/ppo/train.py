"""PPO. Read `train` top to bottom: it is the whole algorithm.

A rollout is `rollout.py`, one optimiser step is `learn` below, the arithmetic is `loss.py` and `reward_shaping.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlhf_engine.contract.errors import DataError, SpecError
from rlhf_engine.contract.events import Alert, Produced
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.data.records import Prompt, text_of
from rlhf_engine.data.within import within
from rlhf_engine.models.adapters import KeptAdapter, save_adapter
from rlhf_engine.models.opening import adapters_of, lineage, settings_fingerprint
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.models.previews import Previews
from rlhf_engine.models.sampling import Sampler
from rlhf_engine.runtime.context import Clock, Means, RunContext, scheduled
from rlhf_engine.runtime.order import Order
from rlhf_engine.tasks.ppo.actors import POLICY, REFERENCE, VALUE, Actors
from rlhf_engine.tasks.ppo.loss import adapt_kl_coef, gae, k1, policy_loss, value_loss
from rlhf_engine.tasks.ppo.report import as_sample, explain, measured, watch
from rlhf_engine.tasks.ppo.reward_shaping import Moments, token_rewards
from rlhf_engine.tasks.ppo.rollout import Question, Rollout, require_identities, rollout
from rlhf_engine.tasks.ppo.spec import PPOSpec
from rlhf_engine.tensors import masked_mean, whiten

CANDIDATES = 32  # held-out prompts among which the previews look for some that fit
FACTS = ("objective/score", "objective/kl_sequence")  # said of the result, as measured in the last update


def train(spec: PPOSpec, run: RunContext) -> None:
    """Write answers, score them, work out which tokens helped, and make those likelier; `spec.updates` times."""
    if spec.batch_size % run.world.size:
        text = f"{spec.batch_size} answers per update cannot be shared evenly by {run.world.size} processes."
        raise SpecError("batch_size", text, f"Choose a multiple of {run.world.size}.")
    dataset = open_dataset(run.project_root, spec.dataset, "prompts")  # first: it may be wrong, and is quick
    actors = Actors.load(spec, run)
    questions, heldout = read(dataset, spec, run, actors)
    backbone = actors.backbone
    learner = Learner(spec, run, actors)
    order = Order(len(questions), spec.batch_size, run.rng)
    moments, beta, latest = Moments(), Beta(spec.kl_coef), Latest()
    about = lineage(
        actors.source, "ppo", run, reward_model=spec.reward_model, dataset=spec.dataset, template=spec.template
    )
    previews = Previews(
        backbone,
        POLICY,
        Sampler(spec.response_tokens, spec.temperature),
        run.seed,
        lambda asked, a: explain(actors, spec, asked, a),
    )
    previews.choose(heldout, [], spec.template)
    kept: dict[str, Any] = {"reference": KeptAdapter(backbone, REFERENCE)} if spec.reference_refresh else {}
    run.keep(
        inputs={
            "base": backbone.base.fingerprint,
            "reward model": actors.judge.base.fingerprint,
            "dataset": dataset.info.hash,
            "settings": settings_fingerprint(spec),
            **adapters_of(starting_adapter=actors.source, reward_adapter=actors.scorer),
        },
        every=spec.checkpoint_every,
        newest=spec.keep_checkpoints,
        result=lambda: save_adapter(backbone, POLICY, run.folder / "adapter", about),
        policy=KeptAdapter(backbone, POLICY),
        value=KeptAdapter(backbone, VALUE),
        policy_optimizer=learner.policy_optimizer,
        value_optimizer=learner.value_optimizer,
        order=order,
        moments=moments,
        beta=beta,
        latest=latest,
        **kept,
    )

    for update in run.steps(spec.updates):
        clock = Clock()
        asked = [questions[i] for _ in range(-(-spec.batch_size // order.size)) for i in order.next()][
            : spec.batch_size
        ]
        found = rollout(actors, spec, run, asked, clock)
        if update == 1:
            require_identities(actors, spec, found)
        moments.update(found.scores)
        scaled = moments.apply(found.scores, spec.reward_scaling)
        scores = scaled.clamp(-spec.score_clip, spec.score_clip) if spec.score_clip else scaled
        rewards = token_rewards(scores, k1(found.log_ratio), found.mask, beta.value, spec.whiten_rewards)
        bootstrap = torch.where(found.ended, 0.0, found.value_after) if spec.truncated == "bootstrap" else None
        advantages, returns = gae(rewards, found.values, found.mask, spec.gamma, spec.lam, bootstrap)
        weights = whiten(advantages, found.mask) if spec.whiten_advantages else advantages

        with clock("update"):
            values = learner.learn(update, found, weights, returns)
        values |= measured(found, scores, returns, beta.value) | clock.seconds
        values["answers/tokens_per_second"] = found.mask.sum().item() / clock.seconds["time/rollout"]
        values["reward/scaled"] = scaled.mean().item()
        if "p99" in actors.judge_facts:
            values["reward/above_p99"] = (found.raw_scores > actors.judge_facts["p99"]).float().mean().item()
        run.metrics(update, values)
        latest.facts = {name: values[name] for name in FACTS}
        watch(values, update, run)
        if spec.adaptive_kl:
            drift = values["objective/kl_sequence"]
            beta.value = adapt_kl_coef(beta.value, drift, spec.kl_target, spec.kl_horizon, spec.batch_size)
        if spec.reference_refresh and update % spec.reference_refresh == 0:
            actors.refresh_reference(spec.reference_mix)
            run.emit(Alert("info", "The reference has moved: KL is no longer to the starting model.", step=update))
        if spec.sample_every and (update % spec.sample_every == 0 or update in (1, spec.updates)):
            for sample in previews.samples(update):
                run.emit(sample)
            run.emit(as_sample(actors, found, advantages, 0, text_of(asked[0].prompt), update))

    if run.world.leads:
        save_adapter(backbone, POLICY, run.folder / "adapter", {**about, "facts": latest.facts})
    run.emit(Produced("adapter", f"runs/{run.run_id}/adapter", latest.facts))


def read(dataset: Dataset, spec: PPOSpec, run: RunContext, actors: Actors) -> tuple[list[Question], list[Prompt]]:
    """Questions that leave room for an answer, and a few held-out prompts to watch."""
    tokenizer = actors.backbone.base.tokenizer
    all_ = [
        Question(r.prompt, render(tokenizer, r.prompt, template=spec.template).ids) for r in dataset.records("train")
    ]
    context = actors.backbone.base.context
    questions, left_out = within(
        all_, lambda q: len(q.ids), spec.max_tokens, context, "prompts", answer=spec.response_tokens
    )
    if left_out:
        run.emit(left_out)
    if not questions:
        raise DataError(f"{dataset.info.name} has no prompts to practise on.", "Add some in Data, or import a file.")
    heldout = [r.prompt for r in dataset.records("heldout")[:CANDIDATES]] or [q.prompt for q in questions[:4]]
    return questions, heldout


class Beta:
    """The KL penalty, when it moves, as something a checkpoint can hold."""

    def __init__(self, value: float) -> None:
        self.value = value

    def state_dict(self) -> dict[str, float]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.value = state["value"]


class Latest:
    """What the last update measured of the policy: a run killed after its last checkpoint has no update left to ask."""

    def __init__(self) -> None:
        self.facts: dict[str, float] = {}

    def state_dict(self) -> dict[str, float]:
        return self.facts

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.facts = dict(state)


class Learner:
    """The optimisers of policy and value, and the passes over one batch of answers."""

    def __init__(self, spec: PPOSpec, run: RunContext, actors: Actors) -> None:
        self._spec, self._run, self._actors = spec, run, actors
        self.policy_optimizer = optimizer_for(actors.backbone, POLICY, spec)
        self.value_optimizer = optimizer_for(actors.backbone, VALUE, spec)

    def learn(self, update: int, found: Rollout, weights: Tensor, returns: Tensor) -> dict[str, float]:
        """`spec.epochs` passes; the first in the order of the rollout, the others in a fresh one."""
        spec, run = self._spec, self._run
        rates = [
            scheduled(rate, spec.schedule, spec.warmup, update, spec.updates)
            for rate in (spec.learning_rate, spec.value_learning_rate)
        ]
        means = Means()
        peak = torch.zeros((), device=run.device)
        count = len(found.logp)
        for epoch in range(spec.epochs):
            order = torch.arange(count) if epoch == 0 else torch.randperm(count, generator=run.rng)
            for rows in order.split(spec.minibatch_size):
                run.safe_point()
                drift, highest = self._minibatch(update, rows.to(run.device), found, weights, returns, rates, means)
                peak = torch.maximum(peak, highest)
            if spec.target_kl and drift > 1.5 * spec.target_kl:
                break
        return {
            "policy/grad_norm": 0.0,  # where every minibatch was skipped
            **means.result(),
            "policy/ratio_max": peak.item(),
            "train/learning_rate": rates[0],
            "policy/epochs": float(epoch + 1),
        }

    def _minibatch(
        self,
        update: int,
        rows: Tensor,
        found: Rollout,
        weights: Tensor,
        returns: Tensor,
        rates: list[float],
        means: Means,
    ) -> tuple[float, Tensor]:
        """One step of each optimiser. Gradients of micro-batches add up to the minibatch's exactly: every sum is
        divided by the minibatch's tokens. Returns the approximate KL of this step, nats per token, and the largest
        ratio, ()."""
        spec, run, actors = self._spec, self._run, self._actors
        total = found.mask[rows].sum()
        learns_policy = update > spec.value_warmup
        sums = torch.zeros(7, device=run.device)
        peak = torch.zeros((), device=run.device)
        mine = torch.tensor(run.world.share(rows.tolist()), device=run.device, dtype=torch.int64)
        for part in mine.split(spec.micro_batch_size):
            batch, mask = found.batch.rows(part), found.mask[part]
            now = actors.logprobs(POLICY, batch, spec.temperature)
            policy = policy_loss(
                now.logp, found.logp[part], weights[part], mask, spec.clip, spec.clip_high, spec.dual_clip, total
            )
            entropy = masked_mean(now.entropy, mask, total)
            values, _ = actors.values(batch)
            value = value_loss(values, found.values[part], returns[part], mask, spec.value_clip, total)
            if learns_policy:
                (policy.loss - spec.entropy_coef * entropy).backward()
            (spec.value_coef * value.loss).backward()
            row = (policy.loss, policy.clipped, policy.approx_kl, policy.ratio, value.loss, value.clipped, entropy)
            sums += torch.stack(row).detach()
            peak = torch.maximum(peak, policy.ratio_max)
        run.world.sum_([sums])
        names = ("policy__loss", "policy__clip_fraction", "policy__approx_kl", "policy__ratio_mean", "value__loss")
        means.add(**dict(zip((*names, "value__clip_fraction", "policy__entropy"), sums, strict=True)))
        if sums[3] > spec.max_ratio:
            self.policy_optimizer.zero_grad(set_to_none=True)
            text = f"A minibatch was skipped: its mean probability ratio was {sums[3].item():.1f}."
            run.alert("ratio", "warning", text, "Lower the learning rate or the epochs per update.", update)
        elif learns_policy:
            means.add(policy__grad_norm=run.step(self.policy_optimizer, rates[0], spec.max_grad_norm))
        else:
            means.add(policy__grad_norm=torch.zeros(()))
        means.add(value__grad_norm=run.step(self.value_optimizer, rates[1], spec.max_grad_norm))
        return float(sums[2]), peak
