"""A language model as a judge, by constrained choice: only the probabilities of its two possible verdicts count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.data.batches import right_pad
from rlhf_engine.data.chat import render
from rlhf_engine.judging.asking import VERDICTS, Template, comparison
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.tensors import last_index


@dataclass(frozen=True, slots=True)
class Choice:
    """A question as token ids, up to where the two verdicts part, and the token with which each of them goes on."""

    ids: list[int]
    first: int
    second: int


def choice_of(backbone: Backbone, question: str, prompt_format: str) -> Choice:
    """A question with "A" and "B" as its two answers, written as the model would write them.

    Raises:
        ModelError: the tokenizer makes the same tokens of both, or one the beginning of the other.
        DataError: text that would turn into control tokens whatever is done.
    """
    tokenizer = backbone.base.tokenizer
    one, two = (render(tokenizer, question, verdict, prompt_format).ids for verdict in VERDICTS)
    place = next((at for at, (x, y) in enumerate(zip(one, two, strict=False)) if x != y), None)
    if place is None:
        raise ModelError(
            f"The tokenizer of {backbone.base.ref} cannot tell {VERDICTS[0]} from {VERDICTS[1]}.",
            "Choose another model as the judge.",
        )
    return Choice(one[:place], one[place], two[place])


@torch.no_grad()
def chances(
    backbone: Backbone, role: str, choices: Sequence[Choice], at_once: int, between: Callable[[], None] = lambda: None
) -> list[tuple[float, float]]:
    """For each question the probability of the first verdict where only the two can be said, and the share of all
    probability that the two have together: near 0 the model would have said something else.

    With l the log-probabilities, P = e^l_A / (e^l_A + e^l_B) = sigmoid(l_A - l_B).
    """
    found: list[tuple[float, float]] = []
    with backbone.acting_as(role):
        for start in range(0, len(choices), at_once):
            between()
            part = choices[start : start + at_once]
            ids, mask = right_pad([choice.ids for choice in part], backbone.base.pad_id)
            ids, mask = ids.to(backbone.device), mask.to(backbone.device)
            rows = torch.arange(len(part), device=backbone.device)
            logp = backbone.logits(backbone.hidden(ids, mask.long())[rows, last_index(mask)]).log_softmax(-1)
            first = logp[rows, torch.tensor([choice.first for choice in part], device=backbone.device)]
            second = logp[rows, torch.tensor([choice.second for choice in part], device=backbone.device)]
            both = torch.stack([torch.sigmoid((first - second).double()), first.double().exp() + second.double().exp()])
            found += [(chance, mass) for chance, mass in both.T.tolist()]
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """Two answers to one prompt, to be judged by one principle. `first` and `second` are A and B where A is first.

    Where an answer differs by the place it is shown in (a canary), `swapped` holds both as they are with B first.
    """

    prompt: str
    first: str
    second: str
    principle: str
    swapped: tuple[str, str] | None = None

    def questions(self, template: Template) -> tuple[str, str]:
        """In both orders: A first, then B first."""
        a, b = self.swapped or (self.first, self.second)
        return (
            comparison(template, self.principle, self.prompt, self.first, self.second),
            comparison(template, self.principle, self.prompt, b, a),
        )
