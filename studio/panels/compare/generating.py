"""Pairs made now: a model (or two) answers prompts twice, and every two answers become a pair as soon as both end."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from rlhf_engine.choosing.likeness import least_alike
from rlhf_engine.contract.errors import DataError, EngineError
from rlhf_engine.contract.events import Envelope, Produced, RunFinished, RunStarted, Stage, Text
from rlhf_engine.data.records import Prompt, text_of
from rlhf_engine.tasks.generate.spec import GenerateSpec

if TYPE_CHECKING:
    from studio.session import Session

PROJECT = "labels"  # the prompts of this project, rather than a dataset's


@dataclass(frozen=True, slots=True)
class Wish:
    """What pairs are wanted. `second` is empty for two answers of the same model."""

    first: str
    second: str
    prompts: str  # PROJECT or "dataset:<hash>"
    number: int
    temperature: float
    max_new_tokens: int
    seed: int
    answers: int = 2  # that each prompt gets of one model, of which two are shown
    judge: str = ""  # a reward model, by which the best is set against the worst; else the two least alike


def read_prompts(root: Path, wish: Wish) -> list[Prompt]:
    """As many prompts as were wished for, drawn by the seed. For any thread.

    Raises:
        DataError: there are none.
        StoreError: the project cannot be read.
    """
    from rlhf_engine.data.datasets import open_dataset
    from rlhf_engine.store.labels import Labels

    records: list[Any]
    if wish.prompts == PROJECT:
        labels = Labels(root / "labels.db", write=False)
        try:
            records = list(labels.records("prompts"))
        finally:
            labels.close()
    else:
        records = list(open_dataset(root, wish.prompts).records())
    distinct = {text_of(record.prompt): record.prompt for record in records}
    if not distinct:
        raise DataError("There are no prompts to answer.", "Add some in Data, or choose another set.")
    found = list(distinct.values())
    return random.Random(wish.seed).sample(found, min(wish.number, len(found)))


def spec_of(wish: Wish, prompts: list[Prompt], device: str) -> GenerateSpec:
    """Raises SpecError for settings that do not hold."""
    return GenerateSpec(
        models=(wish.first, wish.second) if wish.second else (wish.first,),
        prompts=tuple(prompts),
        samples=1 if wish.second else max(2, wish.answers),
        reward_model=wish.judge,
        temperature=wish.temperature,
        max_new_tokens=wish.max_new_tokens,
        seed=wish.seed,
        alternatives=0,
        device=device,
    )


class PairMaker(QObject):
    """Carries out one wish. Signals: stage(text, done, total); added(pair id); ended(error or None)."""

    stage = Signal(str, int, int)
    added = Signal(str)
    ended = Signal(object)

    def __init__(self, session: Session, wish: Wish, parent: QObject) -> None:
        super().__init__(parent)
        self.wish = wish
        self.made = self.same = 0
        self.run_id = ""
        self._session = session
        self._prompts: list[Prompt] = []
        self._texts: dict[int, str] = {}
        self._ends: dict[int, str] = {}
        self._scores: dict[int, Any] = {}
        self._over = False
        root = session.root
        assert root is not None
        session.in_background(lambda: read_prompts(root, wish), self._begin, self._end)

    def stop(self) -> None:
        """Ask the engine to stop; pairs that are whole stay."""
        if self.run_id:
            self._session.control(self.run_id).cancel()
        else:
            self._end(None)

    def _begin(self, prompts: list[Prompt]) -> None:
        if self._over:
            return
        self._prompts = prompts
        try:
            spec = spec_of(self.wish, prompts, self._session.settings.device)
            self.run_id = self._session.submit(spec)
        except EngineError as error:
            self._end(error)
            return
        feed = self._session.run_feed(self.run_id, self)
        feed.event.connect(self._hear)
        self.stage.emit(self.tr("Waiting for the engine"), 0, 0)

    def _hear(self, envelope: Envelope) -> None:
        match envelope.event:
            case RunStarted():
                self.stage.emit(self.tr("Starting"), 0, 0)
            case Stage(text, done, total):
                self.stage.emit(text, done, total)
            case Produced(what="answers", facts=facts) if self.wish.judge:
                self._scores = {int(row["answer"]): row["score"] for row in facts["answers"]}
                for prompt in range(len(self._prompts)):
                    self._pair_up(prompt)
            case Text() as said:
                self._texts[said.answer] = self._texts.get(said.answer, "") + said.piece
                if said.finish:
                    self._ends[said.answer] = said.finish
                    if not self.wish.judge:
                        self._pair_up(self._prompt_of(said.answer))
            case RunFinished(outcome, message, hint):
                self._end(EngineError(message, hint) if outcome == "failed" else None)
            case _:
                pass

    def _numbers(self, prompt: int) -> list[int]:
        """All answers to a prompt."""
        if self.wish.second:
            return [prompt, len(self._prompts) + prompt]
        each = max(2, self.wish.answers)
        return list(range(each * prompt, each * (prompt + 1)))

    def _prompt_of(self, answer: int) -> int:
        return answer % len(self._prompts) if self.wish.second else answer // max(2, self.wish.answers)

    def _chosen(self, numbers: list[int]) -> tuple[int, int]:
        """Two of the answers: the best and the worst by the reward model, in the order they were written; without one
        the two least alike."""
        scored = [number for number in numbers if self._scores.get(number) is not None]
        if len(scored) >= 2:
            best, worst = (pick(scored, key=self._scores.__getitem__) for pick in (max, min))
            return (best, worst) if best < worst else (worst, best)
        i, j = least_alike([self._texts[number] for number in numbers]) if len(numbers) > 2 else (0, 1)
        return numbers[i], numbers[j]

    def _pair_up(self, prompt: int) -> None:
        all_numbers = self._numbers(prompt)
        if self._over or any(number not in self._ends or number not in self._texts for number in all_numbers):
            return
        numbers = self._chosen(all_numbers)
        a, b = (self._texts[number] for number in numbers)
        for number in all_numbers:
            del self._texts[number]
        models = (self.wish.first, self.wish.second or self.wish.first)
        meta: dict[str, Any] = {"from": "compare", "run": self.run_id, "settings": self._settings()}
        for side, model, number in zip("ab", models, numbers, strict=True):
            title = self._session.model_title(model)
            meta[side] = {"model": model, "title": title, "finish": self._ends[number], "answer": number}
            if self._scores.get(number) is not None:
                meta[side]["score"] = self._scores[number]
        if a.strip() == b.strip() or not a.strip() or not b.strip():
            self.same += 1
            return
        try:
            pair = self._session.labels.add_pair(self._prompts[prompt], a, b, meta, source="model")
        except EngineError as error:
            self.stop()
            self._end(error)
            return
        self.made += 1
        self.added.emit(pair)

    def _settings(self) -> dict[str, Any]:
        wish = self.wish
        told: dict[str, Any] = {
            "temperature": wish.temperature,
            "max_new_tokens": wish.max_new_tokens,
            "seed": wish.seed,
        }
        if wish.answers > 2 and not wish.second:
            told |= {"answers": wish.answers, "chosen": "best and worst" if wish.judge else "least alike"}
        return told | ({"reward_model": wish.judge} if wish.judge else {})

    def _end(self, error: BaseException | None) -> None:
        if not self._over:
            self._over = True
            self.ended.emit(error)
