"""Answer, criticise, revise, compare. Read `constitution` top to bottom; `revise` is the same for one prompt."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from rlhf_engine.contract.errors import DataError, RunCancelled
from rlhf_engine.contract.events import Alert, Produced, Sample, Text
from rlhf_engine.data.chat import answer_text, render
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.data.records import Demonstration, Prompt, text_of
from rlhf_engine.judging.asking import TEMPLATES, critique, revision
from rlhf_engine.judging.constitution import Principle, chosen, read_constitution
from rlhf_engine.judging.verdict import Verdict, meta_of, together
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.sampling import Sampler, complete
from rlhf_engine.rewards.verdicts import Asked, chances, choice_of
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.runtime.device import choose_dtype
from rlhf_engine.store.taking import write_labels
from rlhf_engine.tasks.constitution.spec import ConstitutionSpec, ReviseSpec, RevisionFields

SHOWN = 8


@dataclass(slots=True)
class Draft:
    """One prompt on its way: what was answered first, what was said against it, and what it is now."""

    prompt: Prompt
    drawn: list[Principle]
    first: str = ""
    criticism: list[str] = field(default_factory=list)
    now: str = ""
    verdicts: dict[str, Verdict] = field(default_factory=dict)  # that the revision is better than the first answer

    @property
    def whole(self) -> bool:
        """Whether there is something to learn: two texts that are not the same."""
        return bool(self.first.strip() and self.now.strip()) and self.first.strip() != self.now.strip()

    @property
    def verdict(self) -> Verdict | None:
        return together(list(self.verdicts.values())) if self.verdicts else None


class Desk:
    """The model in memory: it writes, and it compares."""

    def __init__(self, spec: RevisionFields, run: RunContext) -> None:
        source = resolve(spec.model, run.project_root)
        run.stage(f"Loading {source.base}")
        base = load_base(source.base, run.device, choose_dtype(spec.dtype, run.device), run.stage)
        self.backbone, self.role = Backbone(base), PLAIN
        if source.folder is not None:
            self.role = "writer"
            load_adapter(self.backbone, self.role, source)
        trained = str(source.about.get("template", "auto"))
        self.format = trained if spec.prompt_format == "auto" else spec.prompt_format
        self.too_long = 0
        self._spec, self._run = spec, run
        self._sampler = Sampler(spec.response_tokens, spec.temperature)
        self._rng = torch.Generator(device=run.device).manual_seed(spec.seed)

    def write(self, asked: Sequence[Prompt]) -> list[str]:
        """What the model says to each prompt; "" where it cannot read the prompt and write as much as is wanted."""
        tokenizer, room = self.backbone.base.tokenizer, self.backbone.base.context - 1
        ids = [render(tokenizer, prompt, template=self.format).ids for prompt in asked]
        fitting = [n for n, one in enumerate(ids) if 0 < len(one) <= room]
        self.too_long += len(ids) - len(fitting)
        said = complete(
            self.backbone,
            self.role,
            [ids[n] for n in fitting],
            self._sampler,
            self._rng,
            self._run.safe_point,
            slots=self._spec.batch_size,
        )
        texts = [""] * len(ids)
        for n, answer in zip(fitting, said, strict=True):
            texts[n] = answer_text(tokenizer, answer.tokens).strip()
        return texts

    def compare(self, draft: Draft) -> dict[str, Verdict]:
        """By each principle that was used, how probable it is that the revision is better; in both orders."""
        found = {}
        template = TEMPLATES[self._spec.template]
        for principle in draft.drawn:
            asked = Asked(text_of(draft.prompt), draft.now, draft.first, principle.judge)
            choices = [choice_of(self.backbone, text, self.format) for text in asked.questions(template)]
            if max(len(choice.ids) for choice in choices) > self.backbone.base.context:
                self.too_long += 1
                continue
            (ab, _), (ba, _) = chances(self.backbone, self.role, choices, 2, self._run.safe_point)
            found[principle.name] = Verdict(ab, 1.0 - ba)
        return found


def constitution(spec: ConstitutionSpec, run: RunContext) -> None:
    """Revise the answers to all prompts, and keep what came of it: a dataset, and labels for the project to take in.

    Raises:
        DataError: no prompt, an unknown principle, or a model that wrote nothing of use.
    """
    dataset = open_dataset(run.project_root, spec.dataset, "prompts")
    principles = chosen(read_constitution(run.project_root), spec.principles)
    prompts = [record.prompt for record in dataset.records("train")][: spec.limit]
    if not prompts:
        raise DataError(f"{dataset.info.name} has no prompts to answer.", "Choose another dataset.")
    desk = Desk(spec, run)
    run.begin(len(prompts))
    done: list[Draft] = []
    try:
        for start in range(0, len(prompts), spec.batch_size):
            run.stage("Revising", start, len(prompts))
            run.safe_point()
            part = prompts[start : start + spec.batch_size]
            done += through(desk, spec, [Draft(one, drawn(principles, spec, start + n)) for n, one in enumerate(part)])
            run.metrics(len(done), figures(done))
    except RunCancelled:
        if any(draft.whole for draft in done):
            keep(spec, run, done, desk)
        raise
    keep(spec, run, done, desk)


def revise(spec: ReviseSpec, run: RunContext) -> None:
    """One prompt, told step by step: text 0 is the answer, then criticism and revision of each round in turn."""
    principles = chosen(read_constitution(run.project_root), spec.principles)
    desk = Desk(spec, run)
    number = 0

    def tell(text: str) -> None:
        nonlocal number
        run.emit(Text(number, text, finish="eos"))
        number += 1

    (draft,) = through(desk, spec, [Draft(spec.prompt, drawn(principles, spec, 0))], run, tell)
    told: dict[str, Any] = {"principles": [principle.name for principle in draft.drawn], "whole": draft.whole}
    if desk.too_long:
        said = f"{spec.model} reads at most {desk.backbone.base.context} tokens, and a step needed more."
        run.emit(Alert("warning", said, shorten(spec)))
    if draft.verdict is not None:
        verdict = draft.verdict
        winner = {"a": "revision", "b": "first", "tie": "tie"}[verdict.winner]
        told |= {"winner": winner, "probability": verdict.probability, "ab": verdict.ab, "ba": verdict.ba}
    run.emit(Produced("revision", "", told))


def shorten(spec: RevisionFields) -> str:
    """What to try where a model cannot read as much as is asked of it."""
    short = "Ask the short question, allow" if spec.template == "full" else "Allow"
    return f"{short} shorter texts, shorten the principles, or choose a model with a longer context."


def drawn(principles: Sequence[Principle], spec: RevisionFields, number: int) -> list[Principle]:
    """A principle for each round; none comes twice before all have come."""
    draw = random.Random(f"{spec.seed} {number}")
    found: list[Principle] = []
    while len(found) < spec.rounds:
        found += draw.sample(list(principles), min(len(principles), spec.rounds - len(found)))
    return found


def through(
    desk: Desk,
    spec: RevisionFields,
    drafts: list[Draft],
    run: RunContext | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Draft]:
    """Take drafts through all steps. A text that is empty leaves its draft where it was."""

    def stage(text: str) -> None:
        if run is not None:
            run.stage(text)

    stage("Answering")
    for draft, text in zip(drafts, desk.write([draft.prompt for draft in drafts]), strict=True):
        draft.first = draft.now = text
        tell(text)
    template = TEMPLATES[spec.template]
    for turn in range(spec.rounds):
        stage("Criticising")
        going = [draft for draft in drafts if draft.now]
        asked = [critique(template, draft.drawn[turn].critique, text_of(draft.prompt), draft.now) for draft in going]
        for draft, text in zip(going, desk.write(asked), strict=True):
            draft.criticism.append(text)
            tell(text)
        stage("Revising")
        asked = [
            revision(template, draft.drawn[turn].revise, text_of(draft.prompt), draft.now, draft.criticism[-1])
            for draft in going
        ]
        for draft, text in zip(going, desk.write(asked), strict=True):
            draft.now = text or draft.now
            tell(text)
    stage("Comparing")
    for draft in drafts:
        if draft.whole:
            draft.verdicts = desk.compare(draft)
    return drafts


def figures(done: Sequence[Draft]) -> dict[str, float]:
    compared = [draft.verdict for draft in done if draft.verdict is not None]
    found = {"revision/changed": sum(draft.whole for draft in done) / len(done)}
    if compared:
        found["revision/preferred"] = sum(verdict.winner == "a" for verdict in compared) / len(compared)
        found["revision/ties"] = sum(verdict.winner == "tie" for verdict in compared) / len(compared)
    return found


def keep(spec: ConstitutionSpec, run: RunContext, done: Sequence[Draft], desk: Desk) -> None:
    """A dataset of revised answers, and pairs with the model's labels."""
    whole = [draft for draft in done if draft.whole]
    if not whole and desk.too_long:
        said = f"{desk.too_long:,} texts were more than the {desk.backbone.base.context} tokens that {spec.model} reads"
        raise DataError(f"{said}: none of its {len(done):,} answers was changed.", shorten(spec))
    if not whole:
        raise DataError(
            f"{spec.model} changed none of its {len(done):,} answers.",
            "Choose a model that follows instructions, or allow longer texts.",
        )
    if desk.too_long:
        said = f"{desk.too_long:,} texts were more than the {desk.backbone.base.context} tokens that {spec.model} reads"
        run.emit(Alert("warning", f"{said}, and were left out.", shorten(spec)))
    for draft in whole[:SHOWN]:
        score = draft.verdict.probability if draft.verdict else None
        run.emit(Sample(0, text_of(draft.prompt), draft.now, score, draft.first))
    told = {"constitution": {p.name: p.revise for draft in whole for p in draft.drawn}, "model": spec.model}
    liked = [d for d in whole if spec.demonstrations == "all" or (d.verdict is not None and d.verdict.winner == "a")]
    if spec.demonstrations != "none" and liked:
        records = [Demonstration(draft.prompt, draft.now, "model") for draft in liked]
        info = freeze(run.project_root, "demonstrations", records, "Revised answers", run.run_id, told)
        run.emit(Produced("dataset", f"datasets/{info.hash}", {"kind": "demonstrations", "rows": info.rows, **told}))
    elif spec.demonstrations != "none":
        run.emit(Alert("info", "No revised answer was preferred to the first one: there are no demonstrations."))
    if spec.comparisons:
        rows = [row for number, draft in enumerate(whole) if draft.verdict for row in facts(spec, run, draft, number)]
        path = write_labels(run.folder, rows)
        run.emit(Produced("labels", str(path.relative_to(run.project_root)), {"labels": len(rows) // 2, **told}))


def facts(spec: ConstitutionSpec, run: RunContext, draft: Draft, number: int) -> list[dict[str, Any]]:
    """A pair and its judgement. Which text is A is drawn: whoever judges it again must not learn that A is new."""
    pair = uuid.uuid5(uuid.NAMESPACE_OID, f"{run.run_id} {number}").hex
    straight = int(pair, 16) % 2 == 0
    a, b = (draft.now, draft.first) if straight else (draft.first, draft.now)
    verdicts = draft.verdicts if straight else {n: Verdict(1 - v.ba, 1 - v.ab) for n, v in draft.verdicts.items()}
    titles = ("revised answer", "first answer") if straight else ("first answer", "revised answer")
    sides = {side: {"model": spec.model, "title": title} for side, title in zip("ab", titles, strict=True)}
    verdict = together(list(verdicts.values()))
    sentences = {principle.name: principle.judge for principle in draft.drawn}
    who = {"source": "model", "author": spec.model}
    meta = {"from": "constitution", "run": run.run_id, "criticism": draft.criticism, **sides}
    return [
        {"kind": "pairs", "id": pair, "prompt": draft.prompt, "a": a, "b": b, "meta": meta, **who},
        {
            "kind": "comparisons",
            "id": uuid.uuid5(uuid.NAMESPACE_OID, f"{run.run_id} {number} label").hex,
            "pair_id": pair,
            "winner": verdict.winner,
            "strength": verdict.strength,
            "meta": meta_of(verdicts, sentences, spec.model, TEMPLATES[spec.template].signature, run.run_id),
            **who,
        },
    ]
