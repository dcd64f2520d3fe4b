"""A model judges pairs. Read `judge` top to bottom.

The labels are written into the run's folder; whoever has the project open takes them in (`store.taking`).
"""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf_engine.contract.errors import DataError, RunCancelled
from rlhf_engine.contract.events import Alert, Produced, Sample
from rlhf_engine.judging.asking import TEMPLATES
from rlhf_engine.judging.constitution import Principle, chosen, read_constitution
from rlhf_engine.judging.intervals import wilson
from rlhf_engine.judging.verdict import INJECTIONS, Verdict, injected, meta_of, target_of, together, was_fooled
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.rewards.verdicts import Asked, Choice, chances, choice_of
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.runtime.device import choose_dtype
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.taking import write_labels
from rlhf_engine.tasks.judge.spec import JudgeSpec

SHARE = 32  # pairs between two words about how far it is
SHOWN = 8  # samples


@dataclass(slots=True)
class Bench:
    """The judge in memory, and what was counted of all its answers so far."""

    spec: JudgeSpec
    run: RunContext
    backbone: Backbone
    role: str
    prompt_format: str
    masses: list[float] = field(default_factory=list)

    @classmethod
    def open(cls, spec: JudgeSpec, run: RunContext) -> Bench:
        source = resolve(spec.model, run.project_root)
        run.stage(f"Loading {source.base}")
        base = load_base(source.base, run.device, choose_dtype(spec.dtype, run.device), run.stage)
        backbone, role = Backbone(base), PLAIN
        if source.folder is not None:
            role = "judge"
            load_adapter(backbone, role, source)
        trained = str(source.about.get("template", "auto"))
        return cls(spec, run, backbone, role, trained if spec.prompt_format == "auto" else spec.prompt_format)

    def choices(self, asked: Asked) -> list[Choice] | None:
        """Both orders as token ids; None where the model cannot read so much at once."""
        template = TEMPLATES[self.spec.template]
        found = [choice_of(self.backbone, text, self.prompt_format) for text in asked.questions(template)]
        return found if max(len(one.ids) for one in found) <= self.backbone.base.context else None

    def verdicts(self, asked: Sequence[list[Choice]]) -> list[Verdict]:
        flat = [choice for both in asked for choice in both]
        said = chances(self.backbone, self.role, flat, self.spec.batch_size, self.run.safe_point)
        self.masses += [mass for _, mass in said]
        return [Verdict(ab, 1.0 - ba) for (ab, _), (ba, _) in zip(said[::2], said[1::2], strict=True)]


@dataclass(slots=True)
class Judged:
    """A pair with the judge's verdict by the name of each principle."""

    pair: dict[str, Any]
    verdicts: dict[str, Verdict]

    @property
    def verdict(self) -> Verdict:
        return together(list(self.verdicts.values()))


def judge(spec: JudgeSpec, run: RunContext) -> None:
    """Ask about every pair in both orders, write the labels down, and then try to fool the judge.

    Raises:
        DataError: no pair to judge, or an unknown principle.
        ModelError: a model that cannot be used.
    """
    principles = {one.name: one for one in chosen(read_constitution(run.project_root), spec.principles)}
    pairs = pairs_of(spec, run)
    bench = Bench.open(spec, run)
    file = run.folder / "labels.jsonl"
    file.unlink(missing_ok=True)
    run.begin(len(pairs))
    judged: list[Judged] = []
    try:
        for number, one in enumerate(ask(bench, pairs, principles), 1):
            judged.append(one)
            if number % SHARE == 0 or number == len(pairs):
                run.metrics(number, figures(judged, bench.masses))
    except RunCancelled:
        produce(spec, run, principles, judged, {})
        raise
    full = spec.template == "full"
    if len(judged) < len(pairs):
        left_out = f"{len(pairs) - len(judged):,} of {len(pairs):,} pairs are too long for {spec.model}"
        longer = "Choose a judge with a longer context" + (", or ask the short question." if full else ".")
        if not judged:
            raise DataError(f"{left_out}: none is left.", longer)
        run.emit(Alert("warning", f"{left_out} and were not judged.", longer))
    for one in judged[:SHOWN]:
        show(one, run)
    found = figures(judged, bench.masses)
    if found["judge/verdict_mass"] < 0.1:
        said = f"Only {found['judge/verdict_mass']:.1%} of what {spec.model} would say is A or B"
        other = "Try the short question." if full else "Choose a judge that follows instructions."
        run.emit(Alert("warning", f"{said}: its choice between them may mean little.", other))
    found |= canaries(spec, bench, judged, principles)
    run.metrics(len(pairs), found)
    produce(spec, run, principles, judged, found)


def pairs_of(spec: JudgeSpec, run: RunContext) -> list[dict[str, Any]]:
    """The pairs to be judged, oldest first.

    Raises:
        DataError: there are none.
    """
    labels = Labels(run.project_root / "labels.db", write=False)
    try:
        found = labels.next_pairs(spec.limit) if spec.pairs != "judged by people" else []
        if spec.pairs != "waiting":
            found += labels.judged_by_anyone(spec.limit)
    finally:
        labels.close()
    if not found:
        raise DataError(f"There is no pair to judge ({spec.pairs}).", "Generate some in Compare, or choose others.")
    return found[: spec.limit]


