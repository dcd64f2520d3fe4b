"""Demonstrations mixed into each step (PTX), so that a rewarded policy does not forget what it had learned."""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.online import SurrogateFields
from rlhf_engine.data.batches import padded_with_answers
from rlhf_engine.data.chat import Rendered, render
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.data.records import Demonstration
from rlhf_engine.data.within import few_or_at_use
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.rollouts.actors import POLICY
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.runtime.order import Order
from rlhf_engine.tensors import masked_mean


class Imitation:
    """A minibatch of demonstrations for each minibatch of answers. `order` is part of a checkpoint.

    Source: Ouyang et al. 2022 (InstructGPT), equation 2, the last term; per token instead of per text.
    """

    def __init__(self, spec: SurrogateFields, run: RunContext, backbone: Backbone) -> None:
        self._spec, self._run, self._backbone = spec, run, backbone
        self.dataset = open_dataset(run.project_root, spec.ptx_dataset, "demonstrations")
        tokenizer = backbone.base.tokenizer
        rows = self.dataset.rows("train")

        def rendered(number: int) -> Rendered:
            record = rows[number]
            assert isinstance(record, Demonstration)
            return render(tokenizer, record.prompt, record.completion, spec.template)

        limits = (spec.max_tokens, backbone.base.context, "demonstrations to mix in")
        self._rows, left_out = few_or_at_use(len(rows), rendered, lambda row: len(row.ids), *limits)
        if left_out:
            run.emit(left_out)
        if not self._rows:
            raise DataError(f"{self.dataset.info.name} has no demonstrations to mix in.", "Choose another dataset.")
        self.order = Order(len(self._rows), spec.minibatch_size, run.rng)

    def next(self) -> list[Rendered]:
        """The demonstrations for one minibatch."""
        return [self._rows[i] for i in self.order.next()]

    def backward(self, batch: list[Rendered]) -> Tensor:
        """Add the gradient of the weighted loss; the loss itself, nats per token, ()."""
        run, backbone = self._run, self._backbone
        total = float(sum(sum(row.completion_mask) for row in batch))
        mine = run.world.share(batch)
        loss = torch.zeros((), device=run.device)
        size = run.at_once(self._spec.micro_batch_size, len(mine))
        for start in range(0, len(mine), size):
            part = mine[start : start + size]
            ids, attention, mask = (t.to(run.device) for t in padded_with_answers(part, backbone.base.pad_id))
            with backbone.acting_as(POLICY):
                logp = token_logprobs(backbone, ids, attention, mask).logp
            nll = -masked_mean(logp, mask, total)
            (self._spec.ptx_coef * nll).backward()
            loss += nll.detach()
        run.world.sum_([loss])
        return loss
