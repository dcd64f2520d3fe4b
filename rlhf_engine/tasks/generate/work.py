"""Writing answers: several models take turns, one token each, so that all of them are seen writing at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from rlhf_engine.contract.errors import DataError, ModelError, RunCancelled
from rlhf_engine.contract.events import Alert, Produced, Text
from rlhf_engine.data.chat import render
from rlhf_engine.data.records import Prompt, PromptRecord, fault_in
from rlhf_engine.models.load import resolve
from rlhf_engine.models.sampling import Sampler, steps
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.generate.loaded import Opened, forget, open_models, settle
from rlhf_engine.tasks.generate.spec import GenerateSpec
from rlhf_engine.tasks.generate.writing import Vocabulary, Writing

__all__ = ["forget", "generate"]

SLOTS = 16  # answers that one model writes at a time
QUIET = 1 / 30  # seconds between two pieces of one answer


@dataclass(frozen=True, slots=True)
class Question:
    """One answer that is to be written. `model` and `prompt` count from 0; `ids` are the prompt's."""

    answer: int
    model: int
    prompt: int
    ids: list[int]
    writing: Writing


def generate(spec: GenerateSpec, run: RunContext) -> None:
    """Write every answer of `spec`, each under its own number, and score them where a reward model is given.

    Raises:
        DataError: a prompt that leaves no room for an answer, or says nothing.
        ModelError, HubError: a model that cannot be used.
    """
    prompts = [_checked(prompt, number) for number, prompt in enumerate(spec.prompts, 1)]
    _require_judge(spec, run)
    opened = open_models([*spec.models, *([spec.reward_model] if spec.reward_model else [])], run, spec.dtype)
    try:
        written: list[Question] = []
        try:
            asked = [_questions(spec, number, opened[ref], prompts, run) for number, ref in enumerate(spec.models)]
            written = sorted((q for of_model in asked for q in of_model), key=lambda q: q.answer)
            writers = [
                _write(spec, opened[spec.models[number]], of_model, _generator(spec, number, opened), run)
                for number, of_model in enumerate(asked)
            ]
            _take_turns(writers, written, run)
        except RunCancelled:
            for question in written:
                question.writing.end("")
                _tell(question, run)
            _produce(spec, written, {}, run)
            raise
        scores = _scores(spec, opened, prompts, written, run) if spec.reward_model else {}
        _produce(spec, written, scores, run)
    finally:
        settle()


def _require_judge(spec: GenerateSpec, run: RunContext) -> None:
    """Raise ModelError unless the reward model is one, before anything is loaded."""
    if spec.reward_model and resolve(spec.reward_model, run.project_root).about.get("task") != "reward":
        raise ModelError(f"{spec.reward_model} is not a reward model.", "Choose the result of a reward run.")


def _checked(prompt: Any, number: int) -> Prompt:
    kept: Prompt = list(prompt) if isinstance(prompt, tuple) else prompt
    if fault := fault_in(PromptRecord(kept)):
        raise DataError(f"Prompt {number} cannot be used: {fault[1]}.")
    return kept


def _questions(
    spec: GenerateSpec, model: int, opened: Opened, prompts: list[Prompt], run: RunContext
) -> list[Question]:
    """What one model is to answer. Prompts that are too long for it are left out and counted.

    Raises:
        DataError: all of them are.
    """
    base = opened.backbone.base
    mine = [model] if spec.own_prompts else list(range(len(prompts)))
    trained = str(opened.source.about.get("template", "auto"))
    template = trained if spec.template == "auto" else spec.template
    rendered = {number: render(base.tokenizer, prompts[number], template=template).ids for number in mine}
    for number, ids in rendered.items():
        if not ids:
            raise DataError(f"Prompt {number + 1} is no token at all for {opened.source.ref}.", "Write something.")
    limit = base.context - 1
    fitting = [number for number in mine if len(rendered[number]) <= limit]
    longest = max(len(ids) for ids in rendered.values())
    if not fitting:
        what = "The prompt has" if len(mine) == 1 else f"All {len(mine)} prompts are too long: the longest has"
        raise DataError(
            f"{what} {longest} tokens, but {opened.source.ref} reads at most {base.context}, its answer included.",
            "Shorten it, or leave out examples or earlier turns.",
        )
    if len(fitting) < len(mine):
        left_out = f"{len(mine) - len(fitting)} of {len(mine)} prompts have more than {limit} tokens (up to {longest})"
        run.emit(Alert("warning", f"{left_out} and are not answered by {opened.source.ref}."))
    vocabulary = Vocabulary(base.tokenizer)
    found = []
    for number in fitting:
        for sample in range(spec.samples):
            slot = model if spec.own_prompts else model * len(prompts) + number
            answer = slot * spec.samples + sample
            writing = Writing(base.tokenizer, vocabulary, spec.stop, base.eos_ids)
            found.append(Question(answer, model, number, rendered[number], writing))
    return found


