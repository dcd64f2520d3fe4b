"""Models side by side on the same prompts. Read `evaluate` top to bottom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_engine.contract.errors import DataError, ModelError
from rlhf_engine.contract.events import Alert, Curve, Produced
from rlhf_engine.data.batches import parts
from rlhf_engine.data.chat import answer_text, render
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.data.questions import Question, questions_in
from rlhf_engine.data.records import text_of
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.load import dtype_for, load_base, resolve
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.models.sampling import Answer, Sampler, complete
from rlhf_engine.rollouts.batch import Batch
from rlhf_engine.rollouts.groups import best_of_n_kl
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.evaluate.spec import EvaluateSpec


@dataclass(frozen=True, slots=True)
class Opened:
    """A model in memory: its backbone, the adapter it acts as, and the format its prompts are written in."""

    ref: str
    backbone: Backbone
    role: str
    template: str


@dataclass(slots=True)
class Said:
    """One answer, with what was measured of it. `drift` is log pi - log pi_ref of the whole answer, in nats."""

    prompt: str
    text: str
    tokens: int
    ended: bool
    score: float | None = None
    drift: float | None = None


def evaluate(spec: EvaluateSpec, run: RunContext) -> None:
    """Let every model answer every prompt, score and measure the answers, and keep them beside the figures."""
    dataset = open_dataset(run.project_root, spec.dataset, "prompts")  # first: it may be wrong, and is quick
    shelf = Shelf(spec, run)
    judge = shelf.judge(spec.reward_model) if spec.reward_model else None
    reference = shelf.open(spec.reference) if spec.reference else None
    facts = {}
    file = run.folder / "answers.jsonl"
    run.folder.mkdir(parents=True, exist_ok=True)
    run.begin(len(spec.models))
    with file.open("w", encoding="utf-8") as out:
        for number, ref in enumerate(spec.models, 1):
            model = shelf.open(ref)
            limits = (model.template, 1 << 30, model.backbone.base.context, spec.response_tokens)
            questions, left_out = questions_in(dataset, spec.split, model.backbone.base.tokenizer, *limits)
            if left_out:
                run.emit(left_out)
            if not questions:
                raise DataError(f"{dataset.info.name} has no prompt to ask ({spec.split}).", "Choose another dataset.")
            said = ask(spec, run, model, questions[: spec.limit], judge, reference, f"{ref} ({number})")
            for one in said:
                row = {"model": ref, "prompt": one.prompt, "text": one.text, "score": one.score, "drift": one.drift}
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
            facts[ref] = figures(spec, said)
            run.metrics(number, {f"evaluated/{name}": value for name, value in facts[ref].items()})
    if spec.reference and spec.reward_model:
        run.emit(frontier(len(spec.models), list(facts.values())))
    run.emit(Produced("evaluation", f"runs/{run.run_id}/answers.jsonl", {"models": facts}))


@torch.no_grad()
def ask(
    spec: EvaluateSpec,
    run: RunContext,
    model: Opened,
    questions: Sequence[Question],
    judge: Opened | None,
    reference: Opened | None,
    name: str,
) -> list[Said]:
    """All answers of one model, prompt by prompt."""
    rng = torch.Generator(device=run.device).manual_seed(spec.seed)
    sampler = Sampler(spec.response_tokens, spec.temperature)
    asked = [q for q in questions for _ in range(spec.samples * spec.best_of)]
    found: list[Said] = []
    for rows in parts(torch.arange(len(asked)), spec.batch_size):
        run.stage(f"Asking {name}", len(found), len(asked))
        part = [asked[i] for i in rows.tolist()]
        answers = complete(model.backbone, model.role, [q.ids for q in part], sampler, rng, run.safe_point)
        tokenizer = model.backbone.base.tokenizer
        said = [
            Said(text_of(q.prompt), answer_text(tokenizer, a.tokens), len(a.tokens), a.finish == "eos")
            for q, a in zip(part, answers, strict=True)
        ]
        if judge is not None:
            for one, score in zip(said, scores(judge, part, said), strict=True):
                one.score = score
        if reference is not None and spec.best_of == 1:
            for one, drift in zip(
                said, drifts(model, reference, part, answers, spec.temperature).tolist(), strict=True
            ):
                one.drift = drift
        found += said
    if spec.best_of > 1:
        groups = [found[i : i + spec.best_of] for i in range(0, len(found), spec.best_of)]
        found = [max(group, key=lambda one: one.score or 0.0) for group in groups]
    return found


def scores(judge: Opened, asked: list[Question], said: list[Said]) -> list[float]:
    """What the reward model gives each answer, read as text in the format it was trained on."""
    tokenizer = judge.backbone.base.tokenizer
    texts = [
        render(tokenizer, question.prompt, one.text, judge.template).ids
        for question, one in zip(asked, said, strict=True)
    ]
    found: list[float] = judge.backbone.score(judge.role, texts).tolist()
    return found


def drifts(
    model: Opened, reference: Opened, asked: list[Question], answers: list[Answer], temperature: float
) -> Tensor:
    """log pi - log pi_ref of whole answers, whose mean estimates the KL per answer. (N,), nats."""
    batch = Batch.of(model.backbone, [q.ids for q in asked], [a.tokens for a in answers])

    def logp(of: Opened) -> Tensor:
        with of.backbone.acting_as(of.role):
            return token_logprobs(of.backbone, batch.ids, batch.attention, batch.mask, temperature).logp.sum(1)

    return logp(model) - logp(reference)


def figures(spec: EvaluateSpec, said: list[Said]) -> dict[str, float]:
    """The means over all answers of one model; the drift of best of n is its bound."""
    count = len(said)
    found = {
        "answers": float(count),
        "length": sum(one.tokens for one in said) / count,
        "ended": sum(one.ended for one in said) / count,
    }
    scored = [one.score for one in said if one.score is not None]
    if scored:
        mean = sum(scored) / len(scored)
        found["score"] = mean
        found["score_std"] = (sum((s - mean) ** 2 for s in scored) / max(1, len(scored) - 1)) ** 0.5
    drifted = [one.drift for one in said if one.drift is not None]
    if drifted:
        found["kl_sequence"] = sum(drifted) / len(drifted)
    if spec.best_of > 1:
        found["kl_sequence"] = best_of_n_kl(spec.best_of)
    return found


def frontier(step: int, found: list[dict[str, float]]) -> Curve:
    """What each model gained against how far it went, from the least drifted on; `model` counts them from 1."""
    points = sorted((row["kl_sequence"], row["score"], float(number)) for number, row in enumerate(found, 1))
    kl, score, model = zip(*points, strict=True)
    return Curve(step, "evaluated/frontier", {"kl": kl, "score": score, "model": model})


class Shelf:
    """The models of an evaluation. Those on one base share it."""

    def __init__(self, spec: EvaluateSpec, run: RunContext) -> None:
        self._spec, self._run = spec, run
        self._bases: dict[str, Backbone] = {}
        self._opened: dict[str, Opened] = {}

    def open(self, ref: str) -> Opened:
        """Raises ModelError where the reference's tokenizer is another one: its log-probabilities would be of other
        tokens."""
        if ref not in self._opened:
            source = resolve(ref, self._run.project_root)
            if source.base not in self._bases:
                self._run.stage(f"Loading {source.base}")
                dtype = dtype_for(self._spec.dtype, source.base, self._run.device, self._run.stage)
                base = load_base(source.base, self._run.device, dtype, self._run.stage)
                if base.endings.note:
                    self._run.emit(Alert("warning", base.endings.note, base.endings.hint))
                self._bases[source.base] = Backbone(base)
            backbone = self._bases[source.base]
            role = PLAIN
            if source.folder is not None:
                role = f"model{len(self._opened)}"
                load_adapter(backbone, role, source)
            trained = str(source.about.get("template", "auto"))
            template = trained if self._spec.template == "auto" else self._spec.template
            self._opened[ref] = Opened(ref, backbone, role, template)
        opened = self._opened[ref]
        if self._spec.reference and ref in self._spec.models:
            self._require_same_tokens(opened)
        return opened

    def judge(self, ref: str) -> Opened:
        """Raises ModelError where it is no reward model."""
        if resolve(ref, self._run.project_root).about.get("task") != "reward":
            raise ModelError(f"{ref} is not a reward model.", "Choose the result of a reward run.")
        return self.open(ref)

    def _require_same_tokens(self, model: Opened) -> None:
        reference = self._opened.get(self._spec.reference)
        if reference is None or reference.backbone is model.backbone:
            return
        mine, theirs = (o.backbone.base.tokenizer.get_vocab() for o in (model, reference))
        if mine != theirs:
            raise ModelError(
                f"{model.ref} and the reference {reference.ref} have different tokenizers: no drift can be measured.",
                "Choose a reference of the same family, or none.",
            )
