"""A course of training: a fixed set of examples, gone through in shuffled batches for some epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from rlhf_engine.contract.events import Produced
from rlhf_engine.contract.training import CourseFields
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.models.adapters import KeptAdapter, save_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import ModelSource
from rlhf_engine.models.opening import adapters_of, lineage, settings_fingerprint
from rlhf_engine.runtime.context import RunContext, scheduled
from rlhf_engine.runtime.order import Mixture, Order


class Course:
    """Where a run over examples stands, what its checkpoints hold, and what is due when. The loop is the task's own:

        for step, rate, rows in course.steps():
            values = learn(..., [examples[i] for i in rows], ..., rate)
            if course.evaluates(step): values |= evaluate(...)
            course.report(step, rate, values)
            if course.shows(step): ...
        course.produce("adapter", facts)

    `role` is the adapter that is trained and becomes the result; `examples` is how many there are, or the mixture that
    they are drawn by; `kept` is whatever else a checkpoint must hold.
    """

    def __init__(
        self,
        spec: CourseFields,
        run: RunContext,
        backbone: Backbone,
        role: str,
        optimizer: torch.optim.Optimizer,
        examples: int | Mixture,
        dataset: Dataset,
        source: ModelSource,
        *,
        about: dict[str, Any] | None = None,
        inputs: dict[str, str] | None = None,
        **kept: Any,
    ) -> None:
        self._spec, self._run, self._backbone, self._role = spec, run, backbone, role
        self.order = Order(examples, spec.batch_size, run.rng) if isinstance(examples, int) else examples
        self.total = max(1, round(spec.epochs * self.order.batches_per_epoch))
        whose = {"labels": said} if (said := dataset.info.facts.get("labels")) else {}  # by people or by models
        facts = {"dataset": dataset.info.ref, "template": spec.template, **whose, **(about or {})}
        self._about = lineage(source, run.task, run, **facts)
        run.keep(
            inputs={
                "base": backbone.base.fingerprint,
                "dataset": dataset.info.hash,
                "settings": settings_fingerprint(spec),
                **adapters_of(starting_adapter=source),
                **(inputs or {}),
            },
            every=spec.checkpoint_every,
            newest=spec.keep_checkpoints,
            result=lambda: save_adapter(backbone, role, run.folder / "adapter", self._about),
            **{role: KeptAdapter(backbone, role)},
            optimizer=optimizer,
            order=self.order,
            **kept,
        )

    def steps(self) -> Iterator[tuple[int, float, list[int]]]:
        """(step from 1, learning rate, the batch's examples by number), with a checkpoint after each that is due."""
        spec = self._spec
        for step in self._run.steps(self.total):
            yield step, scheduled(spec.learning_rate, spec.schedule, spec.warmup, step, self.total), self.order.next()

    def begins_at(self, values: dict[str, float]) -> None:
        """Say, as step 0, what was measured before the first step: the point from which curves go up or down."""
        if values:
            self._run.metrics(0, values)

    def evaluates(self, step: int) -> bool:
        """Whether the held-out examples are due: every so many steps, and after the last."""
        return step == self.total or bool(self._spec.evaluate_every and step % self._spec.evaluate_every == 0)

    def shows(self, step: int) -> bool:
        """Whether samples are due: every so many steps, and after the last; never where a person wants none."""
        every = self._spec.sample_every
        return bool(every and (step % every == 0 or step == self.total))

    def report(self, step: int, rate: float, values: dict[str, float]) -> None:
        """Say what the step measured, with its learning rate and how far the epochs have come."""
        where = {"train/learning_rate": rate, "train/epoch": step / self.order.batches_per_epoch}
        self._run.metrics(step, values | where)

    def produce(self, what: str, facts: dict[str, Any]) -> None:
        """Save the result with what is known of it, and say that it is there."""
        run = self._run
        if run.world.leads:
            save_adapter(self._backbone, self._role, run.folder / "adapter", {**self._about, "facts": facts})
        run.emit(Produced(what, f"runs/{run.run_id}/adapter", facts))