def _generator(spec: GenerateSpec, model: int, opened: dict[str, Opened]) -> torch.Generator:
    """Every model draws the same random numbers, so that differences come from the models; a model that is asked
    twice draws others the second time."""
    ref = spec.models[model]
    again = spec.models[:model].count(ref)
    return torch.Generator(device=opened[ref].backbone.device).manual_seed(spec.seed * 1_000_003 + again)


def _write(
    spec: GenerateSpec, opened: Opened, questions: list[Question], generator: torch.Generator, run: RunContext
) -> Iterator[None]:
    """Write the answers of one model; pauses after every token."""
    sampler = Sampler(spec.max_new_tokens, spec.temperature, spec.top_p, spec.top_k)
    drawn = steps(
        opened.backbone,
        opened.role,
        [question.ids for question in questions],
        sampler,
        generator,
        spec.alternatives,
        stopped=lambda row: questions[row].writing.ended,
        slots=SLOTS,
    )
    before: set[int] = set()
    for step in drawn:
        for row, token, logprob, top in zip(step.rows, step.tokens, step.logprobs, step.top, strict=True):
            questions[row].writing.push(token, logprob, top)
            _tell(questions[row], run)
        for row in before - set(step.rows):
            _cut_off(questions[row], run)
        before = set(step.rows)
        yield
    for question in questions:
        _cut_off(question, run)


def _cut_off(question: Question, run: RunContext) -> None:
    """Nothing more will come of this answer: where it is not at its end, its length was."""
    question.writing.end("length")
    _tell(question, run)


def _take_turns(writers: list[Iterator[None]], questions: list[Question], run: RunContext) -> None:
    done = -1
    while writers:
        for writer in list(writers):
            run.safe_point()
            try:
                next(writer)
            except StopIteration:
                writers.remove(writer)
        finished = sum(question.writing.ended for question in questions)
        if finished != done:
            done = finished
            run.stage("Writing", done, len(questions))


def _tell(question: Question, run: RunContext) -> None:
    """Send what is new, unless this answer spoke a moment ago and is not at its end."""
    writing = question.writing
    if writing.told:
        return
    now = time.monotonic()
    if not writing.ended and now - writing.last_told < QUIET:
        return
    piece, tokens = writing.take()
    if piece or tokens or writing.ended:
        writing.last_told = now
        writing.told = writing.ended
        run.emit(Text(question.answer, piece, tokens, writing.finish))


@torch.no_grad()
def _scores(
    spec: GenerateSpec, opened: dict[str, Opened], prompts: list[Prompt], written: list[Question], run: RunContext
) -> dict[int, float]:
    """The reward model's number for each answer, read as it was trained to read: the text, then the end token.

    An empty answer is an answer too. Only one that does not fit into the reward model's context has no number.
    """
    judge = opened[spec.reward_model]
    run.stage("Scoring")
    base = judge.backbone.base
    template = str(judge.source.about.get("template", "auto"))
    sequences = {q.answer: render(base.tokenizer, prompts[q.prompt], q.writing.text, template).ids for q in written}
    fitting = {answer: ids for answer, ids in sequences.items() if len(ids) <= base.context}
    if not fitting:
        return {}
    run.safe_point()
    scores = judge.backbone.score(judge.role, list(fitting.values()), micro_batch=SLOTS)
    return dict(zip(fitting, scores.tolist(), strict=True))


def _produce(spec: GenerateSpec, written: list[Question], scores: dict[int, float], run: RunContext) -> None:
    answers = [
        {
            "answer": q.answer,
            "model": spec.models[q.model],
            "prompt": q.prompt,
            "text": q.writing.text,
            "tokens": q.writing.tokens,
            "logprob_sum": round(q.writing.logprob_sum, 4),
            "score": scores.get(q.answer),
            "finish": q.writing.finish,
        }
        for q in written
    ]
    run.emit(Produced("answers", "", {"answers": answers}))
