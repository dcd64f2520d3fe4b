"""Whether an export is the model it was made from: both answer the same texts, and their numbers are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_engine.contract.errors import EngineError, ModelError
from rlhf_engine.data.chat import render
from rlhf_engine.data.records import Comparison, Demonstration, Prompt, Record
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.heads import ScalarHead

Text = tuple[Prompt, str | None]
COMPARED = 16  # texts
FEWEST = 8
LARGEST_DIFFERENCE = 1e-4  # of logits or scores up to 10, where only the order of fp32 additions differs
LEAST_AGREEMENT = 0.95
_LOGIT_BYTES = 400_000_000

BUILT_IN = (
    ("What is the capital of France?", "It is Paris."),
    ("Write one sentence about the sea.", "The sea was calm and grey that morning."),
    ("How do I boil an egg?", "Put it into boiling water for eight minutes."),
    ("Who wrote this, and why?", "I do not know."),
    ("List three colours.", "Red, green and blue."),
    ("Is 17 a prime number?", "Yes, it is."),
    ("Once upon a time", "there was a fox who lived under a bridge."),
    ("Explain rain to a child.", "Water in the air falls down when there is too much of it."),
    ("Translate 'good morning' into German.", "Guten Morgen."),
    ("def add(a, b):", "return a + b"),
    ("Where is the lamp?", "On the table."),
    ("Give me a reason to walk.", "It clears the head."),
    ("What is 12 times 12?", "144."),
    ("Please be brief: what is a heron?", "A long-legged bird that fishes."),
    ("Tell me about yourself.", "I am a language model."),
    ("The weather today is", "better than yesterday's."),
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was measured. `share` is of argmax tokens, or for scores of pairs in the same order; 0..1."""

    what: str  # "logits" or "scores"
    texts: int
    numbers: int
    largest: float
    share: float
    origin: str
    scale: float = 1.0  # the largest of the trained model's numbers
    cancels: float = 0.0  # how large, relative to the weights, are parts of the adapter that take each other out

    @property
    def allowed(self) -> float:
        """The largest difference that is rounding in fp32: it grows with the numbers themselves, and with those that
        were added and taken away again on the way to them."""
        return LARGEST_DIFFERENCE * max(1.0, self.scale / 10) * (1 + 2 * self.cancels)

    def sentence(self) -> str:
        measured = {"logits": "next-token choices", "scores": "pairs of answers in the same order"}[self.what]
        return (
            f"Reloaded from disk and compared with the trained model on {self.texts} {self.origin}: "
            f"{self.share:.1%} of {self.numbers} {measured} agree; "
            f"largest difference of the {self.what} {self.largest:.1e}."
        )


def texts_for(records: Sequence[Record], generator: torch.Generator) -> tuple[list[Text], str]:
    """Texts to compare on, and what to call them: held-out ones, filled up with built-in ones where they are few."""
    order = torch.randperm(len(records), generator=generator).tolist()[:COMPARED]
    heldout = [(records[i].prompt, _answer(records[i])) for i in order]
    if len(heldout) >= FEWEST:
        return heldout, "held-out texts"
    return [*heldout, *BUILT_IN][:COMPARED], "held-out and built-in texts" if heldout else "built-in texts"


def sequences_for(backbone: Backbone, texts: Sequence[Text], template: str, scored: bool) -> list[list[int]]:
    """Token ids of the texts; for scores with an answer and its end token, for logits short enough to keep all of them.

    Raises:
        ModelError: too few of them can be written in this model's tokens.
    """
    vocabulary = int(backbone.base.model.get_output_embeddings().weight.shape[0])
    limit = backbone.base.context
    if not scored:
        limit = min(limit, max(16, _LOGIT_BYTES // (COMPARED * vocabulary * 4)), 96)
    sequences = []
    for prompt, answer in texts:
        answer = answer or (BUILT_IN[3][1] if scored else None)
        try:
            ids = render(backbone.base.tokenizer, prompt, answer, template).ids
        except EngineError:  # a text that quotes control tokens, or turns that the template refuses
            continue
        if ids and (len(ids) <= limit or not scored):
            sequences.append(ids[:limit])
    if len(sequences) < FEWEST and texts != list(BUILT_IN):
        return sequences_for(backbone, list(BUILT_IN), template, scored)
    if len(sequences) < FEWEST:
        raise ModelError(
            f"Only {len(sequences)} texts could be compared, {FEWEST} are needed.", "Check the chat template."
        )
    return sequences


@torch.no_grad()
def measure(
    backbone: Backbone, role: str, sequences: Sequence[Sequence[int]], head: ScalarHead | None = None
) -> list[Tensor]:
    """Logits (T, V) of each sequence, or with a head the score () of each, in fp32 on the CPU. Nothing is padded."""
    measured = []
    with backbone.acting_as(role):
        for sequence in sequences:
            ids = torch.tensor([list(sequence)], device=backbone.device)
            hidden = backbone.hidden(ids, torch.ones_like(ids))[0]
            measured.append((backbone.logits(hidden) if head is None else head(hidden[-1])).float().cpu())
    return measured


def compare(before: Sequence[Tensor], after: Sequence[Tensor], origin: str) -> Agreement:
    """How far the export is from the model it was made from.

    Raises:
        ModelError: a number that is not finite, or other shapes.
    """
    if [t.shape for t in before] != [t.shape for t in after]:
        raise ModelError("The export has another vocabulary than the trained model.", "Export the adapter instead.")
    if not all(bool(torch.isfinite(t).all()) for t in after):
        raise ModelError(
            "The exported weights give numbers that are not finite: they do not fit into this precision.",
            "Export in fp32 or bf16.",
        )
    largest = max(float((a - b).abs().max()) for a, b in zip(before, after, strict=True))
    scale = max(float(t.abs().max()) for t in before)
    if before[0].ndim == 0:
        x, y = torch.stack(list(before)), torch.stack(list(after))
        first, second = torch.triu_indices(len(x), len(x), 1)
        apart = (x[first] - x[second]).abs() > LARGEST_DIFFERENCE  # pairs that the trained model itself tells apart
        same = ((x[first] > x[second]) == (y[first] > y[second]))[apart]
        share = float(same.float().mean()) if len(same) else 1.0
        return Agreement("scores", len(x), len(same), largest, share, origin, scale)
    same = torch.cat([a.argmax(-1) == b.argmax(-1) for a, b in zip(before, after, strict=True)])
    return Agreement("logits", len(before), len(same), largest, float(same.float().mean()), origin, scale)


def require_agreement(agreement: Agreement, dtype: str, form: str) -> None:
    """Raise ModelError when the export is not the model: fp32 must be equal, a shorter format must choose alike."""
    if form == "adapter" and agreement.largest > 0:
        raise ModelError(
            f"The copied adapter is not the trained one: {agreement.what} differ by {agreement.largest:.1e}.",
            "Check the disk, and export again.",
        )
    if dtype == "fp32" and agreement.largest > agreement.allowed:
        raise ModelError(
            f"The merged model is not the trained one: {agreement.what} differ by {agreement.largest:.1e}, "
            f"and at most {agreement.allowed:.0e} is rounding.",
            "Export the adapter instead.",
        )
    if agreement.share < LEAST_AGREEMENT:
        raise ModelError(
            f"In {dtype} only {agreement.share:.1%} of {agreement.numbers} choices are those of the trained model, "
            f"and {LEAST_AGREEMENT:.0%} are required.",
            "Export in fp32.",
        )


def _answer(record: Record) -> str | None:
    if isinstance(record, Demonstration):
        return record.completion
    return record.chosen if isinstance(record, Comparison) else None