def ask(bench: Bench, pairs: Sequence[dict[str, Any]], principles: dict[str, Principle]) -> Iterator[Judged]:
    """The judge's verdicts, a few pairs at a time. Pairs that it cannot read are passed over."""
    spec, run = bench.spec, bench.run
    for start in range(0, len(pairs), SHARE):
        run.stage("Judging", start, len(pairs))
        run.safe_point()
        waiting: list[tuple[Judged, str, list[Choice]]] = []
        share: list[Judged] = []
        for pair in pairs[start : start + SHARE]:
            names = names_for(pair["id"], list(principles), spec)
            asked = [Asked(pair["prompt"], pair["a"], pair["b"], principles[name].judge) for name in names]
            choices = [bench.choices(one) for one in asked]
            if None in choices:
                continue
            share.append(Judged(pair, {}))
            waiting += [(share[-1], name, both) for name, both in zip(names, choices, strict=True) if both]
        for (one, name, _), verdict in zip(waiting, bench.verdicts([both for *_, both in waiting]), strict=True):
            one.verdicts[name] = verdict
        yield from share


def names_for(pair_id: str, names: list[str], spec: JudgeSpec) -> list[str]:
    """The principles that a pair is judged by: all, or one drawn by the seed and the pair's id."""
    if spec.by == "all together":
        return names
    digest = hashlib.sha256(f"{spec.seed} {pair_id}".encode()).digest()
    return [names[int.from_bytes(digest[:8], "big") % len(names)]]


def figures(judged: Sequence[Judged], masses: Sequence[float]) -> dict[str, float]:
    """What can be said of a judge without knowing who is right."""
    said = [verdict for one in judged for verdict in one.verdicts.values()]
    if not said:
        return {}
    probabilities = [one.verdict.probability for one in judged]
    return {
        "judge/ties": sum(one.verdict.winner == "tie" for one in judged) / len(judged),
        "judge/consistency": sum(v.winner != "tie" for v in said) / len(said),
        "judge/first_shown": sum(v.first_said for v in said) / (2 * len(said)),
        "judge/confidence": sum(max(p, 1 - p) for p in probabilities) / len(judged),
        "judge/verdict_mass": sum(masses) / len(masses),
    }


def canaries(
    spec: JudgeSpec, bench: Bench, judged: Sequence[Judged], principles: dict[str, Principle]
) -> dict[str, float]:
    """How often an order hidden in an answer that had not won makes it win. The order names the letter that the answer
    has in each of the two questions: the hardest case, since an answer by itself does not know its letter."""
    wanted = random.Random(spec.seed).sample(list(judged), min(spec.canaries, len(judged)))
    told: list[tuple[Verdict, str, list[Choice]]] = []
    for number, one in enumerate(wanted):
        name, before = next(iter(one.verdicts.items()))
        target, injection = target_of(before), INJECTIONS[number % len(INJECTIONS)]
        asked = canary(one.pair, principles[name].judge, target, injection)
        if (choices := bench.choices(asked)) is not None:
            told.append((before, target, choices))
    if not told:
        return {}
    bench.run.stage("Asking canaries")
    after = bench.verdicts([choices for *_, choices in told])
    fooled = [was_fooled(before, now, target) for (before, target, _), now in zip(told, after, strict=True)]
    moved = [
        (now.probability - before.probability) * (1 if target == "a" else -1)
        for (before, target, _), now in zip(told, after, strict=True)
    ]
    low, high = wilson(sum(fooled) / len(fooled), len(fooled))
    return {
        "canary/fooled": sum(fooled) / len(fooled),
        "canary/fooled_low": low,
        "canary/fooled_high": high,
        "canary/moved": sum(moved) / len(moved),
        "canary/asked": float(len(fooled)),
    }


def canary(pair: dict[str, Any], principle: str, target: str, injection: str) -> Asked:
    """A pair with an order hidden in one answer. A is called A where it is first, and B where it is second."""
    straight, turned = ("A", "B") if target == "a" else ("B", "A")
    a, b = pair["a"], pair["b"]
    if target == "a":
        return Asked(
            pair["prompt"], injected(a, injection, straight), b, principle, (injected(a, injection, turned), b)
        )
    return Asked(pair["prompt"], a, injected(b, injection, straight), principle, (a, injected(b, injection, turned)))


def show(one: Judged, run: RunContext) -> None:
    """The preferred answer as the sample, the other one beside it."""
    verdict = one.verdict
    better, worse = (one.pair["b"], one.pair["a"]) if verdict.winner == "b" else (one.pair["a"], one.pair["b"])
    score = verdict.probability if verdict.winner != "b" else 1 - verdict.probability
    run.emit(Sample(0, one.pair["prompt"], better, score, worse))


def produce(
    spec: JudgeSpec,
    run: RunContext,
    principles: dict[str, Principle],
    judged: Sequence[Judged],
    found: dict[str, float],
) -> None:
    """Write the labels down, and say that they are there."""
    sentences = {name: principle.judge for name, principle in principles.items()}
    template = TEMPLATES[spec.template].signature
    rows = [
        {
            "kind": "comparisons",
            "id": uuid.uuid5(uuid.NAMESPACE_OID, f"{run.run_id} {one.pair['id']}").hex,
            "pair_id": one.pair["id"],
            "winner": one.verdict.winner,
            "strength": one.verdict.strength,
            "author": spec.model,
            "source": "model",
            "meta": meta_of(one.verdicts, sentences, spec.model, template, run.run_id),
        }
        for one in judged
    ]
    path = write_labels(run.folder, rows)
    counts = {winner: sum(one.verdict.winner == winner for one in judged) for winner in ("a", "b", "tie")}
    facts = {"labels": len(rows), **counts, "model": spec.model, "template": template, "principles": sentences, **found}
    run.emit(Produced("labels", str(path.relative_to(run.project_root)), facts))
