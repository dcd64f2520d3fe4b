"""A run of practice: prompts asked in shuffled order, answered, rewarded and learned from, update by update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rlhf_engine.consent import sha256_of
from rlhf_engine.contract.errors import DataError, SpecError
from rlhf_engine.contract.events import Alert, Produced
from rlhf_engine.contract.online import PenalisedFields, RolloutFields
from rlhf_engine.contract.rewards import AnswerReward, PythonReward
from rlhf_engine.contract.spec import spec_body
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.data.questions import Question, questions_in
from rlhf_engine.data.records import text_of
from rlhf_engine.models.adapters import KeptAdapter, save_adapter
from rlhf_engine.models.opening import adapters_of, lineage, settings_fingerprint
from rlhf_engine.models.previews import Fixed, Previews
from rlhf_engine.models.sampling import Answer, Sampler
from rlhf_engine.rewards.judges import disjoint
from rlhf_engine.rewards.shaping import Moments, Shaped, pipeline_of, shaped
from rlhf_engine.rollouts.actors import POLICY, REFERENCE, Actors
from rlhf_engine.rollouts.batch import Batch
from rlhf_engine.rollouts.loss import adapt_kl_coef
from rlhf_engine.rollouts.report import as_sample, measured
from rlhf_engine.rollouts.rollout import Rollout, passes, require_identities, rollout
from rlhf_engine.rollouts.watch import Watch
from rlhf_engine.runtime.context import Clock, RunContext
from rlhf_engine.runtime.order import Order

CANDIDATES = 32  # held-out prompts among which the previews look for some that fit
FACTS = ("objective/score", "objective/kl_sequence")  # said of the result, as measured in the last update

Columns = Callable[[Batch], dict[str, Tensor]]  # (B, R) each: what else is known of every token


class Practice:
    """Where such a run stands, what its checkpoints hold, and what it tells. The loop is the method's own:

        for update, found in practice.updates():
            scores = practice.shape(found)
            ... advantages ...
            with practice.clock("update"): values = learner.learn(...)
            practice.report(update, found, scores, values)
        practice.produce()

    `group` answers are written to each prompt, and stand side by side in the rollout. `then` ends the line in the log
    that says what the reward is; `beta` is the worth of a nat of drift where the spec has no KL penalty; `columns` adds
    to the samples; `kept` is what else a checkpoint must hold. `learns_first`: nothing that is learned follows from the
    policy's own log-probabilities, so the pass that learns can be the one that measures them.
    """

    def __init__(
        self,
        spec: RolloutFields,
        run: RunContext,
        actors: Actors,
        dataset: Dataset,
        then: str,
        *,
        group: int = 1,
        beta: float = 0.0,
        columns: Columns = lambda _: {},
        learns_first: bool = False,
        **kept: Any,
    ) -> None:
        if spec.batch_size % (run.world.size * group):
            text = f"{spec.batch_size} answers per update cannot be shared evenly by {run.world.size} processes."
            raise SpecError("batch_size", text, f"Choose a multiple of {run.world.size * group}.")
        self._spec, self._run, self._actors, self._group = spec, run, actors, group
        # Only before the first step of the optimiser does the policy that learns say what it said when it wrote
        self._learns_first = learns_first and spec.minibatch_size >= spec.batch_size and run.world.size == 1
        self._questions, heldout = self._read(dataset)
        self.order = Order(len(self._questions), spec.batch_size // group, run.rng)
        self.moments = Moments()
        self.beta = Beta(spec.kl_coef if isinstance(spec, PenalisedFields) else beta)
        self._latest, self._watch = Latest(), Watch(spec.response_tokens)
        self.clock = Clock()
        self._columns = columns
        self.asked: list[Question] = []
        sampler = Sampler(spec.response_tokens, spec.temperature)
        self._previews = Previews(actors.backbone, POLICY, sampler, run.seed, self._explain)
        self._references = {repr(q.prompt): q.reference for q in heldout}
        self._previews.choose([q.prompt for q in heldout], [], spec.template, spec.sample_prompts)
        self._about = self._describe()
        run.emit(Alert("info", f"Reward: {actors.rewards.describe()} = {pipeline_of(spec, then)}."))
        self._say_whether_gold_is_independent()
        refreshed = {"reference": KeptAdapter(actors.backbone, REFERENCE)} if spec.reference_refresh else {}
        run.keep(
            inputs=self._inputs(dataset),
            every=spec.checkpoint_every,
            newest=spec.keep_checkpoints,
            result=lambda: save_adapter(actors.backbone, POLICY, run.folder / "adapter", self._about),
            policy=KeptAdapter(actors.backbone, POLICY),
            order=self.order,
            moments=self.moments,
            beta=self.beta,
            latest=self._latest,
            watch=self._watch,
            **refreshed,
            **kept,
        )

    # The loop -----------------------------------------------------------------------------------------------------

    def updates(self) -> Iterator[tuple[int, Rollout]]:
        """(number from 1, answers) of each update still to do. Before the first one the identities are checked."""
        spec, run = self._spec, self._run
        for update in run.steps(spec.updates):
            self.clock = Clock()
            prompts = spec.batch_size // self._group
            picked = [i for _ in range(-(-prompts // self.order.size)) for i in self.order.next()][:prompts]
            self.asked = [self._questions[i] for i in picked for _ in range(self._group)]
            early = update == 1 or not self._learns_first  # the identities of the first update are about both
            found = rollout(self._actors, spec, run, self.asked, self.clock, policy=early)
            if update == 1:
                run.attempt("update", self._require_identities, found, passes(spec.batch_size, spec, run))
            yield update, found

    def _require_identities(self, found: Rollout, measured: list[slice]) -> None:
        rows = passes(self._spec.batch_size, self._spec, self._run)
        require_identities(self._actors, self._spec, found, rows, alike=rows == measured)

    def shape(self, found: Rollout) -> Shaped:
        """The scores as training sees them: scaled by what was seen so far, then clipped."""
        return shaped(found.scores, self.moments, self._spec)

    def report(
        self,
        update: int,
        found: Rollout,
        scores: Shaped,
        values: dict[str, float],
        columns: dict[str, Tensor] | None = None,
    ) -> None:
        """Say what the update measured and what looks wrong, move beta and reference where they move, show samples.

        `columns` (B, R) are what is shown of the tokens of one answer, such as their advantages.
        """
        spec, run, actors = self._spec, self._run, self._actors
        values |= measured(found, scores.final, self.beta.value) | self.clock.seconds
        values["answers/tokens_per_second"] = found.mask.sum().item() / self.clock.seconds["time/rollout"]
        values["reward/scaled"] = scores.scaled.mean().item()
        main = actors.rewards.main
        if main is not None and "p99" in main.facts:
            values["reward/above_p99"] = (found.parts["model"] > main.facts["p99"]).float().mean().item()
        run.metrics(update, values)
        self._latest.facts = {name: values[name] for name in FACTS}
        self._watch.look(values, update, run)
        if isinstance(spec, PenalisedFields) and spec.adaptive_kl:
            self.beta.adapt(values["objective/kl_sequence"], spec)
        if spec.reference_refresh and update % spec.reference_refresh == 0:
            actors.refresh_reference(spec.reference_mix)
            run.emit(Alert("info", "The reference has moved: KL is no longer to the starting model.", step=update))
        if spec.sample_every and (update % spec.sample_every == 0 or update in (1, spec.updates)):
            for sample in self._previews.samples(update):
                run.emit(sample)
            run.emit(as_sample(actors, found, columns or {}, 0, text_of(self.asked[0].prompt), update))

    def produce(self) -> None:
        """Save the policy with what was last measured of it, and say that it is there."""
        run, facts = self._run, self._latest.facts
        if run.world.leads:
            save_adapter(self._actors.backbone, POLICY, run.folder / "adapter", {**self._about, "facts": facts})
        run.emit(Produced("adapter", f"runs/{run.run_id}/adapter", facts))

    # What it begins with ------------------------------------------------------------------------------------------

    def _read(self, dataset: Dataset) -> tuple[Sequence[Question], list[Question]]:
        """Questions that leave room for an answer, and a few held-out ones to watch."""
        spec, base = self._spec, self._actors.backbone.base
        limits = (spec.template, spec.max_tokens, base.context, spec.response_tokens)
        questions, left_out = questions_in(dataset, "train", base.tokenizer, *limits)
        if left_out:
            self._run.emit(left_out)
        if not questions:
            raise DataError(
                f"{dataset.info.name} has no prompts to practise on.", "Add some in Data, or import a file."
            )
        compares = any(isinstance(component, AnswerReward) for component in spec.rewards)
        answered = dataset.info.kind in ("demonstrations", "comparisons")
        if compares and not answered and (missing := sum(q.reference is None for q in questions)):
            raise DataError(
                f"{missing:,} of {len(questions):,} prompts of {dataset.info.name} come without a demonstration, but "
                "the reward compares answers with it.",
                "Choose a dataset of demonstrations as the prompts.",
            )
        heldout, _ = questions_in(dataset, "heldout", base.tokenizer, *limits)
        return questions, list(heldout[:CANDIDATES] or questions[:4])

    def _describe(self) -> dict[str, Any]:
        spec, body = self._spec, spec_body(self._spec)
        facts: dict[str, Any] = {"reward_model": spec.reward_model, "dataset": spec.dataset, "template": spec.template}
        facts |= {"rewards": body["rewards"]} if spec.rewards else {}
        facts |= {"gold_model": spec.gold_model} if spec.gold_model else {}
        return lineage(self._actors.source, self._run.task, self._run, **facts)

    def _inputs(self, dataset: Dataset) -> dict[str, str]:
        actors, rewards = self._actors, self._actors.rewards
        inputs = {
            "base": actors.backbone.base.fingerprint,
            "dataset": dataset.info.hash,
            "settings": settings_fingerprint(self._spec),
            **adapters_of(starting_adapter=actors.source),
        }
        for number, judge in enumerate(rewards.bench.judges.values(), 1):
            name = "reward" if judge is rewards.main else f"reward {number}"
            inputs[f"{name} model"] = judge.backbone.base.fingerprint
            inputs |= adapters_of(**{f"{name} adapter": judge.source})
        if mixed_in := getattr(self._spec, "ptx_dataset", ""):
            inputs["demonstrations"] = open_dataset(self._run.project_root, mixed_in, "demonstrations").info.hash
        for number, part in enumerate(self._spec.rewards, 1):
            if isinstance(part, PythonReward):
                inputs[f"code of component {number}"] = sha256_of(part.file)[:16]
        return inputs

    def _say_whether_gold_is_independent(self) -> None:
        main, gold = self._actors.rewards.main, self._actors.rewards.gold
        if main and gold and not disjoint(main.source, gold.source):
            text = "The gold proxy has seen prompts of the reward model, so what games the one may game the other."
            self._run.emit(Alert("warning", text, "Train the two on different halves of the prompts."))

    @torch.no_grad()
    def _explain(
        self, asked: list[Fixed], answers: list[Answer]
    ) -> list[tuple[float | None, dict[str, tuple[float, ...]]]]:
        """Score of each preview and, per token, its log-probability, its log-ratio to the reference, and `columns`."""
        spec, actors = self._spec, self._actors
        questions = [Question(f.prompt, f.ids, self._references[repr(f.prompt)]) for f in asked]
        batch = Batch.of(actors.backbone, [q.ids for q in questions], [a.tokens for a in answers])
        policy = actors.logprobs(POLICY, batch, spec.temperature).logp
        reference = actors.logprobs(REFERENCE, batch, spec.temperature).logp
        known = {"logprob": policy, "kl": policy - reference, **self._columns(batch)}
        scores = actors.rewards(questions, answers).total.tolist()
        return [
            (scores[i], {name: tuple(column[i, : len(a.tokens)].tolist()) for name, column in known.items()})
            for i, a in enumerate(answers)
        ]


class Beta:
    """The KL penalty, when it moves, as something a checkpoint can hold."""

    def __init__(self, value: float) -> None:
        self.value = value

    def adapt(self, drift: float, spec: PenalisedFields) -> None:
        self.value = adapt_kl_coef(self.value, drift, spec.kl_target, spec.kl_horizon, spec.batch_size)

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
